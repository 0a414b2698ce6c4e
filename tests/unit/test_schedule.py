"""The producer's pace."""

import pytest

from velox.core.schedule import Schedule


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_the_first_turn_is_due_at_once() -> None:
    assert Schedule(5, clock=Clock()).due_in_s() == 0


def test_a_turn_is_due_one_interval_after_the_one_before() -> None:
    clock = Clock()
    schedule = Schedule(0.5, clock=clock)
    schedule.advance()
    clock.now += 0.2
    assert schedule.due_in_s() == pytest.approx(0.3)


def test_late_turns_do_not_shift_later_ones() -> None:
    clock = Clock()
    schedule = Schedule(0.1, clock=clock)
    for _ in range(1000):
        clock.now += schedule.due_in_s() + 0.01  # every turn is taken 10 ms late
        schedule.advance()
    assert clock.now - 100 == pytest.approx(99.9 + 0.01)


def test_who_is_a_little_behind_catches_up_at_once() -> None:
    clock = Clock()
    schedule = Schedule(0.1, max_behind_s=1, clock=clock)
    clock.now += 0.55
    taken = 0
    while schedule.due_in_s() == 0:
        schedule.advance()
        taken += 1
    assert taken == 6


def test_a_long_stall_is_followed_by_a_bounded_burst() -> None:
    clock = Clock()
    schedule = Schedule(0.1, max_behind_s=1, clock=clock)
    clock.now += 3600
    taken = 0
    while schedule.due_in_s() == 0:
        schedule.advance()
        taken += 1
    assert taken <= 12


def test_without_an_interval_every_turn_is_due() -> None:
    clock = Clock()
    schedule = Schedule(0, clock=clock)
    for _ in range(3):
        assert schedule.due_in_s() == 0
        schedule.advance()
