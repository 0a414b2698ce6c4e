"""Why a partition stands still, behind an open transaction or at a damaged batch, and how that batch is got past."""

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import cast

import pytest
from confluent_kafka.admin import AdminClient

from tests.e2e.pipeline import wait_until
from tests.fakes import FakeAdmin, FakeClock
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
        self.standing = Standing(Settings(damaged_batches=mode), cast("AdminClient", self.admin), clock=clock)
        self.unreadable = 5
        """How many records from the one on that is asked for cannot be read."""
        self.searched: list[tuple[Partition, int]] = []
        self.may_end = threading.Event()
        self.may_end.set()
        self.refusals: list[BrokerUnavailableError] = []
        self.measured: list[Partition] = []
        """Of which partitions it was asked how far the damage reaches."""

    def is_readable(self, _settings: Settings, partition: Partition, offset: int) -> bool:
        return self._read(partition, offset) == offset

    def first_readable(self, _settings: Settings, partition: Partition, offset: int) -> int:
        self.measured.append(partition)
        return self._read(partition, offset)

    def _read(self, partition: Partition, offset: int) -> int:
        self.searched.append((partition, offset))
        assert self.may_end.wait(60)
        if self.refusals:
            raise self.refusals.pop()
        return offset + self.unreadable

    def look(self, seconds: int, *, position: int = 20, end: int = 50, partitions: Sequence[Partition] = (P0,)) -> None:
        """Look once a second at partitions, which are read; what is asked of the broker is answered a look later."""
        for _ in range(seconds):
            lag = dict.fromkeys(partitions, end - position)
            self.standing.look(dict.fromkeys(partitions, position), lag, is_reading=True)
            self.clock.advance(1)
            if self.may_end.is_set():
                wait_until(lambda: not self.standing._examining, what="the reader has tried")

    def found(self, *, position: int = 20) -> dict[Partition, tuple[int, int]]:
        """What is to be skipped, once the reader has tried."""
        wait_until(lambda: not self.standing._examining, what="the reader has tried")
        self.look(2, position=position)
        return self.standing.take_found()


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Bench]]:
    made: list[Bench] = []

    def bench(mode: str) -> Bench:
        made.append(Bench(FakeClock(), mode))
        for name in ("is_readable", "first_readable"):
            monkeypatch.setattr(standing, name, getattr(made[-1], name))
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


def test_what_a_reader_of_its_own_cannot_read_either_is_damaged_and_told_once_with_the_remedy(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.admin.stable = {P0: 50}
    bench.look(31)
    assert (bench.standing.damaged, bench.searched) == ({}, []), "in all that time others may have come first"
    bench.look(10)
    assert bench.standing.damaged == {P0: 20}
    bench.look(60)
    (told,) = caplog.messages
    assert told == (
        "image_data-0 stands still at offset 20, a damaged batch: nothing can be read there; restore it from a "
        "replica, or set DAMAGED_BATCHES=skip to lose it"
    )
    assert caplog.records[0].levelno == logging.ERROR
    assert (bench.measured, bench.standing.take_found()) == ([], {}), "somebody is waited for"


@pytest.mark.parametrize("mode", ["wait", "skip"])
def test_a_partition_whose_turn_does_not_come_is_not_damaged(
    make: Callable[[str], Bench], caplog: pytest.LogCaptureFixture, mode: str
) -> None:
    bench = make(mode)
    bench.unreadable = 0
    bench.admin.stable = {P0: 50, P1: 50}
    bench.look(300, partitions=[P0, P1])
    assert {partition for partition, _ in bench.searched} == {P0, P1}
    assert len(bench.searched) <= 20, "each once in half a minute"
    assert (bench.standing.damaged, bench.standing.take_found(), caplog.messages) == ({}, {}, [])


def test_partitions_are_tried_one_after_the_other_and_none_again_before_the_others(bench: Bench) -> None:
    bench.unreadable = 0
    partitions = [Partition("image_data", number) for number in range(40)]
    bench.admin.stable = dict.fromkeys(partitions, 50)
    bench.look(31 + 50, partitions=partitions)
    assert len(bench.searched) > 40
    assert {partition for partition, _ in bench.searched[:40]} == set(partitions)


def test_what_the_reader_found_at_a_place_that_reading_has_left_is_not_damage(bench: Bench) -> None:
    bench.admin.stable = {P0: 50}
    bench.may_end.clear()
    bench.look(40)
    bench.may_end.set()
    wait_until(lambda: not bench.standing._examining, what="the reader has tried")
    bench.look(1, position=21)
    assert bench.standing.damaged == {}


@pytest.mark.parametrize("first_open", [20, 19, 0])
def test_records_behind_an_open_transaction_are_no_damage_and_told_of_once(
    bench: Bench, caplog: pytest.LogCaptureFixture, first_open: int
) -> None:
    bench.admin.stable = {P0: first_open, P1: first_open}
    bench.look(60, partitions=[P0, P1])
    assert (bench.standing.damaged, bench.searched) == ({}, [])
    (told,) = caplog.messages
    assert told.startswith(
        "Records wait behind an open transaction of a producer in image_data-0 from offset 20 on, image_data-1 from "
        "offset 20 on: they are read when it ends"
    )


def test_where_nobody_says_why_nothing_is_said(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.look(60)
    assert (bench.standing.damaged, bench.searched, caplog.messages) == ({}, [], [])


def test_a_partition_of_which_something_comes_is_not_asked_about(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.admin.stable = {P0: 50}
    for position in range(20, 80):
        bench.look(1, position=position, end=100)
    assert (bench.standing.damaged, bench.searched, caplog.messages) == ({}, [], [])


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
    assert skipping.found() == {}
    assert caplog.messages[0].endswith("a damaged batch: bad compression; skipping it")


def test_what_the_driver_cannot_read_and_the_reader_can_is_not_skipped(skipping: Bench) -> None:
    skipping.unreadable = 0
    skipping.standing.refused(P0, 20, "bad compression")
    assert skipping.found() == {}


def test_damage_that_the_driver_meets_while_a_reader_tries_is_measured_before_it_is_skipped(skipping: Bench) -> None:
    skipping.admin.stable = {P0: 50}
    skipping.may_end.clear()
    skipping.look(40)
    assert skipping.searched == [(P0, 20)]
    skipping.standing.refused(P0, 20, "bad compression")
    skipping.may_end.set()
    wait_until(lambda: not skipping.standing._examining, what="the reader has tried")
    skipping.look(1)
    assert skipping.standing.take_found() == {}, "how far it reaches is not known yet"
    assert skipping.found() == {P0: (20, 25)}


def test_one_reader_at_a_time(skipping: Bench) -> None:
    skipping.may_end.clear()
    for partition in (P0, P1):
        skipping.standing.refused(partition, 20, "bad compression")
    skipping.look(40, partitions=[P0, P1])
    assert skipping.searched == [(P0, 20)]
    skipping.may_end.set()
    wait_until(lambda: not skipping.standing._examining, what="the reader has tried")
    skipping.look(2, partitions=[P0, P1])
    assert skipping.searched == [(P0, 20), (P1, 20)]
    assert skipping.standing.take_found() == {P0: (20, 25), P1: (20, 25)}


def test_a_reader_that_hears_nothing_is_told_of_and_tries_again_while_the_partition_stands(
    skipping: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    skipping.refusals = [BrokerUnavailableError("no answer")]
    skipping.standing.refused(P0, 20, "bad compression")
    assert skipping.found() == {}
    assert "Whether image_data-0 can be read is not known: no answer; asking again" in caplog.messages
    assert skipping.standing.damaged == {P0: 20}
    skipping.look(40)
    assert skipping.standing.take_found() == {P0: (20, 25)}


def test_a_partition_that_has_gone_meanwhile_is_not_skipped_in(skipping: Bench) -> None:
    skipping.may_end.clear()
    skipping.standing.refused(P0, 20, "bad compression")
    skipping.look(1)
    skipping.standing.forget([P0])
    skipping.may_end.set()
    wait_until(lambda: not skipping.standing._examining, what="the reader has tried")
    skipping.standing.look({}, {}, is_reading=True)
    assert (skipping.standing.take_found(), skipping.standing.damaged) == ({}, {})


def test_a_partition_that_came_back_and_stands_elsewhere_is_not_skipped_in(skipping: Bench) -> None:
    skipping.may_end.clear()
    skipping.standing.refused(P0, 20, "bad compression")
    skipping.look(1)
    skipping.standing.forget([P0])
    skipping.standing.refused(P0, 70, "bad compression")
    skipping.may_end.set()
    assert skipping.found(position=70) == {}
    assert skipping.standing.damaged == {P0: 70}
    skipping.look(40, position=70, end=90)
    assert skipping.standing.take_found() == {P0: (70, 75)}
