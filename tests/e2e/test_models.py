"""Several models in one consumer: real processes on real Kafka, started, changed and taken away while records come."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import psutil
import pytest
from confluent_kafka import Producer

from tests.e2e.pipeline import PATIENCE_S, QUICK_SESSION, REPOSITORY, Program, wait_until
from tests.servers.kafka import KafkaServer, TopicFactory
from velox.model_reports import ModelReport, read_reports

FRAGILE = "tests.e2e.fragile:FragileModel"


class Models:
    """A folder with ``models.toml``, its pipeline files, and one consumer of them all."""

    def __init__(self, folder: Path, bootstrap: str, topic: TopicFactory) -> None:
        self.folder = folder
        self.path = folder / "models.toml"
        self.path.write_text("")
        self._topic = topic
        self._bootstrap = bootstrap
        self.topics: dict[str, str] = {}
        self.programs: list[Program] = []

    def pipeline(self, name: str, **settings: str) -> Path:
        """Write a model's pipeline file; its topic stays the same when it is written again."""
        if name not in self.topics:
            self.topics[name] = self._topic(3)
        told = {
            "KAFKA_TOPIC": self.topics[name],
            "KAFKA_CONSUMER_GROUP": f"group-{self.topics[name]}",
            "CODEC": "raw",
            "MODEL": FRAGILE,
            "SINKS": "sqlite",
            "SQLITE_PATH": f"{name}.db",
            "STORE": "all",
            "INFERENCE_PROCESSES": "1",
            "PIPELINE": name,
            **settings,
        }
        path = self.folder / f"{name}.env"
        path.write_text("".join(f"{key}={value}\n" for key, value in told.items()))
        return path

    def environment(self) -> dict[str, str]:
        own = {
            "PYTHONPATH": str(REPOSITORY),
            "KAFKA_BOOTSTRAP_SERVER": self._bootstrap,
            "METRICS_PORT": "0",
            **QUICK_SESSION,
        }
        return {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ} | own

    def velox(self, *command: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "velox", *command],
            cwd=self.folder, env=self.environment(), capture_output=True, text=True, check=False, timeout=PATIENCE_S,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def load(self, name: str, **settings: str) -> None:
        self.velox("model", "load", name, "--env-file", str(self.pipeline(name, **settings)))

    def consume(self, names: str = "all") -> Program:
        self.programs.append(Program("consumer", "--models", names, folder=self.folder, env=self.environment()))
        return self.programs[-1]

    def report(self, name: str) -> ModelReport | None:
        return next(iter(read_reports(self.path).get(name, [])), None)

    def wait_for(
        self, name: str, state: str, what: Callable[[ModelReport], bool] = lambda _report: True
    ) -> ModelReport:
        found: list[ModelReport] = []

        def holds() -> bool:
            report = self.report(name)
            if report and report.state == state and what(report):
                found.append(report)
            return bool(found)

        wait_until(holds, what=lambda: f"{name} {state}: {self.report(name)}\n{self.programs[-1].output}")
        return found[-1]

    def publish(self, name: str, count: int) -> list[str]:
        producer = Producer({"bootstrap.servers": self._bootstrap})
        ids = [f"id-{uuid.uuid4().hex}" for _ in range(count)]
        for each in ids:
            producer.produce(self.topics[name], b"payload", headers=[("velox-id", each.encode())])
        assert producer.flush(PATIENCE_S) == 0
        return ids

    def answered(self, name: str) -> set[str]:
        path = self.folder / f"{name}.db"
        if not path.exists():
            return set()
        with closing(sqlite3.connect(path)) as connection:
            if not connection.execute("SELECT name FROM sqlite_master WHERE name = 'predictions'").fetchall():
                return set()
            return {row[0] for row in connection.execute("SELECT id FROM predictions")}

    def wait_for_answers(self, name: str, ids: list[str]) -> None:
        wait_until(
            lambda: set(ids) <= self.answered(name),
            what=lambda: f"{len(set(ids) - self.answered(name))} of {len(ids)}:\n{self.programs[-1].output}",
        )


@pytest.fixture
def models(tmp_path: Path, kafka: KafkaServer, topic: TopicFactory) -> Iterator[Models]:
    made = Models(tmp_path, kafka.bootstrap, topic)
    yield made
    for program in made.programs:
        program.end()


def test_a_model_that_cannot_be_loaded_disables_only_itself(models: Models) -> None:
    models.load("good")
    models.load("bad", MODEL="velox.models.text_classifier:TextClassifier", MODEL_PATH="/no/such/folder")
    consumer = models.consume()
    models.wait_for("good", "ready")
    models.wait_for_answers("good", models.publish("good", 50))
    bad = models.wait_for("bad", "failing", lambda report: "/no/such/folder" in report.cause)
    assert "not a folder" in bad.cause
    listed = models.velox("model", "list")
    assert "bad: MODEL_PATH=/no/such/folder" in listed.replace("bad: velox consume: ", "bad: ")
    models.pipeline("bad")  # mended
    models.wait_for("bad", "ready")
    models.wait_for_answers("bad", models.publish("bad", 5))
    assert consumer.stop() == 0, consumer.output
    assert models.report("good") is None, "nobody reports any more"
    assert "[good] " in consumer.output, "each line says whose it is"


def test_models_come_change_and_go_while_no_record_is_lost(models: Models) -> None:
    models.load("first")
    consumer = models.consume()
    before = models.wait_for("first", "ready")
    ids: list[str] = []
    stop = threading.Event()

    def publish() -> None:
        while not stop.is_set():
            ids.extend(models.publish("first", 20))

    publisher = threading.Thread(target=publish)
    publisher.start()
    try:
        models.load("second")
        models.wait_for("second", "ready")
        models.load("first", BATCH_SIZE="4")
        after = models.wait_for("first", "ready", lambda report: report.port != before.port)
        assert after.port != before.port
        consumer.wait_until_it_says("Model first: the new one is ready, the old one drains")
        models.velox("model", "unload", "second")
        consumer.wait_until_it_says("Model second is unloaded")
    finally:
        stop.set()
        publisher.join()
    models.wait_for_answers("first", ids)
    assert consumer.stop() == 0, consumer.output
    assert models.answered("first") == set(ids)
    assert "ERROR" not in consumer.output


def test_a_change_that_cannot_be_loaded_leaves_the_one_before_serving(models: Models) -> None:
    models.load("first")
    consumer = models.consume()
    before = models.wait_for("first", "ready")
    models.pipeline("first", MODEL="no.such.module:Model")
    report = models.wait_for("first", "ready", lambda report: "not changed" in report.cause)
    assert report.port == before.port
    models.wait_for_answers("first", models.publish("first", 20))
    assert consumer.stop() == 0, consumer.output


def test_a_consumer_that_is_killed_takes_its_models_with_it_and_one_that_dies_is_started_again(models: Models) -> None:
    models.load("first")
    models.load("second")
    consumer = models.consume("first,second")
    models.wait_for("first", "ready")
    models.wait_for("second", "ready")
    children = psutil.Process(consumer.process.pid).children(recursive=True)
    members = [child for child in children if child.cmdline()[-1:] == ["consume"]]
    assert len(members) == 2
    members[0].kill()
    consumer.wait_until_it_says("started again in")
    models.wait_for("first", "ready", lambda report: not report.cause)
    models.wait_for("second", "ready", lambda report: not report.cause)
    everything = psutil.Process(consumer.process.pid).children(recursive=True)
    consumer.stop(signal.SIGKILL)
    wait_until(lambda: not any(child.is_running() for child in everything), what="all of them to end")


def test_one_model_is_a_consumer_as_it_always_was(models: Models) -> None:
    models.load("only")
    consumer = models.consume("only")
    consumer.wait_until_it_says("Metrics and health on port")
    models.wait_for_answers("only", models.publish("only", 10))
    children = psutil.Process(consumer.process.pid).children(recursive=True)
    assert not [child for child in children if child.cmdline()[-1:] == ["consume"]]
    assert consumer.stop() == 0, consumer.output
