"""The consumer's Kafka client between rebalances, with a scripted driver below it."""

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition

from tests.e2e.pipeline import wait_until
from tests.fakes import FakeAdmin, ScriptedConsumer
from velox.core.offsets import Gap
from velox.errors import RewoundError, SettingsError, VeloxError
from velox.kafka import client as kafka_client
from velox.kafka import standing
from velox.kafka.client import KafkaClient
from velox.records import Partition
from velox.settings import Settings

P0, P1 = TopicPartition("image_data", 0), TopicPartition("image_data", 1)
AT0, AT1 = Partition("image_data", 0), Partition("image_data", 1)


class Listener:
    """Notes what it hears."""

    def __init__(self) -> None:
        self.starts: dict[Partition, int] = {}
        self.assignments = 0
        self.gone: list[tuple[str, list[Partition]]] = []
        self.while_hearing: Callable[[], None] = lambda: None
        """What it does when partitions go."""
        self.refusals: list[str] = []

    def assigned(self, starts: Mapping[Partition, int]) -> None:
        self.assignments += 1
        self.starts |= starts

    def revoked(self, partitions: Sequence[Partition]) -> None:
        self.gone.append(("revoked", list(partitions)))
        self.while_hearing()

    def lost(self, partitions: Sequence[Partition]) -> None:
        self.gone.append(("lost", list(partitions)))
        self.while_hearing()

    def refused(self, error: str) -> None:
        self.refusals.append(error)


def message(partition: int, offset: int, error: int | None = None) -> Message:
    why = None if error is None else KafkaError(error, "it says why")
    return Message(
        topic="image_data", partition=partition, offset=offset, value=b"v" if why is None else None, error=why
    )


@pytest.fixture
def admin(monkeypatch: pytest.MonkeyPatch) -> FakeAdmin:
    made = FakeAdmin()
    monkeypatch.setattr(kafka_client, "lag_client", lambda _settings: made)
    return made


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch, admin: FakeAdmin) -> ScriptedConsumer:
    scripted = ScriptedConsumer()

    def make(config: dict[str, Any]) -> ScriptedConsumer:
        scripted.config = config
        return scripted

    monkeypatch.setattr(kafka_client, "Consumer", make)
    return scripted


def joined(driver: ScriptedConsumer, listener: Listener | None = None, **settings: Any) -> KafkaClient:  # noqa: ANN401 - any
    """A member of the group that owns partitions 0 and 1 from its next ``fetch`` on."""
    client = KafkaClient(Settings(**settings))
    client.subscribe(listener or Listener(), lambda _offsets: None)
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

    KafkaClient(Settings()).subscribe(Listener(), lambda _offsets: None, is_stopping=is_stopping)
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
        KafkaClient(Settings()).fetch(10, 0)


def test_a_commit_that_is_answered_is_heard_of_at_once(driver: ScriptedConsumer) -> None:
    heard: list[Mapping[Partition, int]] = []
    client = KafkaClient(Settings())
    client.subscribe(Listener(), heard.append)
    driver.rebalance("on_assign", P0)
    client.commit_now({Partition("image_data", 0): 7, Partition("image_data", 1): 9})
    assert heard == [{Partition("image_data", 0): 7}], "only what is owned"


def test_a_commit_that_is_refused_is_not_heard_of_but_counted(
    driver: ScriptedConsumer, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[Mapping[Partition, int]] = []
    listener = Listener()
    client = KafkaClient(Settings())
    client.subscribe(listener, heard.append)
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
    client = KafkaClient(Settings())
    client.subscribe(Listener(), lambda _offsets: None)
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
    KafkaClient(Settings())
    driver.config["error_cb"](KafkaError(KafkaError._SSL, "certificate verify failed"))
    assert "check KAFKA_SSL_CA_LOCATION" in caplog.text


def test_it_joins_for_its_topic_and_leaves_when_it_is_closed(driver: ScriptedConsumer) -> None:
    client = joined(driver, kafka_topic="image_data")
    assert driver.topics == ["image_data"]
    assert client.membership() == "member 1 of generation 7"
    client.close()
    assert driver.closed


def test_a_member_that_gets_no_partitions_has_joined_all_the_same(driver: ScriptedConsumer) -> None:
    listener = Listener()
    KafkaClient(Settings()).subscribe(listener, lambda _offsets: None)
    driver.rebalance("on_assign")
    assert (listener.assignments, listener.starts) == (1, {})


def test_no_more_is_fetched_than_asked_for(driver: ScriptedConsumer) -> None:
    client = joined(driver)
    client.fetch(1, 0)
    for most in (1, 2, 5):
        driver.messages = [message(0, offset) for offset in range(10)]
        assert len(client.fetch(most, 0)) == most


def test_while_partitions_are_revoked_what_is_done_can_be_committed_and_not_after(driver: ScriptedConsumer) -> None:
    listener = Listener()
    client = joined(driver, listener)
    client.fetch(10, 0)
    listener.while_hearing = lambda: client.commit_now({AT0: 7, AT1: 7})
    driver.rebalance("on_revoke", P0)
    assert listener.gone == [("revoked", [AT0])]
    assert driver.commits == [{0: 7, 1: 7}]
    assert client.owned == {AT1}
    client.commit_now({AT0: 8, AT1: 8})
    assert driver.commits[1:] == [{1: 8}]


def test_nothing_is_committed_for_partitions_that_are_lost_not_even_when_it_is_heard(driver: ScriptedConsumer) -> None:
    listener = Listener()
    client = joined(driver, listener)
    client.fetch(10, 0)
    listener.while_hearing = lambda: client.commit_now({AT0: 7, AT1: 7})
    driver.rebalance("on_lost", P0)
    assert listener.gone == [("lost", [AT0])]
    assert driver.commits == [{1: 7}]
    assert client.owned == {AT1}


def test_a_commit_in_the_background_is_heard_of_when_its_answer_is_here(driver: ScriptedConsumer) -> None:
    heard: list[Mapping[Partition, int]] = []
    listener = Listener()
    client = joined(driver, listener)
    client.fetch(10, 0)
    client.subscribe(listener, heard.append)
    client.commit({AT0: 7, AT1: 9, Partition("image_data", 2): 1})
    assert heard == []
    driver.refused = {1}
    client.fetch(10, 0)
    assert heard == [{AT0: 7}], "the other was refused, or is another member's"
    assert listener.refusals == ["REBALANCE_IN_PROGRESS"]


def test_where_there_is_nothing_to_commit_nothing_is(driver: ScriptedConsumer) -> None:
    """The driver itself would take that for the offsets that it has noted."""
    client = joined(driver)
    client.fetch(10, 0)
    for offsets in ({}, {Partition("image_data", 2): 1}):
        client.commit(offsets)
        client.commit_now(offsets)
    assert driver.committed_by is None


def test_a_partition_that_comes_back_gives_its_records_again(driver: ScriptedConsumer) -> None:
    client = joined(driver)
    client.fetch(10, 0)
    driver.messages = [message(0, 7), message(1, 3)]
    driver.during_consume = lambda: driver.rebalance("on_revoke", P0)
    client.fetch(10, 0)
    driver.during_consume = lambda: None
    driver.rebalance("on_assign", P0)
    client.fetch(10, 0)
    driver.messages = [message(0, 3), message(0, 4)]
    assert [m.offset() for m in client.fetch(10, 0)] == [3, 4]


def test_a_partition_that_goes_before_it_was_begun_is_not_begun(driver: ScriptedConsumer) -> None:
    listener = Listener()
    client = joined(driver, listener)
    driver.silent = True
    client.fetch(10, 0)
    driver.rebalance("on_revoke", P0)
    driver.silent = False
    client.fetch(10, 0)
    assert listener.starts == {AT1: 3}
    assert driver.sought == [(1, 3)]


def test_a_beginning_that_the_broker_refuses_for_one_partition_does_not_hold_up_the_others(
    driver: ScriptedConsumer,
) -> None:
    listener = Listener()
    driver.offsets, driver.refused = {}, {1}
    client = joined(driver, listener)
    client.fetch(10, 0)
    assert (listener.starts, driver.still) == ({AT0: 2}, {1})
    driver.refused = set()
    client.fetch(10, 0)
    assert (listener.starts, driver.still) == ({AT0: 2, AT1: 2}, set())


def test_that_nobody_says_where_the_group_is_is_told_once(
    driver: ScriptedConsumer, caplog: pytest.LogCaptureFixture
) -> None:
    client = joined(driver)
    driver.silent = True
    for _ in range(3):
        client.fetch(10, 0)
    (told,) = caplog.messages
    assert told.startswith("Kafka does not say how far the group is: ")


def test_the_lag_is_what_lies_behind_the_position(driver: ScriptedConsumer, admin: FakeAdmin) -> None:
    client = joined(driver)
    client.fetch(10, 0)
    assert client.positions() == {AT0: 3, AT1: 3}, "where they begin, before anything was fetched"
    driver.at = {0: 10, 1: 12}
    assert client.positions() == {AT0: 10, AT1: 12}
    admin.ends = {AT0: 15, AT1: 11}
    assert client.look(client.positions(), is_reading=True) == {}, "asked for, not known yet"
    assert client.look(client.positions(), is_reading=True) == {AT0: 5, AT1: 0}, (
        "an end that is older than the position"
    )


def test_a_partition_that_came_back_has_no_position_before_it_is_begun(driver: ScriptedConsumer) -> None:
    client = joined(driver)
    client.fetch(10, 0)
    driver.rebalance("on_revoke", P0)
    driver.silent = True
    driver.rebalance("on_assign", P0)
    client.fetch(10, 0)
    assert client.positions() == {AT1: 3}


def test_a_member_without_partitions_notices_that_the_topic_is_gone(driver: ScriptedConsumer, admin: FakeAdmin) -> None:
    client = KafkaClient(Settings())
    admin.refusal = KafkaException(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART))
    assert client.look({}, is_reading=True) == {}
    with pytest.raises(RewoundError, match="image_data is gone"):
        client.look({}, is_reading=True)


def test_that_we_may_not_know_the_lag_is_told(
    driver: ScriptedConsumer, admin: FakeAdmin, caplog: pytest.LogCaptureFixture
) -> None:
    client = joined(driver)
    client.fetch(10, 0)
    admin.refusal = KafkaException(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED))
    for _ in range(3):
        assert client.look(client.positions(), is_reading=True) == {}
    assert "the lag is unknown" in caplog.text


def test_records_that_expired_are_counted(driver: ScriptedConsumer, admin: FakeAdmin) -> None:
    client = joined(driver)
    admin.beginnings = {AT0: 70}
    assert client.expired([Gap(AT0, 50, 70)]) == {}
    assert client.expired([]) == {AT0: 20}


@pytest.mark.parametrize("code", [KafkaError._BAD_MSG, KafkaError._BAD_COMPRESSION, KafkaError._NOT_IMPLEMENTED])
def test_a_batch_that_cannot_be_read_is_damage_and_not_the_end(driver: ScriptedConsumer, code: int) -> None:
    client = joined(driver)
    client.fetch(10, 0)
    driver.messages = [message(1, 3), message(0, 20, error=code)]
    assert [m.partition() for m in client.fetch(10, 0)] == [1]
    assert client.damaged == {AT0: 20}
    driver.rebalance("on_revoke", P0)
    assert client.damaged == {}, "its next owner's"


def test_damage_in_a_partition_that_is_not_begun_says_nothing_of_where_it_begins(driver: ScriptedConsumer) -> None:
    client = joined(driver)
    driver.silent = True
    driver.messages = [message(0, 20, error=KafkaError._BAD_MSG)]
    assert client.fetch(10, 0) == []
    assert client.damaged == {}


def test_a_damaged_batch_is_skipped_where_that_is_wanted_and_its_records_are_counted(
    driver: ScriptedConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standing, "first_readable", lambda _settings, _partition, offset: offset + 5)
    client = joined(driver, damaged_batches="skip")
    client.fetch(10, 0)
    driver.messages = [message(0, 20, error=KafkaError._BAD_MSG)]
    client.fetch(10, 0)
    skipped: dict[Partition, int] = {}

    def is_skipped() -> bool:
        client.look(client.positions(), is_reading=True)
        skipped.update(client.skip())
        return bool(skipped)

    wait_until(is_skipped, what="its end is found")
    assert skipped == {AT0: 5}
    assert driver.sought[-1] == (0, 25)
    assert client.positions() == {AT0: 25, AT1: 3}, "though nothing has come from there yet"
    assert (client.damaged, client.skip()) == ({}, {})


def test_a_partition_that_stands_still_is_looked_into(
    driver: ScriptedConsumer, admin: FakeAdmin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standing, "_PATIENCE_S", -1)
    monkeypatch.setattr(standing, "is_readable", lambda *_: False)
    client = joined(driver)
    client.fetch(10, 0)
    admin.ends = admin.stable = {AT0: 9, AT1: 3}

    def is_damaged() -> bool:
        client.look(client.positions(), is_reading=True)
        return bool(client.damaged)

    wait_until(is_damaged, what="it is found damaged")
    assert client.damaged == {AT0: 3}


@pytest.mark.parametrize("reset", ["latest", "earliest", "error"])
def test_the_driver_is_never_left_to_find_where_a_partition_begins(driver: ScriptedConsumer, reset: str) -> None:
    driver.offsets = {0: 7}
    joined(driver, auto_offset_reset=reset).fetch(10, 0)
    assert driver.given == {0: 7, 1: 2}, "a late answer to it would move the partition to its end"
    assert sorted(driver.sought) == [(0, 7), (1, 2)]


def test_a_partition_waits_at_0_and_is_not_read_while_kafka_does_not_say_where_it_begins(
    driver: ScriptedConsumer,
) -> None:
    listener = Listener()
    client = joined(driver, listener, auto_offset_reset="latest")
    driver.silent = True
    client.fetch(10, 0)
    assert (driver.given, driver.still, driver.sought) == ({0: 0, 1: 0}, {0, 1}, [])
    driver.silent = False
    client.fetch(10, 0)
    assert (listener.starts, driver.still) == ({AT0: 3, AT1: 3}, set())


def test_a_beginning_that_is_chosen_stays_until_it_can_be_committed(driver: ScriptedConsumer) -> None:
    listener = Listener()
    driver.offsets = {}
    client = joined(driver, listener, auto_offset_reset="latest")
    driver.refused = {1}
    client.fetch(10, 0)
    driver.watermarks = (2, 50)
    driver.refused, driver.offsets = set(), {0: 9}
    client.fetch(10, 0)
    assert listener.starts == {AT0: 9, AT1: 9}, "41 records came meanwhile"


def test_a_beginning_that_was_chosen_is_forgotten_with_its_partition(driver: ScriptedConsumer) -> None:
    listener = Listener()
    driver.offsets, driver.refused = {}, {0, 1}
    client = joined(driver, listener, auto_offset_reset="latest")
    client.fetch(10, 0)
    driver.rebalance("on_lost", P1)
    driver.watermarks, driver.refused = (2, 50), set()
    driver.rebalance("on_assign", P1)
    client.fetch(10, 0)
    assert listener.starts == {AT0: 9, AT1: 50}, "somebody else had it meanwhile"


def test_a_group_that_is_to_begin_nowhere_ends_where_kafka_has_removed_what_it_would_read(
    driver: ScriptedConsumer,
) -> None:
    client = joined(driver, auto_offset_reset="error")
    client.fetch(10, 0)
    driver.messages = [message(1, 0, error=KafkaError._AUTO_OFFSET_RESET)]
    with pytest.raises(VeloxError, match="AUTO_OFFSET_RESET=error"):
        client.fetch(10, 0)


def test_what_keeps_it_from_its_group_can_be_asked_for(driver: ScriptedConsumer) -> None:
    client = KafkaClient(Settings())
    client.subscribe(Listener(), lambda _offsets: None)
    assert client.problem is None
    driver.messages = [Message(error=KafkaError(KafkaError.INCONSISTENT_GROUP_PROTOCOL))]
    client.listen()
    assert "set what they use, or stop them" in str(client.problem)
    driver.rebalance("on_assign", P0)
    assert client.problem is None, "it was let in"


def test_an_error_that_only_a_restart_mends_is_heard_while_it_waits_to_join(driver: ScriptedConsumer) -> None:
    client = KafkaClient(Settings())
    client.listen()
    driver.messages = [Message(error=KafkaError(KafkaError._FATAL, "fenced"))]
    with pytest.raises(VeloxError, match="fenced; this member of the group cannot go on"):
        client.listen()


CAMERAS: dict[str, Any] = {"kafka_topic": r"^camera_\d+$", "dead_letter_topic": "bad"}


def test_several_topics_are_subscribed_together(driver: ScriptedConsumer, admin: FakeAdmin) -> None:
    client = joined(driver, kafka_topic="camera_{1..2},image_data", dead_letter_topic="bad")
    assert driver.subscribed == [["camera_1", "camera_2", "image_data"]]
    client.fetch(10, 0)
    client.look({AT0: 3}, is_reading=True)
    assert admin.asked == {AT0, AT1}, "the others may only just have been created"


def test_of_a_topic_that_was_lost_is_asked_whether_it_is_gone(driver: ScriptedConsumer, admin: FakeAdmin) -> None:
    client = joined(driver, kafka_topic="camera_1,image_data", dead_letter_topic="bad")
    client.fetch(10, 0)
    client.look({}, is_reading=True)
    driver.rebalance("on_revoke", P0, P1)
    admin.asked.clear()
    client.look({}, is_reading=True)
    client.look({}, is_reading=True)
    assert admin.asked == {AT0}


def test_a_pattern_subscribes_what_it_matches_and_what_it_matches_later(
    driver: ScriptedConsumer, admin: FakeAdmin
) -> None:
    driver.topics_there = ["camera_2", "image_data", "camera_1"]
    client = joined(driver, **CAMERAS)
    assert driver.subscribed == [["camera_1", "camera_2"]]
    assert client.problem is None
    admin.topics = ["camera_1", "camera_2", "camera_3"]

    def is_subscribed() -> bool:
        client.look({}, is_reading=True)
        return len(driver.subscribed) > 1

    wait_until(is_subscribed, what="the new one is subscribed")
    assert driver.subscribed[1:] == [["camera_1", "camera_2", "camera_3"]]


def test_a_pattern_that_matches_nothing_yet_is_what_keeps_it_from_its_group(
    driver: ScriptedConsumer, admin: FakeAdmin
) -> None:
    client = KafkaClient(Settings(**CAMERAS))
    client.subscribe(Listener(), lambda _offsets: None)
    assert driver.subscribed == [[]]
    assert client.problem == r"no topic matches ^camera_\d+$"
    admin.topics = ["camera_1"]

    def is_subscribed() -> bool:
        client.look({}, is_reading=True)
        return driver.subscribed[-1] == ["camera_1"]

    wait_until(is_subscribed, what="it is subscribed")
    assert client.problem is None


@pytest.mark.parametrize("is_pattern", [False, True])
def test_that_a_topic_is_gone_ends_the_consumer_unless_it_is_one_of_a_pattern(
    driver: ScriptedConsumer, admin: FakeAdmin, is_pattern: bool
) -> None:
    driver.topics_there = admin.topics = ["image_data"]
    settings: dict[str, Any] = {"kafka_topic": "^image_data$", "dead_letter_topic": "bad"} if is_pattern else {}
    client = joined(driver, **settings)
    client.fetch(10, 0)
    admin.refusal = KafkaException(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART))
    client.look({AT0: 3}, is_reading=True)
    if is_pattern:
        assert client.look({AT0: 3}, is_reading=True) == {}
    else:
        with pytest.raises(RewoundError, match="image_data is gone: was it deleted"):
            client.look({AT0: 3}, is_reading=True)


@pytest.mark.parametrize(("committed", "start"), [({}, 9), ({0: 3}, 2)])
def test_a_topic_that_is_new_to_a_group_at_work_is_read_from_its_beginning(
    driver: ScriptedConsumer, admin: FakeAdmin, committed: dict[int, int], start: int
) -> None:
    driver.topics_there, driver.offsets = ["image_data", "camera_1"], committed
    listener = Listener()
    settings: dict[str, Any] = {
        "kafka_topic": "^camera_|^image_",
        "dead_letter_topic": "bad",
        "auto_offset_reset": "latest",
    }
    client = joined(driver, listener, **settings)
    client.fetch(10, 0)
    assert listener.starts[AT1] == start
    driver.rebalance("on_assign", TopicPartition("camera_2", 0))
    driver.offsets = {}
    client.fetch(10, 0)
    assert listener.starts[Partition("camera_2", 0)] == 2, "it was not there when the consumer started"
