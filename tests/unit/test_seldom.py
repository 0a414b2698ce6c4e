"""What happens often is told once in a while, with how often it happened since."""

from tests.fakes import FakeClock
from velox.core.seldom import Seldom


def test_a_cause_is_due_at_first_and_then_once_in_a_while() -> None:
    clock = FakeClock()
    seldom = Seldom(10, clock=clock)
    assert [seldom.is_due("a"), seldom.is_due("a"), seldom.is_due("b")] == [True, False, True]
    clock.advance(9.9)
    assert not seldom.is_due("a")
    clock.advance(0.1)
    assert [seldom.is_due("a"), seldom.is_due("a")] == [True, False]


def test_it_says_how_often_a_cause_has_come_since_it_was_told() -> None:
    clock = FakeClock()
    seldom = Seldom(10, clock=clock)
    assert [seldom.count("a", 3), seldom.count("a"), seldom.count("a", 2)] == [3, 0, 0]
    clock.advance(10)
    assert seldom.count("a") == 4


def test_of_very_many_causes_the_one_told_first_is_forgotten() -> None:
    seldom = Seldom(10, clock=FakeClock())
    assert all(seldom.is_due(cause) for cause in range(101))
    assert not seldom.is_due(100)
    assert seldom.is_due(0)
