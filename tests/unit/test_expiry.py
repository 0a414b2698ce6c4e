"""Which gaps between offsets are a loss: only where the partition begins later now."""

from concurrent.futures import Future
from typing import Any, cast

import pytest
from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from velox.core.offsets import Gap
from velox.kafka.expiry import Expiry
from velox.records import Partition

P0, P1 = Partition("image_data", 0), Partition("image_data", 1)


class Beginning:
    def __init__(self, offset: int) -> None:
        self.offset = offset


class SlowAdmin:
    """Answers when it is told to."""

    def __init__(self) -> None:
        self.asked: dict[Partition, Future[Beginning]] = {}
        self.is_connected = True

    def list_offsets(self, wanted: dict[TopicPartition, Any], *, request_timeout: float) -> Any:  # noqa: ANN401
        assert request_timeout > 0
        if not self.is_connected:
            raise KafkaException
        futures = {at: Future[Beginning]() for at in wanted}
        self.asked = {Partition(at.topic, at.partition): future for at, future in futures.items()}
        return futures

    def answer(self, **beginnings: int) -> None:
        for name, offset in beginnings.items():
            self.asked[{"p0": P0, "p1": P1}[name]].set_result(Beginning(offset))


@pytest.fixture
def admin() -> SlowAdmin:
    return SlowAdmin()


@pytest.fixture
def expiry(admin: SlowAdmin) -> Expiry:
    return Expiry(cast("AdminClient", admin))


def test_without_a_gap_nothing_is_asked(expiry: Expiry, admin: SlowAdmin) -> None:
    assert expiry.count([]) == {}
    assert admin.asked == {}


def test_a_gap_is_a_loss_where_the_partition_begins_after_its_start(expiry: Expiry, admin: SlowAdmin) -> None:
    assert expiry.count([Gap(P0, 50, 70), Gap(P1, 5, 7)]) == {}, "not known yet"
    assert expiry.count([]) == {}
    admin.answer(p0=70, p1=5)
    assert expiry.count([]) == {P0: 20}, "the other one is compaction's, or a transaction's"
    assert expiry.count([]) == {}, "told once"


def test_what_was_jumped_over_behind_the_beginning_is_lost_too(expiry: Expiry, admin: SlowAdmin) -> None:
    expiry.count([Gap(P0, 50, 100)])
    admin.answer(p0=70)
    assert expiry.count([]) == {P0: 50}, "AUTO_OFFSET_RESET=latest goes on at the end"


def test_a_gap_that_comes_while_a_question_is_open_is_asked_about_next(expiry: Expiry, admin: SlowAdmin) -> None:
    expiry.count([Gap(P0, 1, 2)])
    expiry.count([Gap(P1, 5, 7)])
    admin.answer(p0=0)
    assert expiry.count([]) == {}
    admin.answer(p1=6)
    assert expiry.count([]) == {P1: 2}


def test_a_question_that_fails_is_asked_again(expiry: Expiry, admin: SlowAdmin) -> None:
    admin.is_connected = False
    assert expiry.count([Gap(P0, 1, 3)]) == {}
    admin.is_connected = True
    expiry.count([])
    admin.asked[P0].set_exception(KafkaException())
    expiry.count([])
    admin.answer(p0=2)
    assert expiry.count([]) == {P0: 2}


def test_where_nobody_answers_gaps_do_not_gather_for_ever(expiry: Expiry, admin: SlowAdmin) -> None:
    admin.is_connected = False
    for thousand in range(20):
        expiry.count([Gap(P0, offset, offset + 1) for offset in range(1000 * thousand, 1000 * (thousand + 1))])
    admin.is_connected = True
    expiry.count([])
    admin.answer(p0=100_000)
    assert expiry.count([]) == {P0: 10_000}
