"""The consumer's Kafka client between rebalances, with a scripted driver below it."""

import threading
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest
from confluent_kafka import OFFSET_INVALID, Consumer, KafkaError, KafkaException, Message, TopicPartition

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
        self.silent = False
        """Whether the broker answers no question."""
        self.offsets: dict[int, int] = {0: 3, 1: 3}
        """What the group has committed, by partition."""
        self.unstable: set[int] = set()
        """Partitions with an open transaction that may move that."""
        self.watermarks = (2, 9)
        self.there = [0, 1]
        self.commits: list[dict[int, int]] = []
        self.committed_by: int | None = None
        self.sought: list[tuple[int, int]] = []
        self.still: set[int] = set()
        self.during_poll: Callable[[], None] = lambda: None
        self.during_consume: Callable[[], None] = lambda: None
        self._assigned: list[TopicPartition] = []

    def subscribe(self, _topics: Sequence[str], **callbacks: Callable[..., None]) -> None:
        self.callbacks = callbacks

    def rebalance(self, what: str, *partitions: TopicPartition) -> None:
        self.callbacks[what](cast("Consumer", self), list(partitions))
        numbers = {at.partition for at in partitions}
        self._assigned = [at for at in self._assigned if at.partition not in numbers]
        self._assigned += partitions if what == "on_assign" else ()

    def poll(self, _timeout_s: float) -> Message | None:
        self.during_poll()
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
        self.commits.append({at.partition: at.offset for at in offsets})
        return offsets

    def list_topics(self, topic: str, *, timeout: float) -> Any:  # noqa: ANN401 - a part of the driver's metadata
        self._answer(timeout)
        return SimpleNamespace(topics={topic: SimpleNamespace(partitions=dict.fromkeys(self.there))})

    def committed(self, partitions: list[TopicPartition], *, timeout: float) -> list[Any]:
        self._answer(timeout)
        unstable = KafkaError(KafkaError.UNSTABLE_OFFSET_COMMIT)
        return [
            SimpleNamespace(
                topic=at.topic,
                partition=at.partition,
                offset=OFFSET_INVALID
                if at.partition in self.unstable
                else self.offsets.get(at.partition, OFFSET_INVALID),
                error=unstable if at.partition in self.unstable else None,
            )
            for at in partitions
        ]

    def get_watermark_offsets(self, _at: TopicPartition, *, timeout: float) -> tuple[int, int]:
        self._answer(timeout)
        return self.watermarks

    def seek(self, at: TopicPartition) -> None:
        self.sought.append((at.partition, at.offset))

    def position(self, partitions: list[TopicPartition]) -> list[TopicPartition]:
        return [TopicPartition(at.topic, at.partition, OFFSET_INVALID) for at in partitions]

    def assignment(self) -> list[TopicPartition]:
        return self._assigned

    def pause(self, partitions: list[TopicPartition]) -> None:
        self.still.update(at.partition for at in partitions)

    def resume(self, partitions: list[TopicPartition]) -> None:
        self.still.difference_update(at.partition for at in partitions)

    def _answer(self, timeout_s: float) -> None:
        assert timeout_s > 0
        if self.silent:
            raise KafkaException(KafkaError(KafkaError._TRANSPORT))


class Listener:
    """Notes what it hears."""

    def __init__(self) -> None:
        self.starts: dict[Partition, int] = {}
        self.refusals: list[str] = []

    def assigned(self, starts: Mapping[Partition, int]) -> None:
        self.starts |= starts

    def revoked(self, partitions: Sequence[Partition]) -> None: ...
    def lost(self, partitions: Sequence[Partition]) -> None: ...

    def refused(self, error: str) -> None:
        self.refusals.append(error)


def message(partition: int, offset: int) -> Message:
    return Message(topic="image_data", partition=partition, offset=offset, value=b"v")


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> ScriptedConsumer:
    scripted = ScriptedConsumer({})

    def make(config: dict[str, Any]) -> ScriptedConsumer:
        scripted.config = config
        return scripted

    monkeypatch.setattr(kafka_client, "Consumer", make)
    monkeypatch.setattr(kafka_client, "lag_client", lambda _settings: None)
    return scripted


def joined(driver: ScriptedConsumer, listener: Listener | None = None, **settings: Any) -> KafkaClient:  # noqa: ANN401 - any
    """A member of the group that owns partitions 0 and 1 from its next ``fetch`` on."""
    client = KafkaClient(Settings(**settings), listener or Listener())
    client.subscribe(lambda _offsets: None)
    rebalances = [lambda: driver.rebalance("on_assign", P0, P1)]
    driver.during_poll = lambda: rebalances.pop()() if rebalances else None
    return client


def test_partitions_are_fetched_from_where_the_group_is(driver: ScriptedConsumer) -> None:
    listener = Listener()
    joined(driver, listener).fetch(10, 0)
    assert listener.starts == {Partition("image_data", 0): 3, Partition("image_data", 1): 3}
    assert (driver.commits, driver.still) == ([], set())


@pytest.mark.parametrize(("reset", "start"), [("latest", 9), ("earliest", 2)])
def test_the_beginning_of_a_partition_without_one_is_committed_before_anything_is_fetched(
    driver: ScriptedConsumer, reset: str, start: int
) -> None:
    listener = Listener()
    driver.offsets = {}
    client = joined(driver, listener, auto_offset_reset=reset)
    driver.messages = [message(0, 40)]
    assert client.fetch(10, 0) == [], "it came before its beginning was known"
    assert driver.commits == [{0: start, 1: start}]
    assert sorted(driver.sought) == [(0, start), (1, start)]
    assert listener.starts == {Partition("image_data", 0): start, Partition("image_data", 1): start}
    assert driver.still == set()


@pytest.mark.parametrize("reset", ["latest", "earliest", "error"])
def test_a_partition_that_appears_while_the_group_is_at_work_is_read_from_its_beginning(
    driver: ScriptedConsumer, reset: str
) -> None:
    listener = Listener()
    driver.offsets = {0: 3}
    joined(driver, listener, auto_offset_reset=reset).fetch(10, 0)
    assert listener.starts == {Partition("image_data", 0): 3, Partition("image_data", 1): 2}
    assert driver.commits == [{1: 2}]


def test_a_partition_that_was_not_there_when_a_new_group_started_is_read_from_its_beginning(
    driver: ScriptedConsumer,
) -> None:
    listener = Listener()
    driver.offsets, driver.there = {}, [0]
    joined(driver, listener, auto_offset_reset="latest").fetch(10, 0)
    assert listener.starts == {Partition("image_data", 0): 9, Partition("image_data", 1): 2}


def test_a_new_group_ends_where_it_is_told_to_begin_nowhere(driver: ScriptedConsumer) -> None:
    driver.offsets = {}
    with pytest.raises(VeloxError, match="AUTO_OFFSET_RESET=error: the group has no committed offset in image_data-0"):
        joined(driver, auto_offset_reset="error").fetch(10, 0)


def test_partitions_stay_paused_until_the_broker_takes_their_beginning(driver: ScriptedConsumer) -> None:
    listener = Listener()
    client = joined(driver, listener)
    driver.silent = True
    driver.messages = [message(0, 3)]
    assert client.fetch(10, 0) == []
    assert (driver.still, listener.starts) == ({0, 1}, {})
    driver.silent, driver.offsets = False, {0: 3}
    driver.refusal = KafkaException(KafkaError(KafkaError.REBALANCE_IN_PROGRESS))
    client.fetch(10, 0)
    assert driver.still == {0, 1}
    driver.refusal = None
    client.fetch(10, 0)
    assert (driver.still, len(listener.starts)) == (set(), 2)


def test_a_partition_whose_offset_a_transaction_may_still_move_is_not_begun(driver: ScriptedConsumer) -> None:
    listener = Listener()
    client = joined(driver, listener)
    driver.unstable = {1}
    client.fetch(10, 0)
    assert (driver.commits, driver.still) == ([], {1})
    assert listener.starts == {Partition("image_data", 0): 3}
    driver.unstable = set()
    client.fetch(10, 0)
    assert (driver.still, listener.starts[Partition("image_data", 1)]) == (set(), 3)


def test_a_pause_holds_for_partitions_that_come_later(driver: ScriptedConsumer) -> None:
    client = joined(driver)
    client.pause()
    client.fetch(10, 0)
    assert driver.still == {0, 1}
    client.resume()
    assert driver.still == set()


def test_a_broker_that_is_away_when_it_joins_is_waited_for(driver: ScriptedConsumer) -> None:
    driver.silent = True
    tries = []

    def is_stopping() -> bool:
        tries.append(1)
        driver.silent = len(tries) < 3
        return False

    KafkaClient(Settings(), Listener()).subscribe(lambda _offsets: None, is_stopping=is_stopping)
    assert len(tries) == 3


@pytest.mark.parametrize("how", ["on_revoke", "on_lost"])
def test_a_record_of_a_partition_that_goes_while_more_are_taken_is_left_to_its_next_owner(
    driver: ScriptedConsumer, how: str
) -> None:
    client = joined(driver)
    client.fetch(10, 0)
    driver.messages = [message(0, 7), message(1, 3)]
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


def test_a_commit_that_is_refused_is_not_heard_of_but_counted(
    driver: ScriptedConsumer, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[Mapping[Partition, int]] = []
    listener = Listener()
    client = KafkaClient(Settings(), listener)
    client.subscribe(heard.append)
    driver.rebalance("on_assign", P0)
    for code in (KafkaError.REQUEST_TIMED_OUT, KafkaError.REBALANCE_IN_PROGRESS):
        driver.refusal = KafkaException(KafkaError(code))
        client.commit_now({Partition("image_data", 0): 7})
    assert heard == [{}, {}]
    assert listener.refusals == ["REQUEST_TIMED_OUT", "REBALANCE_IN_PROGRESS"]
    (told,) = (record.getMessage() for record in caplog.records)
    assert told.startswith("Commit of image_data-0 at 7 refused: "), "of a rebalance there is nothing to tell"


def test_a_commit_within_a_revocation_stays_on_its_thread(driver: ScriptedConsumer) -> None:
    """The driver lets no other thread commit before the callback has returned."""
    client = KafkaClient(Settings(), Listener())
    client.subscribe(lambda _offsets: None)
    driver.rebalance("on_assign", P0)
    client.commit_now({Partition("image_data", 0): 7})
    assert driver.committed_by == threading.get_ident()


def test_a_password_that_is_not_right_ends_the_consumer_but_not_once_it_was_let_in(
    driver: ScriptedConsumer, caplog: pytest.LogCaptureFixture
) -> None:
    """A broker that starts has not read its passwords yet."""
    client = joined(driver)
    refusal = KafkaError(KafkaError._AUTHENTICATION, "Authentication failed")
    with pytest.raises(SettingsError, match="check KAFKA_SASL_USERNAME, KAFKA_SASL_PASSWORD"):
        driver.config["error_cb"](refusal)
    client.fetch(10, 0)
    for _ in range(3):
        driver.config["error_cb"](refusal)
    assert caplog.text.count("check KAFKA_SASL_USERNAME, KAFKA_SASL_PASSWORD") == 1


def test_one_brokers_bad_certificate_does_not_end_the_consumer_but_is_told(
    driver: ScriptedConsumer, caplog: pytest.LogCaptureFixture
) -> None:
    KafkaClient(Settings(), Listener())
    driver.config["error_cb"](KafkaError(KafkaError._SSL, "certificate verify failed"))
    assert "check KAFKA_SSL_CA_LOCATION" in caplog.text
