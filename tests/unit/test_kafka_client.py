"""The consumer's Kafka client between rebalances, with a scripted driver below it."""

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from velox.errors import SettingsError, VeloxError
from velox.kafka import client as kafka_client
from velox.kafka.client import KafkaClient
from velox.records import Partition
from velox.settings import Settings

P0, P1 = TopicPartition("image_data", 0), TopicPartition("image_data", 1)


class ScriptedConsumer:
    """Gives out messages, and rebalances in the middle of ``consume`` when told to."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config
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

    def committed(self, _partitions: list[TopicPartition], *, timeout: float) -> list[TopicPartition]:
        assert timeout > 0
        return []

    def assignment(self) -> list[TopicPartition]:
        return []

    def resume(self, _partitions: list[TopicPartition]) -> None: ...


class Listener:
    """Hears of rebalances and does nothing."""

    def assigned(self, partitions: Sequence[Partition], committed: Mapping[Partition, int]) -> None: ...
    def revoked(self, partitions: Sequence[Partition]) -> None: ...
    def lost(self, partitions: Sequence[Partition]) -> None: ...


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> ScriptedConsumer:
    scripted = ScriptedConsumer({})

    def make(config: dict[str, Any]) -> ScriptedConsumer:
        scripted.config = config
        return scripted

    monkeypatch.setattr(kafka_client, "Consumer", make)
    monkeypatch.setattr(kafka_client, "lag_client", lambda _settings: None)
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


def test_an_error_that_is_fatal_for_the_client_ends_it(driver: ScriptedConsumer) -> None:
    """As the driver tells it: an error of its own, not the fatal one itself."""
    driver.messages = [Message(error=KafkaError(KafkaError._FATAL, "fenced by other consumer"))]
    with pytest.raises(VeloxError, match="fenced by other consumer; this member of the group cannot go on"):
        KafkaClient(Settings(), Listener()).fetch(10, 0)


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


def test_a_password_that_is_no_longer_right_ends_the_consumer(driver: ScriptedConsumer) -> None:
    KafkaClient(Settings(), Listener())
    with pytest.raises(SettingsError, match="check KAFKA_SASL_USERNAME, KAFKA_SASL_PASSWORD"):
        driver.config["error_cb"](KafkaError(KafkaError._AUTHENTICATION, "Authentication failed"))


def test_one_brokers_bad_certificate_does_not_end_the_consumer_but_is_told(
    driver: ScriptedConsumer, caplog: pytest.LogCaptureFixture
) -> None:
    KafkaClient(Settings(), Listener())
    driver.config["error_cb"](KafkaError(KafkaError._SSL, "certificate verify failed"))
    assert "check KAFKA_SSL_CA_LOCATION" in caplog.text
