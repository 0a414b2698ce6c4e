"""The consumer's Kafka client between rebalances, with a scripted driver below it."""

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from velox.kafka import client as kafka_client
from velox.kafka.client import KafkaClient
from velox.records import Partition
from velox.settings import Settings

P0, P1 = TopicPartition("image_data", 0), TopicPartition("image_data", 1)


class ScriptedConsumer:
    """Gives out messages, and rebalances in the middle of ``consume`` when told to."""

    def __init__(self, _config: dict[str, Any]) -> None:
        self.messages: list[Message] = []
        self.refusal: KafkaException | None = None
        self.committed_by: int | None = None
        self.during_consume: Callable[[], None] = lambda: None

    def subscribe(self, _topics: Sequence[str], **callbacks: Callable[..., None]) -> None:
        self.callbacks = callbacks

    def rebalance(self, what: str, *partitions: TopicPartition) -> None:
        self.callbacks[what](cast("Consumer", self), list(partitions))

    def poll(self, _timeout_s: float) -> Message | None:
        return self.messages.pop(0) if self.messages else None

    def consume(self, most: int, _timeout_s: float) -> list[Message]:
        self.during_consume()
        given, self.messages = self.messages[:most], self.messages[most:]
        return given

    def commit(self, *, offsets: list[TopicPartition], asynchronous: bool) -> list[TopicPartition]:
        assert not asynchronous
        self.committed_by = threading.get_ident()
        if self.refusal is not None:
            raise self.refusal
        return offsets

    def assignment(self) -> list[TopicPartition]:
        return []

    def resume(self, _partitions: list[TopicPartition]) -> None: ...


class Listener:
    """Hears of rebalances and does nothing."""

    def assigned(self, partitions: Sequence[Partition]) -> None: ...
    def revoked(self, partitions: Sequence[Partition]) -> None: ...
    def lost(self, partitions: Sequence[Partition]) -> None: ...


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> ScriptedConsumer:
    scripted = ScriptedConsumer({})
    monkeypatch.setattr(kafka_client, "Consumer", lambda _config: scripted)
    monkeypatch.setattr(kafka_client, "EndOffsets", lambda _bootstrap: None)
    return scripted


@pytest.mark.parametrize("how", ["on_revoke", "on_lost"])
def test_a_record_of_a_partition_that_goes_while_more_are_taken_is_left_to_its_next_owner(
    driver: ScriptedConsumer, how: str
) -> None:
    client = KafkaClient(Settings(), Listener())
    client.subscribe(lambda _offsets: None)
    driver.rebalance("on_assign", P0, P1)
    driver.messages = [
        Message(topic="image_data", partition=0, offset=7, value=b"v"),
        Message(topic="image_data", partition=1, offset=3, value=b"v"),
    ]
    driver.during_consume = lambda: driver.rebalance(how, P0)
    assert [(m.partition(), m.offset()) for m in client.fetch(10, 0)] == [(1, 3)]


def test_a_commit_that_is_answered_is_heard_of_at_once(driver: ScriptedConsumer) -> None:
    heard: list[Mapping[Partition, int]] = []
    client = KafkaClient(Settings(), Listener())
    client.subscribe(heard.append)
    driver.rebalance("on_assign", P0)
    client.commit_now({Partition("image_data", 0): 7, Partition("image_data", 1): 9})
    assert heard == [{Partition("image_data", 0): 7}], "only what is owned"


def test_a_commit_that_is_refused_is_not_heard_of(driver: ScriptedConsumer) -> None:
    heard: list[Mapping[Partition, int]] = []
    client = KafkaClient(Settings(), Listener())
    client.subscribe(heard.append)
    driver.rebalance("on_assign", P0)
    driver.refusal = KafkaException(KafkaError(KafkaError.REQUEST_TIMED_OUT))
    client.commit_now({Partition("image_data", 0): 7})
    assert heard == [{}]


def test_a_commit_within_a_revocation_stays_on_its_thread(driver: ScriptedConsumer) -> None:
    """The driver lets no other thread commit before the callback has returned."""
    client = KafkaClient(Settings(), Listener())
    client.subscribe(lambda _offsets: None)
    driver.rebalance("on_assign", P0)
    client.commit_now({Partition("image_data", 0): 7})
    assert driver.committed_by == threading.get_ident()
