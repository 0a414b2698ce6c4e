"""Keys of objects while every part on their way is killed: producer, consumers, S3, PostgreSQL and the broker."""

import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.e2e.pipeline import PATIENCE_S, QUICK_SESSION, ConsumerProgram, Pipeline, Program, wait_until
from tests.servers.kafka import KafkaServer
from tests.servers.postgres import PostgresServer
from tests.servers.s3 import S3Server

LONG_S = 1500
MISSING_EVERY = 100
"""Every so many-th key has no object."""
DOWN_S = 1.0


class System:
    """The fourth system on servers of its own; objects are texts, which the model repeats."""

    def __init__(self, folder: Path, kafka: KafkaServer, postgres: PostgresServer, s3: S3Server, *, count: int) -> None:
        self.kafka, self.postgres, self.s3 = kafka, postgres, s3
        self.longest_stall_s = 0.0
        self._url = postgres.url()
        self._seen, self._seen_at = 0, time.monotonic()
        keys = [f"{number % 10}/{number}.txt" for number in range(count)]
        self.missing = set(keys[::MISSING_EVERY])
        self.shown = {key: f"text of {key}" for key in keys if key not in self.missing}
        bucket = s3.make_bucket(f"texts-{uuid.uuid4().hex[:8]}")
        for digit in range(10):
            (bucket / f"{digit}").mkdir()
        for key, text in self.shown.items():
            (bucket / key).write_text(text)
        postgres.execute("postgres", "CREATE TABLE image_info (image_key text)")
        with closing(psycopg.connect(self._url)) as connection, connection, connection.cursor() as cursor:
            cursor.executemany("INSERT INTO image_info VALUES (%s)", [(key,) for key in keys])
        kafka.create_topic("img_loc", partitions=3)
        settings: dict[str, Any] = {
            **s3.environment(bucket.name),
            "KAFKA_BOOTSTRAP_SERVER": kafka.bootstrap,
            "KAFKA_TOPIC": "img_loc",
            "KAFKA_CONSUMER_GROUP": "objects",
            "CODEC": "key",
            "KEYS_URL": self._url,
            "POSTGRES_DSN": self._url,
            "SINKS": "postgres",
            "STORE": "all",
            "MODEL": "tests.e2e.fragile:FragileModel",
            "INFERENCE_PROCESSES": "1",
            "METRICS_PORT": "0",
            "OBJECT_RETRY_S": "0",
            "OBJECT_TIMEOUT_S": "2",
            "SINK_TIMEOUT_S": "3",
            **QUICK_SESSION,
        }
        self.pipeline = Pipeline(folder, kafka.bootstrap, "img_loc", "", "", settings)
        self.consumers = [self.pipeline.consume() for _ in range(2)]
        self._producers: list[Program] = []

    @property
    def producer(self) -> Program:
        return self._producers[-1]

    def produce(self, rate: int) -> None:
        self._producers.append(self.pipeline.produce("--source", "keys", "--follow", "--rate", f"{rate}"))

    def kill_consumer(self) -> None:
        victim: ConsumerProgram = self.consumers.pop(0)
        victim.end()
        self.consumers.append(self.pipeline.consume())

    def kill_producer(self, rate: int) -> None:
        self.producer.end()
        self.produce(rate)

    def kill(self, server: KafkaServer | PostgresServer | S3Server) -> None:
        server.kill()
        time.sleep(DOWN_S)  # an outage that is noticed
        server.start()

    def rows(self) -> list[tuple[str, str]]:
        with closing(psycopg.connect(self._url)) as connection:
            return connection.execute("SELECT image_key, category FROM prediction_results").fetchall()

    def stored(self) -> int:
        """How many rows there are; the longest time without a new one is kept."""
        with closing(psycopg.connect(self._url)) as connection:
            if not (connection.execute("SELECT to_regclass('prediction_results')").fetchone() or (None,))[0]:
                return 0
            ((count,),) = connection.execute("SELECT count(*) FROM prediction_results").fetchall()
        if count != self._seen:
            if self._seen:
                self.longest_stall_s = max(self.longest_stall_s, time.monotonic() - self._seen_at)
            self._seen, self._seen_at = count, time.monotonic()
        return int(count)

    def wait_for(self, rows: int) -> None:
        wait_until(
            lambda: self.stored() >= rows,
            what=lambda: (
                f"{rows} rows, there are {self.stored()}:\n{self.producer.output}\n{self.consumers[-1].output}"
            ),
            timeout_s=3 * PATIENCE_S,
        )


@pytest.fixture
def servers() -> Iterator[tuple[KafkaServer, PostgresServer, S3Server]]:
    """Of the test's own; the database syncs its commits, or a kill would cost some."""
    with KafkaServer() as kafka, PostgresServer(durable=True) as postgres, S3Server() as s3:
        yield kafka, postgres, s3


@pytest.mark.timeout(LONG_S)
@pytest.mark.parametrize(
    ("count", "rate", "times"),
    [pytest.param(1000, 100, 1, marks=pytest.mark.representative), (20_000, 250, 3)],
    ids=["1000", "20000"],
)
@pytest.mark.fault(
    "producer of keys, consumer, S3, PostgreSQL and broker killed while keys flow",
    "each key of the table becomes one row, or a dead letter if it has no object",
)
def test_no_key_is_lost_or_doubled_whatever_is_killed(
    servers: tuple[KafkaServer, PostgresServer, S3Server],
    tmp_path: Path,
    count: int,
    rate: int,
    times: int,
    record_property: Callable[[str, object], None],
) -> None:
    system = System(tmp_path, *servers, count=count)
    kafka, postgres, s3 = servers
    faults: list[Callable[[], None]] = [
        system.kill_consumer,
        lambda: system.kill_producer(rate),
        lambda: system.kill(s3),
        lambda: system.kill(postgres),
        lambda: system.kill(kafka),
    ] * times
    try:
        system.produce(rate)
        for number, fault in enumerate(faults, 1):
            system.wait_for(len(system.shown) * number // (len(faults) + 2))
            fault()
        system.wait_for(len(system.shown))
        wait_until(lambda: system.pipeline.uncommitted() == 0, what="all committed", timeout_s=3 * PATIENCE_S)
        assert system.producer.stop() == 0, system.producer.output
        rows = system.rows()
        assert dict(rows) == system.shown
        assert len(rows) == len(system.shown), Counter(key for key, _ in rows).most_common(3)
        letters = system.pipeline.dead_letters()
        assert {(letter.value() or b"").decode() for letter, _ in letters} == system.missing
        assert {why["velox-dlq-reason"] for _, why in letters} == {"object_missing"}
        repeated = len(system.pipeline.records()) - count
        assert repeated >= 0
        record_property("records", count)
        record_property("recovery_s", round(system.longest_stall_s, 1))
        record_property("duplicates", repeated)
        assert [consumer.stop() for consumer in system.consumers] == [0, 0]
    finally:
        system.pipeline.end()
