"""One budget that several steps share."""

import pytest

from tests.fakes import FakeClock
from velox.core.deadline import Deadline


def test_the_steps_share_one_budget() -> None:
    clock = FakeClock()
    deadline = Deadline(20, clock=clock)
    assert deadline.left_s() == pytest.approx(20)
    clock.advance(15)
    assert deadline.left_s() == pytest.approx(5)
    assert not deadline.has_passed()


def test_it_has_passed_when_the_budget_is_spent() -> None:
    clock = FakeClock()
    deadline = Deadline(20, clock=clock)
    clock.advance(20)
    assert deadline.has_passed()


def test_what_is_left_is_never_negative() -> None:
    clock = FakeClock()
    deadline = Deadline(1, clock=clock)
    clock.advance(100)
    assert deadline.left_s() == 0


def test_a_budget_of_nothing_has_passed_already() -> None:
    assert Deadline(0, clock=FakeClock()).has_passed()
