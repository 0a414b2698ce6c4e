"""What an inference process is idle for, and that its seconds add up."""

import random
from collections import defaultdict

import pytest

from velox.core.idleness import Cause, Idleness, Lack


class Shift:
    """One inference process from its start on, at times of the test's choice."""

    def __init__(self, lack: Cause = Cause.NO_WORK) -> None:
        self.now = 100.0
        self.predicted = 0.0
        self.idle: defaultdict[Cause, float] = defaultdict(float)
        self.lack = Lack(lack, since=self.now)
        self.idleness = Idleness(self.lack, self._tell, since=self.now)

    def _tell(self, cause: Cause, seconds: float) -> None:
        assert seconds >= 0, cause
        self.idle[cause] += seconds

    def turn_to(self, cause: Cause, *, after: float) -> None:
        self.now += after
        self.lack.turn_to(cause, now=self.now)

    def starve(self, seconds: float) -> None:
        self.now += seconds
        self.idleness.starved(self.now)

    def work(self, predict: float, decode: float = 0.0, wait: float = 0.0, way: float = 0.0) -> None:
        self.now += predict + decode + wait + way
        self.predicted += predict
        self.idleness.worked(self.now, inference_s=predict, decode_s=decode, batch_wait_s=wait)

    def run_out(self, way: float = 0.0) -> None:
        self.now += way
        self.idleness.ran_out(self.now)


def told(shift: Shift) -> dict[Cause, float]:
    return {cause: round(seconds, 6) for cause, seconds in shift.idle.items() if seconds}


def test_a_process_without_work_is_idle_for_what_is_lacking_meanwhile() -> None:
    shift = Shift(Cause.NO_WORK)
    shift.turn_to(Cause.SINK, after=3)
    shift.turn_to(Cause.FETCH, after=2)
    shift.starve(1)
    assert told(shift) == {Cause.NO_WORK: 3, Cause.SINK: 2, Cause.FETCH: 1}


def test_what_is_lacking_while_it_works_is_no_reason() -> None:
    shift = Shift(Cause.SINK)
    shift.work(5)
    shift.run_out()
    shift.turn_to(Cause.NO_WORK, after=0)
    shift.starve(2)
    assert told(shift) == {Cause.NO_WORK: 2}


def test_decoding_waiting_for_more_and_the_way_are_told_apart() -> None:
    shift = Shift()
    shift.work(4, decode=1, wait=2, way=0.5)
    shift.run_out(way=0.25)
    assert told(shift) == {Cause.DECODE: 1, Cause.BATCH_WAIT: 2, Cause.HAND_OVER: 0.75}


def test_an_idle_process_is_told_of_as_time_passes_not_only_at_its_end() -> None:
    shift = Shift(Cause.NO_WORK)
    for seconds in range(1, 4):
        shift.starve(1)
        assert told(shift) == {Cause.NO_WORK: seconds}


@pytest.mark.parametrize("seed", range(20))
def test_busy_and_idle_add_up_to_the_time_that_passed(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - no secret
    shift = Shift()
    start = shift.now
    for _ in range(200):
        for _ in range(chance.randrange(3)):
            shift.turn_to(chance.choice(list(Cause)), after=chance.random())
        shift.starve(chance.random())
        for _ in range(chance.randrange(1, 4)):
            shift.work(*(chance.random() for _ in range(4)))
        shift.run_out(chance.random())
    assert shift.predicted + sum(shift.idle.values()) == pytest.approx(shift.now - start)


def test_a_lack_counts_the_whole_time_once_however_often_it_is_named() -> None:
    lack = Lack(Cause.FETCH, since=0)
    for now in range(1, 11):
        lack.turn_to(Cause.FETCH if now % 3 else Cause.NO_WORK, now=now)
    assert lack.seconds(12) == {Cause.FETCH: 9, Cause.NO_WORK: 3}
