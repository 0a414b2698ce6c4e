"""One pipeline under test: its own topic, group, database and folder; its programs are real processes."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import psutil
import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from prometheus_client.parser import text_string_to_metric_families
from pymongo import MongoClient

from tests.servers.process import PATIENCE

REPOSITORY = Path(__file__).parents[2]
PATIENCE_S = 60.0 * PATIENCE

Document = dict[str, Any]

QUICK_SESSION: Mapping[str, Any] = {"VELOX_TESTING": "1", "SESSION_TIMEOUT_MS": "3000"}
"""For tests that wait until a dead member's partitions are free: 3 s, which only the tests' own brokers allow."""

BOTH_DELIVERIES = pytest.mark.parametrize("delivery", ["at_least_once", "exactly_once"])


def with_results(settings: Mapping[str, str]) -> dict[str, str]:
    """Add the sink that DELIVERY=exactly_once is about, where it is asked for."""
    if settings.get("DELIVERY") != "exactly_once" or "kafka" in settings.get("SINKS", ""):
        return dict(settings)
    return {**settings, "SINKS": f"{settings.get('SINKS', 'disk,mongo')},kafka"}


def wait_until(holds: Callable[[], object], *, what: str | Callable[[], str], timeout_s: float = PATIENCE_S) -> None:
    """Poll until ``holds`` is true; fail with ``what``, or what it answers then, when it never is.

    What takes long to ask is asked less often, so that asking takes no more than a third of a busy machine's time.
    """
    end = time.monotonic() + timeout_s
    asked_at = time.monotonic()
    while not holds():
        took_s = time.monotonic() - asked_at
        if time.monotonic() > end:
            said = what if isinstance(what, str) else what()
            raise AssertionError(f"not within {timeout_s:g} s: {said}")
        time.sleep(min(max(0.05, 2 * took_s), 1))
        asked_at = time.monotonic()


class Program:
    """``python NAME.py`` in a folder of its own, with a log that can be read while it runs."""

    def __init__(self, name: str, *args: str, folder: Path, env: Mapping[str, str]) -> None:
        self._launch(name, [str(REPOSITORY / f"{name}.py"), *args], folder=folder, env=env)

    def _launch(self, name: str, words: list[str], *, folder: Path, env: Mapping[str, str]) -> None:
        self.log = folder / f"{name}-{time.monotonic_ns()}.log"
        command = [sys.executable, *words]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, cwd=folder, env=dict(env), stdout=log, stderr=log)

    @property
    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def says(self, text: str) -> bool:
        return text in self.output

    def wait_until_it_says(self, text: str, *, timeout_s: float = PATIENCE_S) -> None:
        def said_or_ended() -> bool:
            return self.says(text) or self.process.poll() is not None

        wait_until(said_or_ended, what=f"{text!r} in the log:\n{self.output}", timeout_s=timeout_s)
        assert self.says(text), f"ended with {self.process.returncode} without {text!r}:\n{self.output}"

    def stop(self, number: int = signal.SIGTERM, *, timeout_s: float = PATIENCE_S) -> int:
        """Signal it and answer its exit code."""
        self.process.send_signal(number)
        return self.process.wait(timeout_s)

    def end(self) -> None:
        """Leave nothing behind, whatever became of the test."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class ConsumerProgram(Program):
    """A running consumer: its probes, metrics and inference processes."""

    def __init__(self, *, folder: Path, env: Mapping[str, str]) -> None:
        super().__init__("consumer", folder=folder, env=env)

    def wait_until_ready(self, *, timeout_s: float = PATIENCE_S) -> None:
        self.wait_until_it_says("Metrics and health on port", timeout_s=timeout_s)
        wait_until(lambda: self.probe("/readyz")[0] == 200, what=f"ready:\n{self.output}", timeout_s=timeout_s)

    @property
    def port(self) -> int:
        """Where it serves metrics and health."""
        return int(self.output.split("Metrics and health on port ")[1].split(":")[0])

    def probe(self, path: str, *, timeout_s: float = 15) -> tuple[int, str]:
        """The status and body of one of its pages."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=timeout_s) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def not_ready_because(self) -> str:
        status, body = self.probe("/readyz")
        return "" if status == 200 else str(json.loads(body)["cause"])

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples that carry these labels."""
        _, text = self.probe("/metrics")
        samples = (s for family in text_string_to_metric_families(text) for s in family.samples if s.name == name)
        return sum(s.value for s in samples if labels.items() <= s.labels.items())

    def inference_processes(self) -> list[psutil.Process]:
        children = psutil.Process(self.process.pid).children()
        return [child for child in children if "spawn_main" in " ".join(child.cmdline())]


class CommandProgram(ConsumerProgram):
    """``velox NAME ...`` for as long as it runs: a process with probes and metrics as a consumer has them."""

    def __init__(self, name: str, *args: str, folder: Path, env: Mapping[str, str]) -> None:
        self._launch(name, ["-m", "velox", name, *args], folder=folder, env=env)


def environment(**settings: object) -> dict[str, str]:
    """The environment of a process under test: these settings, and what any process needs."""
    own = {"PYTHONPATH": str(REPOSITORY), **{name: str(value) for name, value in settings.items()}}
    return {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ} | own


@dataclass
class Pipeline:
    """What a test needs of one pipeline."""

    folder: Path
    bootstrap: str
    topic: str
    mongo_uri: str
    database: str
    settings: dict[str, str]
    security: dict[str, str] = field(default_factory=dict)
    """How the test itself connects to Kafka, in the driver's terms."""
    programs: list[Program] = field(default_factory=list)

    def environment(self, **settings: object) -> dict[str, str]:
        return environment(**{**self.settings, **settings})

    def consume(self, **settings: object) -> ConsumerProgram:
        """Start a consumer with these settings on top of the pipeline's."""
        consumer = ConsumerProgram(folder=self.folder, env=self.environment(**settings))
        self.programs.append(consumer)
        return consumer

    def produce(self, *args: str, **settings: object) -> Program:
        """Start the producer with these arguments."""
        producer = Program("producer", *args, folder=self.folder, env=self.environment(**settings))
        self.programs.append(producer)
        return producer

    def produced(self, count: int) -> None:
        """Run the producer as fast as it can, to its end."""
        producer = self.produce("--count", str(count), "--rate", "0")
        assert producer.process.wait(PATIENCE_S) == 0, producer.output

    def publish(self, *values: bytes | None, headers: list[tuple[str, str | bytes | None]] | None = None) -> None:
        """Publish values as any other program would, and see them acknowledged."""
        producer = Producer({"bootstrap.servers": self.bootstrap, "message.max.bytes": 20_000_000, **self.security})
        refused: list[object] = []

        def delivered(error: object, _message: Message) -> None:
            if error is not None:
                refused.append(error)

        for value in values:
            producer.produce(self.topic, value, headers=headers or [], on_delivery=delivered)
        assert producer.flush(PATIENCE_S) == 0
        assert not refused

    def documents(self) -> list[Document]:
        client: MongoClient[Document]
        with MongoClient(self.mongo_uri) as client:
            return list(client[self.database]["shapes_found"].find())

    def count(self) -> int:
        client: MongoClient[Document]
        with MongoClient(self.mongo_uri) as client:
            return client[self.database]["shapes_found"].count_documents({})

    def wait_for_documents(self, count: int, *, timeout_s: float = PATIENCE_S) -> None:
        wait_until(
            lambda: self.count() >= count,
            what=lambda: f"{count} documents, there are {self.count()}:\n{self.programs[-1].output}",
            timeout_s=timeout_s,
        )

    def images(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (self.folder / "discoveries").glob("*.jpg")}

    def records(self, topic: str | None = None) -> list[Message]:
        """Everything that is in a topic now."""
        return read_all(self.bootstrap, topic or self.topic, self.security)

    def topics(self) -> set[str]:
        """The names of all topics on the broker."""
        consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": "reader", **self.security})
        try:
            return set(consumer.list_topics(timeout=10).topics)
        finally:
            consumer.close()

    def dead_letters(self) -> list[tuple[Message, dict[str, str]]]:
        """The dead letters with their headers as text."""
        return [(message, headers(message)) for message in self.records(f"{self.topic}.dlq")]

    def reasons(self) -> Counter[str]:
        return Counter(why["velox-dlq-reason"] for _, why in self.dead_letters())

    def uncommitted(self) -> int:
        """Records after the committed offsets, over all partitions."""
        waiting: list[int] = []

        def is_answered() -> bool:
            with suppress(KafkaException):  # a broker that has just started may still look for its coordinator
                waiting.append(self._uncommitted())
            return bool(waiting)

        wait_until(is_answered, what="the committed offsets")
        return waiting[0]

    def _uncommitted(self) -> int:
        group = self.settings["KAFKA_CONSUMER_GROUP"]
        # One for each try: the driver may go on asking a coordinator that is no more.
        consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": group, "log_level": 0, **self.security})
        try:
            partitions = consumer.list_topics(self.topic, timeout=10).topics[self.topic].partitions
            committed = consumer.committed([TopicPartition(self.topic, n) for n in partitions], timeout=5)
            if refusal := next((at.error for at in committed if at.error is not None), None):
                raise KafkaException(refusal)
            return sum(consumer.get_watermark_offsets(at, timeout=10)[1] - max(0, at.offset) for at in committed)
        finally:
            consumer.close()

    def visible(self) -> list[Message]:
        """What a reader with read_committed finds on the results topic, up to the first transaction that is open."""
        return read_committed(self.bootstrap, f"{self.topic}.results")

    def end(self) -> None:
        for program in self.programs:
            program.end()


def headers(message: Message) -> dict[str, str]:
    """A message's headers as text."""
    pairs = cast("list[tuple[str, bytes | None]]", message.headers() or [])
    return {name: (value or b"").decode() for name, value in pairs}


def read_all(bootstrap: str, topic: str, security: Mapping[str, str] | None = None) -> list[Message]:
    """Read a topic from its beginning to its present end, one partition after the other."""
    return sorted(read(bootstrap, topic, security), key=lambda message: message.partition() or 0)


def read_committed(bootstrap: str, topic: str) -> list[Message]:
    """Read what a topic shows to a reader with read_committed, up to the first transaction that is open."""
    return list(read(bootstrap, topic, {"isolation.level": "read_committed"}))


def read(bootstrap: str, topic: str, more: Mapping[str, str] | None = None) -> Iterator[Message]:
    """Yield what is in a topic, from its beginning to its present end; ``more`` configures the reader."""
    config: dict[str, Any] = {
        "bootstrap.servers": bootstrap,
        "group.id": "reader",
        "isolation.level": "read_uncommitted",
        "enable.auto.commit": False,
        "enable.partition.eof": True,
        "fetch.wait.max.ms": 10,  # the end of a partition is told when a fetch has found nothing
    }
    consumer = Consumer({**config, **(more or {})})
    try:
        unread = set(consumer.list_topics(topic, timeout=10).topics[topic].partitions)
        consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in unread])
        while unread:
            message = consumer.poll(PATIENCE_S)
            assert message is not None
            if (error := message.error()) is not None:
                assert error.code() == KafkaError._PARTITION_EOF, error
                unread.discard(message.partition() or 0)
            elif message.partition() in unread:
                yield message
    finally:
        consumer.close()
