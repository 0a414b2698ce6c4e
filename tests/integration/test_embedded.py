"""The embedded broker: what it can do, and that nothing is lost in it unnoticed."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from tests.e2e.pipeline import Program, wait_until
from velox.core.backlog import RECORD_BYTES
from velox.kafka.embedded import PARTITIONS, RETENTION_BYTES, EmbeddedBroker
from velox.kafka.lag import Observer
from velox.kafka.topics import ensure_topic
from velox.settings import Settings
from velox.tools.up.tally import lost, unread


@pytest.fixture
def bootstrap() -> Iterator[str]:
    with EmbeddedBroker(["images", "images.dlq"]) as broker:
        yield broker.start()


@pytest.fixture
def observer(bootstrap: str) -> Iterator[Observer]:
    """Looks at the group named `group`."""
    made = Observer(Settings(kafka_bootstrap_server=bootstrap, kafka_consumer_group="group"))
    yield made
    made.close()


def commit(bootstrap: str, *offsets: TopicPartition) -> None:
    reader = Consumer({"bootstrap.servers": bootstrap, "group.id": "group"})
    reader.commit(offsets=list(offsets), asynchronous=False)
    reader.close()


def publish(bootstrap: str, topic: str, *values: bytes) -> None:
    producer = Producer({"bootstrap.servers": bootstrap})
    for value in values:
        producer.produce(topic, value, partition=0)
        producer.poll(0)
    assert producer.flush(20) == 0


def test_its_topics_are_there_before_anybody_asks(bootstrap: str, observer: Observer) -> None:
    started = time.monotonic()
    ensure_topic(Settings(kafka_bootstrap_server=bootstrap), "images")
    assert time.monotonic() - started < 2, "it was asked to create a topic, which it cannot"
    assert len(observer.extents("images")) == len(observer.extents("images.dlq")) == PARTITIONS


def test_a_topic_can_be_read_whole_without_being_a_member(bootstrap: str, observer: Observer) -> None:
    publish(bootstrap, "images", *(b"%d" % number for number in range(300)))
    commit(bootstrap, TopicPartition("images", 0, 100))
    values = [message.value() for message in observer.read_all("images", within_s=10)]
    assert sorted(int(value or b"") for value in values) == list(range(300))
    assert observer.read_all("images.dlq", within_s=10) == []


def test_a_record_dropped_unread_is_seen_as_lost(bootstrap: str, observer: Observer) -> None:
    records = [os.urandom(100_000) for _ in range(RETENTION_BYTES // 100_000 + 20)]
    publish(bootstrap, "images", *records)
    commit(bootstrap, TopicPartition("images", 0, 3))
    extents = observer.extents("images")
    committed = observer.committed(list(extents))
    assert unread(extents, committed) == len(records) - 3
    assert 15 <= lost(extents, committed) <= 30  # whole batches are dropped
    commit(bootstrap, TopicPartition("images", 0, len(records)))
    assert lost(extents, observer.committed(list(extents))) == 0, "what was read before it was dropped is not lost"


def test_flow_control_keeps_every_unread_record(bootstrap: str, observer: Observer, tmp_path: Path) -> None:
    limit = 1024 * 1024
    env = {
        "PATH": os.environ["PATH"],
        "KAFKA_BOOTSTRAP_SERVER": bootstrap,
        "KAFKA_TOPIC": "images",
        "KAFKA_CONSUMER_GROUP": "group",
        "PRODUCER_MAX_LAG_BYTES": str(limit),
    }
    program = Program("producer", "--rate", "0", folder=tmp_path, env=env)

    def count() -> int:
        return sum(extent.high for extent in observer.extents("images").values())

    def has_stopped() -> bool:
        before = count()
        time.sleep(0.5)
        return before > 0 and count() == before

    try:
        wait_until(has_stopped, what="a producer that waits")
        stopped_at = count()
        fullest = max(extent.high for extent in observer.extents("images").values())
        assert limit / 2 < fullest * (9000 + RECORD_BYTES) < limit * 1.1
        commit(bootstrap, *(TopicPartition(*p, extent.high) for p, extent in observer.extents("images").items()))
        wait_until(lambda: count() > stopped_at, what="a producer that goes on once the group has caught up")
        assert program.stop() == 0, program.output
        assert all(extent.low == 0 for extent in observer.extents("images").values())
    finally:
        program.end()
