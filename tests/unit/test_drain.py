"""How the consumer ends: all that is in flight is finished and committed, as far as time and a second signal allow."""

import threading
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, cast

import pytest

from tests.fakes import FakeClock, make_record
from velox.consumer import drain as draining
from velox.consumer.drain import Ending, drain, shut_down
from velox.consumer.flight import Flight
from velox.consumer.stages import Stages
from velox.core.circuit import Circuit
from velox.core.deadline import Deadline
from velox.records import Partition
from velox.signals import StopRequest

P0 = Partition("image_data", 0)
RECORDS = [make_record(offset) for offset in range(4)]
BUDGET_S = 20.0


class Bench:
    """A consumer that ends: fetcher, commits, Kafka, writer and processes are pretended, and share one journal."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.journal: list[str] = []
        self.flight = Flight(max_records=10, max_bytes=1000, circuit=Circuit(ratio=0, window=10, run=0))
        self.stop = StopRequest()
        self.stop.count = 1
        self.deadline = Deadline(BUDGET_S, clock=clock)
        self.revoke_wait_s = 5.0
        self.steps = 0
        self.each_step: Callable[[int], None] = lambda _number: None
        self.accepts = True
        """Whether the broker accepts commits."""
        self.offered: list[dict[Partition, int]] = []
        self.hangs: set[str] = set()
        """What does not return: ``commit_now``, ``close``."""
        self.is_over = threading.Event()
        self.has_bucket = False
        self.downloads_end = self.processes_end = self.writer_ends = True
        self.while_writing: Callable[[], object] = lambda: None
        self.while_leaving: Callable[[], object] = lambda: None
        self.writers_time_s: float | None = None
        self._on_its_way: dict[Partition, int] = {}

    def fetch(self, count: int) -> None:
        for record in RECORDS[:count]:
            self.flight.add(record)

    def stop_fetching(self) -> None:
        self.journal.append("fetch no more")

    def step(self) -> None:
        self.steps += 1
        self.flight.settle()
        self.flight.offsets.committed(self._on_its_way if self.accepts else {})
        self._on_its_way = {}
        self.each_step(self.steps)
        assert self.steps < 1000, "it turns for ever"

    @property
    def commits(self) -> "Bench":
        return self

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        """In the background: whether it was accepted is heard in a later step."""
        self.offered.append(dict(offsets))
        self._on_its_way = dict(offsets)

    def commit_now(self, offsets: Mapping[Partition, int]) -> None:
        self.journal.append(f"commit {dict(offsets)[P0]}" if offsets else "commit nothing")
        self._wait_if("commit_now")
        if self.accepts:
            self.flight.offsets.committed(offsets)

    @property
    def kafka(self) -> Any:  # noqa: ANN401 - the same
        return _Called(self._leave)

    @property
    def downloads(self) -> Any:  # noqa: ANN401 - the same
        return _Called(self._end_downloads) if self.has_bucket else None

    @property
    def processes(self) -> Any:  # noqa: ANN401 - the same
        return _Called(self._end_processes)

    @property
    def writer(self) -> Any:  # noqa: ANN401 - the same
        return _Called(self._end_writing, abandon=lambda: self.journal.append("give up sinks"))

    def drain(self) -> None:
        drain(cast("Any", self), self.flight, self.deadline, self.stop)

    def shut_down(self) -> Ending:
        stages = Stages(downloads=self.downloads, dispatcher=self.processes, writer=self.writer, flight=self.flight)
        return shut_down(cast("Any", self), stages, self.deadline)

    def _end_downloads(self, deadline: Deadline) -> bool:
        self.journal.append("end downloads")
        assert deadline is self.deadline
        return self.downloads_end

    def _end_processes(self, deadline: Deadline) -> bool:
        self.journal.append("end processes")
        assert deadline is self.deadline
        return self.processes_end

    def _end_writing(self, timeout_s: float) -> bool:
        self.journal.append("end writing")
        self.writers_time_s = timeout_s
        self.while_writing()
        return self.writer_ends

    def _leave(self) -> None:
        self.journal.append(f"leave, waiting {self.revoke_wait_s:g} s")
        self._wait_if("close")
        self.while_leaving()
        self.flight.forget([P0])

    def _wait_if(self, where: str) -> None:
        if where in self.hangs:
            self.is_over.wait(60)


class _Called:
    """Something with a ``close`` of its own."""

    def __init__(self, close: Callable[..., Any], abandon: Callable[[], None] = lambda: None) -> None:
        self.close = close
        self.abandon = abandon


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    clock = FakeClock()
    monkeypatch.setattr(draining, "Deadline", partial(Deadline, clock=clock))
    return Bench(clock)


def test_it_turns_until_all_in_flight_is_done_and_what_is_done_is_committed(bench: Bench) -> None:
    bench.fetch(4)
    bench.each_step = lambda number: bench.flight.done([RECORDS[number - 1]]) if number <= 4 else None
    bench.drain()
    assert bench.journal == ["fetch no more"]
    assert bench.flight.records == 0
    assert bench.offered == [{P0: 4}]
    assert bench.flight.offsets.uncommitted() == 0


def test_with_nothing_left_to_do_it_ends_at_once(bench: Bench) -> None:
    bench.drain()
    assert (bench.steps, bench.offered) == (0, [])


def test_a_commit_that_is_refused_is_offered_again_while_polling_goes_on(bench: Bench) -> None:
    """As during a rebalance, which only ends when it is polled for."""
    bench.fetch(2)
    bench.flight.done(RECORDS[:2])
    bench.accepts = False

    def accept(number: int) -> None:
        bench.accepts = number >= 3

    bench.each_step = accept
    bench.drain()
    assert bench.offered == [{P0: 2}] * 3
    assert bench.flight.offsets.uncommitted() == 0


@pytest.mark.parametrize("ends_by", ["the deadline", "a second signal"])
def test_records_that_take_too_long_are_left_and_the_others_committed_if_there_is_time(
    bench: Bench, ends_by: str
) -> None:
    bench.fetch(4)
    bench.flight.done(RECORDS[:2])

    def pass_time(number: int) -> None:
        if number == 10:
            bench.clock.advance(BUDGET_S if ends_by == "the deadline" else 0)
            bench.stop.count += ends_by == "a second signal"

    bench.each_step = pass_time
    bench.drain()
    assert bench.steps == 10
    assert (bench.flight.records, bench.offered) == (2, [])


@pytest.mark.parametrize(("second_of_budget", "steps"), [(0, 5), (17, 3)])
def test_a_broker_that_accepts_nothing_is_tried_for_seconds_within_the_deadline(
    bench: Bench, second_of_budget: int, steps: int
) -> None:
    bench.fetch(1)
    bench.flight.done(RECORDS[:1])
    bench.accepts = False
    bench.clock.advance(second_of_budget)
    bench.each_step = lambda _number: bench.clock.advance(1)
    bench.flight.settle()
    bench.drain()
    assert bench.steps == steps
    assert bench.flight.offsets.uncommitted() == 1


def test_a_second_signal_ends_the_tries_to_commit(bench: Bench) -> None:
    bench.fetch(1)
    bench.flight.done(RECORDS[:1])
    bench.flight.settle()
    bench.accepts = False

    def hurry(number: int) -> None:
        bench.stop.count += number == 2

    bench.each_step = hurry
    bench.drain()
    assert bench.steps == 2


def test_it_ends_in_the_direction_of_flow_and_commits_before_it_leaves(bench: Bench) -> None:
    bench.fetch(3)
    bench.flight.done(RECORDS[:1])
    bench.while_writing = lambda: bench.flight.done(RECORDS[1:2])
    assert bench.shut_down() == Ending(in_flight=1, uncommitted=0, hangs=False)
    assert bench.journal == [
        *("end processes", "give up sinks", "end writing", "commit 2"),
        "leave, waiting 0 s",
    ]


def test_the_writer_has_the_time_that_is_left_and_a_moment_more(bench: Bench) -> None:
    bench.clock.advance(BUDGET_S - 3)
    bench.shut_down()
    assert bench.writers_time_s == 4


def test_a_commit_that_is_refused_at_the_end_is_told(bench: Bench) -> None:
    bench.fetch(3)
    bench.flight.done(RECORDS[:2])
    bench.accepts = False
    assert bench.shut_down() == Ending(in_flight=1, uncommitted=2, hangs=False)


def test_downloads_end_first() -> None:
    bench = Bench(FakeClock())
    bench.has_bucket = True
    bench.shut_down()
    assert bench.journal[:2] == ["end downloads", "end processes"]


@pytest.mark.parametrize("what", ["downloads", "processes", "writer"])
def test_a_part_that_does_not_end_is_told(bench: Bench, what: str) -> None:
    bench.has_bucket = True
    setattr(bench, f"{what}_ends" if what == "writer" else f"{what}_end", False)
    assert bench.shut_down().hangs
    assert bench.journal[-1].startswith("leave"), "the group is left all the same"


@pytest.mark.parametrize(("where", "uncommitted"), [("commit_now", 2), ("close", 0)])
def test_a_broker_that_hangs_is_left_behind_and_told(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, where: str, uncommitted: int
) -> None:
    monkeypatch.setattr(draining, "_LEAVE_S", 0.1)
    bench.deadline = Deadline(0, clock=bench.clock)
    bench.fetch(2)
    bench.flight.done(RECORDS[:2])
    bench.hangs = {where}
    assert bench.shut_down() == Ending(in_flight=0, uncommitted=uncommitted, hangs=True)
    assert "Kafka did not answer in time" in caplog.text
    bench.is_over.set()


def test_leaving_has_its_own_time_when_the_deadline_has_passed(bench: Bench) -> None:
    """The others wait for the partitions."""
    bench.clock.advance(2 * BUDGET_S)
    bench.while_leaving = lambda: bench.is_over.wait(0.05)
    assert not bench.shut_down().hangs


@pytest.mark.parametrize(
    ("in_flight", "uncommitted", "is_drained"), [(0, 0, True), (1, 0, False), (0, 1, False), (1, 1, False)]
)
def test_it_is_drained_when_nothing_will_be_read_again(in_flight: int, uncommitted: int, is_drained: bool) -> None:
    assert Ending(in_flight, uncommitted, hangs=False).is_drained == is_drained
