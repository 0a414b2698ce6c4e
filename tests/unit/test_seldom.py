"""What happens again and again is told the first time, and then once in a while, with how often it happened since."""

import pytest

from tests.fakes import FakeClock
from velox.core.seldom import Seldom

EVERY_S = 30.0


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def seldom(clock: FakeClock) -> Seldom:
    return Seldom(EVERY_S, clock=clock)


def test_a_cause_that_comes_every_second_is_told_once_in_its_time(seldom: Seldom, clock: FakeClock) -> None:
    told = []
    for second in range(91):
        if seldom.is_due("away"):
            told.append(second)
        clock.advance(1)
    assert told == [0, 30, 60, 90]


def test_causes_do_not_silence_each_other(seldom: Seldom) -> None:
    assert [seldom.is_due(cause) for cause in (("commit", 1), ("commit", 2), "lag", ("commit", 1))] == [
        *[True] * 3,
        False,
    ]


def test_it_says_how_often_a_cause_has_come_since_it_was_told(seldom: Seldom, clock: FakeClock) -> None:
    assert [seldom.count("a", 3), seldom.count("a"), seldom.count("a", 2)] == [3, 0, 0]
    clock.advance(EVERY_S)
    assert seldom.count("a") == 4


def test_of_very_many_causes_those_told_last_are_still_known(seldom: Seldom, clock: FakeClock) -> None:
    assert seldom.is_due("often")
    for number in range(99):
        assert seldom.is_due(number)
    clock.advance(EVERY_S)
    assert seldom.is_due("often")
    assert seldom.is_due("one too many")
    assert not seldom.is_due("often"), "told again since"
    assert not seldom.is_due("one too many")
    assert len(seldom._told) == 100, "bounded, whatever comes"
