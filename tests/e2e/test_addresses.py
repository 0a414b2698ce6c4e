"""A cluster that gives an address nobody here can reach: consumer, producer and doctor name it, and not too often."""

import json
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.pipeline import BOTH_DELIVERIES, Pipeline, wait_until
from tests.servers.kafka import KafkaServer
from tests.servers.process import HOST, free_port

NOWHERE = "localhost:1"


class MisconfiguredServer(KafkaServer):
    """A broker with a second listener, for which it gives an address where nothing answers."""

    def __init__(self) -> None:
        super().__init__()
        self.loop_port = free_port()
        plain = f"PLAINTEXT://{self.bootstrap},LOOP"
        self.settings |= {
            "listeners": f"{plain}://{HOST}:{self.loop_port},CONTROLLER://{HOST}:{self.controller_port}",
            "advertised.listeners": f"{plain}://{NOWHERE}",
            "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,LOOP:PLAINTEXT",
        }


@dataclass
class Misled:
    """A pipeline that only knows the second listener."""

    pipeline: Pipeline
    address: str

    @property
    def cause(self) -> str:
        return f"{NOWHERE} cannot be reached, and that is the address which the cluster at {self.address} gives"


@pytest.fixture(scope="module")
def misconfigured() -> Iterator[MisconfiguredServer]:
    with MisconfiguredServer() as broker:
        yield broker


@pytest.fixture
def misled(misconfigured: MisconfiguredServer, tmp_path: Path) -> Iterator[Misled]:
    name = f"topic-{uuid.uuid4().hex[:8]}"
    misconfigured.create_topic(name, partitions=1)
    address = f"{HOST}:{misconfigured.loop_port}"
    settings = {
        "KAFKA_BOOTSTRAP_SERVER": address,
        "KAFKA_TOPIC": name,
        "KAFKA_CONSUMER_GROUP": f"group-{name}",
        "SINKS": "sqlite",
        "CODEC": "raw",
        "MODEL": "tests.e2e.fragile:FragileModel",
        "METRICS_PORT": "0",
        "INFERENCE_PROCESSES": "1",
    }
    pipeline = Pipeline(tmp_path, address, name, "", "", settings)
    yield Misled(pipeline, address)
    pipeline.end()


@BOTH_DELIVERIES
def test_a_consumer_names_the_address_the_cluster_gave(misled: Misled, delivery: str) -> None:
    sinks = "sqlite,kafka" if delivery == "exactly_once" else "sqlite"
    consumer = misled.pipeline.consume(DELIVERY=delivery, SINKS=sinks)
    consumer.wait_until_it_says(misled.cause)
    assert consumer.says("correct advertised.listeners")
    time.sleep(10)  # the driver tries several times a second
    told = [line for line in consumer.output.splitlines() if misled.cause in line]
    assert len([line for line in told if "kafka: " not in line]) == 1, consumer.output
    assert len(told) <= 2, "the sink says that it waits"
    assert consumer.probe("/livez")[0] == 200
    wait_until(lambda: misled.cause in consumer.not_ready_because(), what="the cause on /readyz")
    assert consumer.stop() == 0, consumer.output


def test_a_producer_names_it_too(misled: Misled) -> None:
    producer = misled.pipeline.produce("--count", "10", "--rate", "0")
    producer.wait_until_it_says(misled.cause)
    time.sleep(10)
    assert producer.output.count(misled.cause) == 1, producer.output


def test_the_doctor_finds_it(misled: Misled) -> None:
    command = [sys.executable, "-m", "velox", "doctor", "--json"]
    done = subprocess.run(
        command,
        cwd=misled.pipeline.folder,
        env=misled.pipeline.environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    wrong = {finding["what"]: finding for finding in json.loads(done.stdout)["findings"] if finding["level"] == "error"}
    assert "advertised.listeners" in wrong[f"broker {NOWHERE}"]["fix"]
