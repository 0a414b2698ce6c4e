"""The servers that the other tests stand on."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition
from pymongo import MongoClient, UpdateOne
from pymongo.errors import PyMongoError

from tests.e2e.pipeline import wait_until
from tests.servers.kafka import KafkaServer, TopicFactory
from tests.servers.mongo import MongoServer
from tests.servers.process import LocalServer, ServerError, accepts_connections
from tests.servers.proxy import TcpProxy

REPOSITORY = Path(__file__).parents[2]
Client = MongoClient[dict[str, Any]]


def produce(bootstrap: str, topic: str, values: Iterable[bytes]) -> list[bytes]:
    """Send with acks=all and answer what the broker acknowledged."""
    acknowledged = []

    def note(error: KafkaError | None, message: Message) -> None:
        if error is None:
            acknowledged.append(message.value())

    producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True, "message.max.bytes": 20_000_000})
    for value in values:
        producer.produce(topic, value, on_delivery=note)
    assert producer.flush(30) == 0
    return [value for value in acknowledged if value is not None]


def consume(bootstrap: str, topic: str, count: int) -> list[bytes]:
    """Read one partition from the start, until there are `count` records or nothing comes for ten seconds."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "reader", "auto.offset.reset": "earliest"})
    consumer.assign([TopicPartition(topic, 0, 0)])
    values: list[bytes] = []
    while len(values) < count and (messages := consumer.consume(count - len(values), timeout=10)):
        values += [value for message in messages if (value := message.value()) is not None]
    consumer.close()
    return values


def test_the_broker_returns_what_it_was_given_up_to_the_size_limit(kafka: KafkaServer, topic: TopicFactory) -> None:
    name = topic(partitions=1)
    values = [b"small", os.urandom(10 * 1024 * 1024)]
    assert produce(kafka.bootstrap, name, values) == values
    assert consume(kafka.bootstrap, name, 2) == values


def test_topics_have_the_partitions_asked_for_and_names_of_their_own(kafka: KafkaServer, topic: TopicFactory) -> None:
    first, second = topic(), topic(partitions=3)
    consumer = Consumer({"bootstrap.servers": kafka.bootstrap, "group.id": "counter"})

    def partitions() -> list[int]:
        topics = consumer.list_topics(timeout=10).topics
        return [len(topics[name].partitions) for name in (first, second) if name in topics]

    wait_until(lambda: len(partitions()) == 2, what="the broker's answers know both topics")
    assert partitions() == [6, 3]
    consumer.close()


def test_a_killed_broker_comes_back_with_every_acknowledged_record() -> None:
    with KafkaServer() as broker:
        broker.create_topic("numbers", partitions=1)
        acknowledged = produce(broker.bootstrap, "numbers", (b"%d" % number for number in range(2000)))
        broker.kill()
        assert not accepts_connections(broker.port)
        broker.start()
        assert len(acknowledged) == 2000
        assert consume(broker.bootstrap, "numbers", 2000) == acknowledged
        assert produce(broker.bootstrap, "numbers", [b"after"]) == [b"after"]


def test_an_upsert_that_is_repeated_is_stored_once(mongo: MongoServer, database: str) -> None:
    writes = [UpdateOne({"_id": f"id-{n}"}, {"$set": {"confidence": n / 10}}, upsert=True) for n in range(10)]
    with Client(mongo.uri) as client:
        for _ in range(2):
            client[database].shapes.bulk_write(writes, ordered=False)
        found = client[database].shapes.find({"confidence": {"$gte": 0.7}}).sort("_id")
        assert [document["_id"] for document in found] == ["id-7", "id-8", "id-9"]
        assert client[database].shapes.count_documents({}) == 10


def test_a_durable_mongo_keeps_documents_over_a_clean_restart() -> None:
    with MongoServer(durable=True) as server, Client(server.uri) as client:
        client.lab.shapes.insert_one({"_id": "kept"})
        server.restart()
        assert client.lab.shapes.find_one() == {"_id": "kept"}


@pytest.mark.parametrize("outage", ["block", "hang", "disconnect"])
def test_the_proxy_takes_the_server_away_and_gives_it_back(mongo: MongoServer, outage: str) -> None:
    with (
        TcpProxy(mongo.port) as proxy,
        Client(f"mongodb://127.0.0.1:{proxy.port}/", serverSelectionTimeoutMS=10_000, retryReads=False) as client,
    ):
        client.admin.command("ping")
        getattr(proxy, outage)()
        if outage != "disconnect":  # which a client with a retry does not even notice
            with (
                Client(
                    f"mongodb://127.0.0.1:{proxy.port}/", serverSelectionTimeoutMS=300, connectTimeoutMS=300
                ) as newcomer,
                pytest.raises(PyMongoError),
            ):
                newcomer.admin.command("ping")
        proxy.unblock()
        with Client(f"mongodb://127.0.0.1:{proxy.port}/", serverSelectionTimeoutMS=10_000) as newcomer:
            newcomer.admin.command("ping")


@pytest.mark.parametrize("make", [KafkaServer, MongoServer])
def test_closing_a_server_leaves_no_process_no_port_and_no_folder(make: type[LocalServer]) -> None:
    with make() as server:
        pid = server.pid
        assert server.is_running
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert not accepts_connections(server.port)
    assert not server.folder.exists()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's death")
def test_a_server_dies_with_a_test_session_that_is_killed(tmp_path: Path) -> None:
    script = "from tests.servers.mongo import MongoServer; print(MongoServer().start().port, flush=True); input()"
    session = subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=REPOSITORY,
        env={**os.environ, "TMPDIR": str(tmp_path)},  # a killed session cannot remove its server's folder
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with session:
        assert session.stdout is not None
        port = int(session.stdout.readline())
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            session.kill()
            with suppress(ConnectionResetError):  # the end or a reset: the kernel has closed the server's side
                assert connection.recv(1) == b""


class Stillborn(LocalServer):
    """Says why, and ends."""

    name = "stillborn"

    def command(self) -> list[str]:
        return ["sh", "-c", "echo no disk left; exit 3"]

    def is_ready(self) -> bool:
        return True


def test_a_server_that_does_not_start_says_why() -> None:
    server = Stillborn()
    with pytest.raises(ServerError, match=r"stillborn exited with 3:\nno disk left"):
        server.start()
    server.close()
