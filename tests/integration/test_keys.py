"""Keys from the table `image_info` to Kafka, with real servers and producers that are killed."""

import hashlib
import os
import signal
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import psycopg
import pytest
from confluent_kafka import Message

from tests.e2e.pipeline import Program, headers, read_all, wait_until
from tests.servers.kafka import KafkaServer, TopicFactory
from tests.servers.postgres import PostgresServer
from tests.servers.proxy import TcpProxy

Produce = Callable[..., Program]


class Table:
    """`image_info` as its users made it, in a database of its own."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        self.name = f"db_{uuid.uuid4().hex[:12]}"
        server.execute("postgres", f"CREATE DATABASE {self.name}")
        self.execute("CREATE TABLE image_info (image_key text)")
        self.url = server.url(self.name)

    def execute(self, *statements: str) -> None:
        self._server.execute(self.name, *statements)

    def add(self, keys: str) -> None:
        self.execute(f"INSERT INTO image_info (image_key) SELECT {keys}")

    def is_open_elsewhere(self) -> bool:
        with closing(psycopg.connect(self.url)) as connection:
            query = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND application_name = 'velox'"
            return bool((connection.execute(query, (self.name,)).fetchone() or (0,))[0])


@pytest.fixture
def table(postgres: PostgresServer) -> Table:
    return Table(postgres)


@pytest.fixture
def produce(kafka: KafkaServer, tmp_path: Path) -> Iterator[Produce]:
    started: list[Program] = []

    def start(topic: str, *args: str, **settings: object) -> Program:
        told = {"CODEC": "key", "BUCKET_URL": "memory:///", "KAFKA_BOOTSTRAP_SERVER": kafka.bootstrap, **settings}
        env = {"PATH": os.environ["PATH"], **{name: str(value) for name, value in told.items()}}
        more = ("--source", "keys", *args)
        started.append(Program("producer", *more, folder=tmp_path, env={**env, "KAFKA_TOPIC": topic}))
        return started[-1]

    yield start
    for program in started:
        program.end()


def values(messages: list[Message]) -> Counter[str]:
    return Counter((message.value() or b"").decode() for message in messages)


def test_each_row_becomes_the_raw_key_once_and_the_next_run_goes_on_behind_it(
    kafka: KafkaServer, topic: TopicFactory, table: Table, produce: Produce
) -> None:
    name = topic(3)
    table.add("'warehouse/' || n || '.jpg' FROM generate_series(1, 500) n")
    table.execute(
        "ALTER TABLE image_info ADD COLUMN size bigint, ADD COLUMN sha256 text",
        "INSERT INTO image_info VALUES ('other/1.jpg', 7, repeat('ab', 32))",
    )
    first = produce(name, KEYS_URL=table.url)
    assert first.process.wait(60) == 0, first.output
    messages = read_all(kafka.bootstrap, name)
    assert values(messages) == {**{f"warehouse/{n}.jpg": 1 for n in range(1, 501)}, "other/1.jpg": 1}
    assert len({headers(message)["velox-id"] for message in messages}) == 501
    assert {message.partition() for message in messages} == {0, 1, 2}
    (known,) = (headers(each) for each in messages if each.value() == b"other/1.jpg")
    assert (known["velox-object-size"], known["velox-object-sha256"]) == ("7", "ab" * 32)
    assert "velox-object-size" not in headers(next(each for each in messages if each.value() != b"other/1.jpg"))

    table.add("'late.jpg'")
    second = produce(name, KEYS_URL=table.url)
    assert second.process.wait(60) == 0, second.output
    assert second.says("behind row 501")
    assert values(read_all(kafka.bootstrap, name))["late.jpg"] == 1
    assert len(read_all(kafka.bootstrap, name)) == 502
    with closing(psycopg.connect(table.url)) as connection:
        assert len(connection.execute("select image_key from image_info").fetchall()) == 502


def test_a_full_pass_publishes_every_row_in_each_run_with_the_same_ids_and_alters_nothing(
    kafka: KafkaServer, topic: TopicFactory, table: Table, produce: Produce
) -> None:
    name = topic(3)
    table.add("'red/' || n FROM generate_series(1, 50) n")
    for _ in range(2):
        program = produce(name, "--full-pass", KEYS_URL=table.url)
        assert program.process.wait(60) == 0, program.output
        assert program.says("KEYS_FULL_PASS: each run publishes all rows of image_info in postgresql://")
    messages = read_all(kafka.bootstrap, name)
    assert values(messages) == {f"red/{n}": 2 for n in range(1, 51)}
    assert sorted(Counter(headers(message)["velox-id"] for message in messages).values()) == [2] * 50
    with closing(psycopg.connect(table.url)) as connection:
        columns = connection.execute("SELECT column_name FROM information_schema.columns WHERE table_schema = 'public'")
        assert columns.fetchall() == [("image_key",)]


def test_only_keys_that_begin_so_are_published(
    kafka: KafkaServer, topic: TopicFactory, table: Table, produce: Produce
) -> None:
    name = topic(3)
    table.add("'red/' || n FROM generate_series(1, 5) n")
    table.add("'green/' || n FROM generate_series(1, 5) n")
    program = produce(name, "--where", "red/", KEYS_URL=table.url)
    assert program.process.wait(60) == 0, program.output
    assert set(values(read_all(kafka.bootstrap, name))) == {f"red/{n}" for n in range(1, 6)}


def test_a_follower_publishes_rows_as_they_come_survives_an_outage_and_stops_when_told(
    kafka: KafkaServer, topic: TopicFactory, postgres: PostgresServer, table: Table, produce: Produce
) -> None:
    name = topic(3)
    with TcpProxy(postgres.port) as proxy:
        program = produce(name, "--follow", KEYS_URL=postgres.url(table.name, port=proxy.port))
        wait_until(table.is_open_elsewhere, what=lambda: f"it reads:\n{program.output}")
        table.add("'first.jpg'")
        wait_until(lambda: values(read_all(kafka.bootstrap, name)) == {"first.jpg": 1}, what="the first key")
        proxy.block()
        table.add("'second.jpg'")
        program.wait_until_it_says("trying again in")
        proxy.unblock()
        both = {"first.jpg": 1, "second.jpg": 1}
        wait_until(lambda: values(read_all(kafka.bootstrap, name)) == both, what=lambda: f"both:\n{program.output}")
        program.process.send_signal(signal.SIGTERM)
        assert program.process.wait(30) == 0, program.output


def test_a_killed_producer_misses_no_row_and_what_it_repeats_has_the_same_id(
    kafka: KafkaServer, topic: TopicFactory, table: Table, produce: Produce
) -> None:
    name = topic(3)
    count = 30_000
    table.add(f"n || '.jpg' FROM generate_series(1, {count}) n")

    def has(least: int) -> bool:
        return len(read_all(kafka.bootstrap, name)) >= least

    for published in (500, 8_000):
        program = produce(name, "--rate", "10000", KEYS_URL=table.url)
        wait_until(partial(has, published), what="some are published")
        program.process.kill()
        program.process.wait()
    last = produce(name, KEYS_URL=table.url)
    assert last.process.wait(60) == 0, last.output
    messages = read_all(kafka.bootstrap, name)
    ids = {(headers(message)["velox-id"], (message.value() or b"").decode()) for message in messages}
    assert len(ids) == count
    assert {key for _, key in ids} == {f"{n}.jpg" for n in range(1, count + 1)}
    assert count < len(messages) <= count + 2 * (5_000 + 5_000), "all since the last mark may come again, and no more"


def test_ids_are_the_same_for_the_same_row_and_differ_for_the_same_key_in_two(
    kafka: KafkaServer, topic: TopicFactory, table: Table, produce: Produce
) -> None:
    table.add("'same.jpg' FROM generate_series(1, 2)")
    found = []
    for number in range(2):
        name = topic(3)
        program = produce(name, KEYS_URL=table.url, KEYS_PROGRESS=f"run-{number}")
        assert program.process.wait(60) == 0, program.output
        found.append({headers(message)["velox-id"] for message in read_all(kafka.bootstrap, name)})
    assert found[0] == found[1]
    assert found[0] == {hashlib.sha256(f"same.jpg\0{n}".encode()).hexdigest()[:32] for n in (1, 2)}


def test_a_table_that_cannot_be_read_is_an_error_with_the_remedy(
    topic: TopicFactory, table: Table, produce: Produce
) -> None:
    program = produce(topic(3), KEYS_URL=table.url.replace(table.name, "nothing"))
    assert program.process.wait(60) == 2
    assert "SOURCE=keys: image_info in postgresql://postgres@" in program.output
    assert "check that server and database are there" in program.output


def test_keys_are_no_images(topic: TopicFactory, table: Table, produce: Produce) -> None:
    program = produce(topic(3), KEYS_URL=table.url, CODEC="raw")
    assert program.process.wait(60) == 2
    assert "SOURCE=keys: write SOURCE=keys, with CODEC=key" in program.output
