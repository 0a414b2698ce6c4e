"""One consumer of several topics, or of all that match a pattern: nothing is lost as they come, go, or it is killed."""

import json
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from tests.e2e.conftest import PipelineFactory
from tests.e2e.pipeline import BOTH_DELIVERIES, Pipeline, headers, read_committed, wait_until
from tests.servers.kafka import KafkaServer


@dataclass
class Cameras:
    """A pipeline whose KAFKA_TOPIC is a pattern, or a list of names, and its topics."""

    pipeline: Pipeline
    kafka: KafkaServer
    base: str
    names: list[str]

    def add(self, *, partitions: int = 2) -> str:
        """Create one more that matches."""
        self.names.append(f"{self.base}_{len(self.names) + 1}")
        self.kafka.create_topic(self.names[-1], partitions=partitions)
        return self.names[-1]

    def publish(self, topic: str, *values: bytes) -> None:
        producer = Producer({"bootstrap.servers": self.kafka.bootstrap})
        for value in values:
            producer.produce(topic, value)
        assert producer.flush(30) == 0

    def positions(self) -> list[tuple[str, int, int]]:
        """Where the records of what is stored lay."""
        return [(d["topic"], d["partition"], d["offset"]) for d in self.pipeline.documents()]

    def velox(self, *args: str, **settings: object) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "velox", *args],
            cwd=self.pipeline.folder,
            env=self.pipeline.environment(**settings),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )


def in_use(cameras: Cameras, text: str) -> Cameras:
    named = {"DEAD_LETTER_TOPIC": f"bad-{cameras.base}", "RESULTS_TOPIC": f"good-{cameras.base}"}
    cameras.pipeline.settings.update({"KAFKA_TOPIC": text, **named})
    return cameras


@pytest.fixture
def cameras(pipeline: PipelineFactory, kafka: KafkaServer) -> Iterator[Cameras]:
    base = f"camera-{uuid.uuid4().hex[:8]}"
    made = Cameras(pipeline(partitions=1), kafka, base, [])
    for _ in range(3):
        made.add()
    yield in_use(made, rf"^{base}_\d+$")


@pytest.mark.parametrize(
    ("delivery", "protocol"),
    [
        ("at_least_once", "cooperative-sticky"),
        ("at_least_once", "range"),
        ("at_least_once", "consumer"),
        ("exactly_once", "cooperative-sticky"),
    ],
)
def test_a_topic_that_appears_is_read_within_seconds_and_from_its_beginning(
    cameras: Cameras, delivery: str, protocol: str
) -> None:
    cameras.pipeline.settings |= {"DELIVERY": delivery, "AUTO_OFFSET_RESET": "latest", "GROUP_PROTOCOL": protocol}
    if delivery == "exactly_once":
        cameras.pipeline.settings["SINKS"] = "mongo,kafka"
    consumer = cameras.pipeline.consume()
    consumer.wait_until_ready()
    cameras.publish(cameras.names[0], b"r 1")
    new = cameras.add()
    cameras.publish(new, *(b"r %d" % number for number in range(20)))
    cameras.pipeline.wait_for_documents(21)
    assert {topic for topic, _, _ in cameras.positions()} == {cameras.names[0], new}
    assert f"matches {new} too" in consumer.output
    wait_until(lambda: consumer.metric("velox_assigned_partitions") == 8, what="the partitions of all four")
    wait_until(lambda: consumer.metric("velox_lag_records", topic=new) == 0, what="its lag is known")
    assert consumer.stop() == 0, consumer.output
    if delivery == "exactly_once":
        assert len(read_committed(cameras.kafka.bootstrap, f"good-{cameras.base}")) == 21


def test_a_consumer_waits_for_a_first_topic_and_says_so(cameras: Cameras) -> None:
    other = f"lens-{uuid.uuid4().hex[:8]}"
    in_use(cameras, rf"^{other}_\d+$")
    consumer = cameras.pipeline.consume()
    consumer.wait_until_it_says("No topic matches KAFKA_TOPIC=")
    wait_until(lambda: "no topic matches" in consumer.not_ready_because(), what="it says what it waits for")
    cameras.kafka.create_topic(f"{other}_1", partitions=1)
    cameras.publish(f"{other}_1", b"r 1")
    cameras.pipeline.wait_for_documents(1)
    assert consumer.not_ready_because() == ""
    assert consumer.stop() == 0, consumer.output


def test_one_of_a_patterns_topics_may_go_and_the_others_are_read_on(cameras: Cameras) -> None:
    consumer = cameras.pipeline.consume()
    consumer.wait_until_ready()
    for name in cameras.names:
        cameras.publish(name, b"r 1")
    cameras.pipeline.wait_for_documents(3)
    admin = AdminClient({"bootstrap.servers": cameras.kafka.bootstrap})
    admin.delete_topics([cameras.names[0]])[cameras.names[0]].result(10)
    consumer.wait_until_it_says(f"{cameras.names[0]} gone from Kafka")
    cameras.publish(cameras.names[1], b"r 2")
    cameras.pipeline.wait_for_documents(4)
    wait_until(lambda: consumer.metric("velox_assigned_partitions") == 4, what="its partitions are given up")
    assert consumer.stop() == 0, consumer.output


@BOTH_DELIVERIES
def test_nothing_is_lost_or_doubled_over_a_kill(cameras: Cameras, delivery: str) -> None:
    cameras.pipeline.settings["DELIVERY"] = delivery
    cameras.pipeline.settings["SINKS"] = "mongo,kafka"
    count = 300
    killed = cameras.pipeline.consume()
    killed.wait_until_ready()
    for name in cameras.names:
        cameras.publish(name, *(b"r %d" % number for number in range(count)))
    cameras.pipeline.wait_for_documents(50)
    killed.process.kill()
    killed.process.wait()
    again = cameras.pipeline.consume()
    cameras.pipeline.wait_for_documents(3 * count)
    wait_until(lambda: again.metric("velox_lag_records") == 0, what="all is read")
    assert again.stop() == 0, again.output
    positions = cameras.positions()
    assert len(positions) == len(set(positions)) == 3 * count


def test_named_topics_are_created_and_written_to_in_turn(cameras: Cameras) -> None:
    names = [f"{cameras.base}-new-{number}" for number in (1, 2, 3)]
    in_use(cameras, f"{cameras.base}-new-{{1..3}}")
    cameras.pipeline.settings["CODEC"] = "framed"
    consumer = cameras.pipeline.consume()
    consumer.wait_until_ready()
    cameras.pipeline.produced(30)
    wait_until(lambda: consumer.metric("velox_records_total") == 30, what="all are through")
    written = {name: len(cameras.pipeline.records(name)) for name in names}
    assert written == dict.fromkeys(names, 10)
    assert consumer.stop() == 0, consumer.output


def test_the_producer_writes_to_the_topics_that_match_and_says_when_none_does(cameras: Cameras) -> None:
    cameras.pipeline.produced(9)
    assert [len(cameras.pipeline.records(name)) for name in cameras.names] == [3, 3, 3]
    lost = cameras.pipeline.produce("--count", "1", KAFKA_TOPIC=f"^nothing-{cameras.base}")
    assert lost.process.wait(60) == 2
    assert "no topic matches; create one, or correct the pattern" in lost.output


def test_dead_letters_of_all_topics_are_listed_and_replayed_to_their_own(cameras: Cameras) -> None:
    consumer = cameras.pipeline.consume()
    consumer.wait_until_ready()
    one, two, _ = cameras.names
    cameras.publish(one, b"", b"r 1")
    cameras.publish(two, b"", b"")
    letters = f"bad-{cameras.base}"
    wait_until(lambda: consumer.metric("velox_dead_letters_total") == 3, what="the bad ones are dead letters")
    listed = cameras.velox("dlq", "list")
    assert listed.returncode == 0, listed.stderr
    assert f"{letters}: 3 dead letters, 0 handled already" in listed.stdout
    assert re.search(rf"empty\W+{one}\W+1\b", listed.stdout), listed.stdout
    assert re.search(rf"empty\W+{two}\W+2\b", listed.stdout), listed.stdout
    replayed = cameras.velox("dlq", "replay", "--reason", "empty")
    assert replayed.returncode == 0, replayed.stdout
    wait_until(lambda: consumer.metric("velox_dead_letters_total") == 6, what="they failed again")
    assert [len(cameras.pipeline.records(name)) for name in cameras.names] == [3, 4, 0]
    again = [headers(message) for message in cameras.pipeline.records(letters) if message.headers()]
    topics = [said["velox-dlq-topic"] for said in again if said.get("velox-dlq-attempts") == "2"]
    assert sorted(topics) == sorted([one, two, two])
    discarded = cameras.velox("dlq", "discard", "--yes")
    assert discarded.returncode == 0, discarded.stderr
    assert f"{letters}: 0 dead letters, 6 handled already" in cameras.velox("dlq", "list").stdout
    assert consumer.stop() == 0, consumer.output


def test_the_doctor_says_what_a_pattern_matches_now(cameras: Cameras) -> None:
    def topics(**settings: object) -> dict[str, str]:
        said = cameras.velox("doctor", "--json", **settings)
        return next(found for found in json.loads(said.stdout)["findings"] if found["what"] == "topics")

    assert topics()["level"] == "ok"
    assert topics()["value"].startswith(f"3 match KAFKA_TOPIC=^{cameras.base}")
    assert topics()["value"].endswith(f"now: {', '.join(cameras.names)}")
    none = topics(KAFKA_TOPIC="^nothing-at-all")
    assert (none["level"], none["value"]) == ("warning", "none matches KAFKA_TOPIC=^nothing-at-all")


@pytest.mark.parametrize("arguments", [(), ("--topics", "20")], ids=["4 topics", "20 topics"])
def test_verify_proves_it_for_a_pattern(cameras: Cameras, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    faults = ("--kill-consumer", "1", "--poison", "1%")
    path = tmp_path / "verify.json"
    settings = {"KAFKA_PARTITIONS": "2", "MODEL": "tests.e2e.fragile:FragileModel"}
    done = cameras.velox("verify", "--count", "2000", *faults, *arguments, "--json", str(path), **settings)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(path.read_text())
    assert found["topic"].startswith(r"^velox\.verify\-"), found
    assert not any(topic.startswith("velox.verify-") for topic in cameras.pipeline.topics()), "they are removed"


def test_verify_checks_consumers_that_run_already_on_all_their_topics(cameras: Cameras) -> None:
    consumer = cameras.pipeline.consume()
    consumer.wait_until_ready()
    done = cameras.velox("verify", "--count", "500", "--no-consumer")
    assert done.returncode == 0, done.stdout + done.stderr
    assert all(cameras.pipeline.records(name) for name in cameras.names), "each has got some"
    assert consumer.stop() == 0, consumer.output
