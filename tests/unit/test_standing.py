"""Why a partition stands still, behind an open transaction or at a damaged batch, and how that batch is got past."""

import logging
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import cast

import pytest
from confluent_kafka.admin import AdminClient

from tests.e2e.pipeline import wait_until
from tests.fakes import FakeAdmin, FakeClock
from velox.core.standstill import Standstill
from velox.errors import BrokerUnavailableError
from velox.kafka import standing
from velox.kafka.standing import Standing
from velox.records import Partition
from velox.settings import Settings

P0, P1 = Partition("image_data", 0), Partition("image_data", 1)


class Bench:
    """Partitions in Kafka, and the search for the end of a damaged batch, which takes as long as the test likes."""

    def __init__(self, clock: FakeClock, mode: str) -> None:
        self.clock = clock
        self.admin = FakeAdmin()
        self.standing = Standing(Settings(damaged_batches=mode), cast("AdminClient", self.admin))
        self.searched: list[tuple[Partition, int]] = []
        self.may_end = threading.Event()
        self.may_end.set()
        self.refusals: list[BrokerUnavailableError] = []

    def first_readable(self, _settings: Settings, partition: Partition, unreadable: int) -> int:
        self.searched.append((partition, unreadable))
        assert self.may_end.wait(60)
        if self.refusals:
            raise self.refusals.pop()
        return unreadable + 5

    def look(self, seconds: int, *, position: int = 20, end: int = 50) -> None:
        """Look once a second at partition 0, which is read; what is asked of the broker is answered a look later."""
        for _ in range(seconds):
            self.standing.look({P0: position}, {P0: end - position}, is_reading=True)
            self.clock.advance(1)

    def found(self) -> dict[Partition, tuple[int, int]]:
        """What is to be skipped, once its end is found."""
        found: dict[Partition, tuple[int, int]] = {}

        def is_found() -> bool:
            found.update(self.standing.take_found())
            return bool(found)

        wait_until(is_found, what="the search ends")
        return found


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Bench]]:
    made: list[Bench] = []

    def bench(mode: str) -> Bench:
        clock = FakeClock()
        monkeypatch.setattr(standing, "Standstill", partial(Standstill, clock=clock))
        made.append(Bench(clock, mode))
        monkeypatch.setattr(standing, "first_readable", made[-1].first_readable)
        return made[-1]

    yield bench
    for each in made:
        each.may_end.set()


@pytest.fixture
def bench(make: Callable[[str], Bench]) -> Bench:
    return make("wait")


@pytest.fixture
def skipping(make: Callable[[str], Bench]) -> Bench:
    return make("skip")


def test_records_that_may_be_read_and_do_not_come_are_damaged_and_told_once_with_the_remedy(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.admin.stable = {P0: 50}
    bench.look(31)
    assert bench.standing.damaged == {}, "in all that time others may have come first"
    bench.look(60)
    assert bench.standing.damaged == {P0: 20}
    (told,) = caplog.messages
    assert told == (
        "image_data-0 stands still at offset 20, a damaged batch: nothing comes of it, and Kafka holds records up to "
        "50; restore it from a replica, or set DAMAGED_BATCHES=skip to lose it"
    )
    assert caplog.records[0].levelno == logging.ERROR
    assert (bench.searched, bench.standing.take_found()) == ([], {}), "somebody is waited for"


@pytest.mark.parametrize("first_open", [20, 19, 0])
def test_records_behind_an_open_transaction_are_no_damage_and_told_of_once(
    bench: Bench, caplog: pytest.LogCaptureFixture, first_open: int
) -> None:
    bench.admin.stable = {P0: first_open}
    bench.look(60)
    assert bench.standing.damaged == {}
    (told,) = caplog.messages
    assert told.startswith(
        "Records of image_data-0 from offset 20 on wait behind an open transaction of a producer: they are read"
    )


def test_where_nobody_says_why_nothing_is_said(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.look(60)
    assert (bench.standing.damaged, caplog.messages) == ({}, [])


def test_a_partition_of_which_something_comes_is_not_asked_about(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.admin.stable = {P0: 50}
    for position in range(20, 80):
        bench.look(1, position=position, end=100)
    assert (bench.standing.damaged, caplog.messages) == ({}, [])


def test_what_the_driver_cannot_read_is_damaged_at_once(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        bench.standing.refused(P0, 20, "bad compression")
    assert bench.standing.damaged == {P0: 20}
    (told,) = caplog.messages
    assert told.startswith("image_data-0 stands still at offset 20, a damaged batch: bad compression; restore it")


def test_a_partition_that_goes_on_is_damaged_no_more(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """Somebody has restored it."""
    caplog.set_level(logging.INFO)
    bench.standing.refused(P0, 20, "bad compression")
    bench.look(1, position=20)
    assert bench.standing.damaged == {P0: 20}
    bench.look(1, position=21)
    assert bench.standing.damaged == {}
    assert caplog.messages[-1] == "image_data-0 goes on"
    bench.standing.refused(P0, 70, "bad compression")
    assert "stands still at offset 70" in caplog.messages[-1], "another batch is told of"


def test_the_end_of_a_damaged_batch_is_found_and_skipped_once(
    skipping: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    skipping.standing.refused(P0, 20, "bad compression")
    assert skipping.found() == {P0: (20, 25)}
    assert skipping.standing.damaged == {}
    assert skipping.standing.take_found() == {}
    assert caplog.messages[0].endswith("a damaged batch: bad compression; skipping it")


def test_one_search_at_a_time_for_a_partition(skipping: Bench) -> None:
    skipping.may_end.clear()
    for _ in range(3):
        skipping.standing.refused(P0, 20, "bad compression")
        skipping.standing.refused(P1, 7, "bad compression")
    skipping.may_end.set()
    wait_until(lambda: len(skipping.standing._found) == 2, what="both are found")
    assert sorted(skipping.searched) == [(P0, 20), (P1, 7)]
    assert skipping.standing.take_found() == {P0: (20, 25), P1: (7, 12)}


def test_a_search_that_fails_is_told_and_tried_again_while_the_partition_stands(
    skipping: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    skipping.refusals = [BrokerUnavailableError("what is damaged cannot be measured")]
    skipping.standing.refused(P0, 20, "bad compression")
    wait_until(lambda: not skipping.standing._searching, what="it fails")
    assert "image_data-0: what is damaged cannot be measured; trying again" in caplog.messages
    assert skipping.standing.damaged == {P0: 20}
    skipping.look(40)
    assert skipping.found() == {P0: (20, 25)}


def test_a_partition_that_has_gone_meanwhile_is_not_skipped_in(skipping: Bench) -> None:
    skipping.may_end.clear()
    skipping.standing.refused(P0, 20, "bad compression")
    skipping.standing.forget([P0])
    skipping.may_end.set()
    wait_until(lambda: not skipping.standing._searching, what="the search ends")
    assert skipping.standing.take_found() == {}


def test_a_partition_that_came_back_and_stands_elsewhere_is_not_skipped_in(skipping: Bench) -> None:
    skipping.may_end.clear()
    skipping.standing.refused(P0, 20, "bad compression")
    skipping.standing.forget([P0])
    skipping.standing.refused(P0, 70, "bad compression")
    skipping.may_end.set()
    wait_until(lambda: not skipping.standing._searching, what="the search ends")
    assert skipping.standing.take_found() == {}
    assert skipping.standing.damaged == {P0: 70}
    skipping.look(40, position=70, end=90)
    assert skipping.found() == {P0: (70, 75)}
