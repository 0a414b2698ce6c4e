"""A destination that is down is left alone, and costs the others nothing."""

from velox.core.destinations import CROWDED_S, FAILURES, FIRST_S, MOST_KNOWN, MOST_S, Destinations, Held
from velox.core.ladder import Answer, Cause

DOWN = Answer(cause=Cause.UNREACHABLE)
GOOD = Answer(204)
BAD = Answer(500, Cause.STATUS)


def attempt(each: Destinations, name: str, answer: Answer, now: float) -> bool:
    assert each.begin(name, now) is None
    return each.end(name, answer, now)


def test_a_run_of_failures_opens_the_circuit_of_that_destination_alone() -> None:
    each = Destinations(most_each=9)
    opened = [attempt(each, "a", DOWN, 0.0) for _ in range(FAILURES)]
    assert opened == [False] * (FAILURES - 1) + [True]
    assert each.begin("a", FIRST_S / 2) == Held(FIRST_S, is_crowded=False)
    assert each.begin("b", FIRST_S / 2) is None
    assert each.open(FIRST_S / 2) == 1
    assert each.open(FIRST_S) == 0


def test_an_answer_of_any_kind_ends_the_run() -> None:
    each = Destinations(most_each=9)
    for answer in (*[DOWN] * (FAILURES - 1), BAD, *[DOWN] * (FAILURES - 1)):
        assert not attempt(each, "a", answer, 0.0)


def test_who_says_it_is_busy_is_left_alone_at_once_for_as_long_as_it_asks() -> None:
    each = Destinations(most_each=9)
    assert attempt(each, "a", Answer(429, Cause.STATUS, retry_after_s=30.0), 0.0)
    assert each.begin("a", 29.9) == Held(30.0, is_crowded=False)
    assert each.begin("a", 30.0) is None


def test_one_attempt_finds_out_whether_it_is_up_again() -> None:
    each = Destinations(most_each=9)
    attempt(each, "a", Answer(503, Cause.STATUS), 0.0)
    assert each.begin("a", FIRST_S) is None
    assert each.begin("a", FIRST_S) == Held(FIRST_S + FIRST_S, is_crowded=False)
    each.end("a", GOOD, FIRST_S)
    assert [each.begin("a", FIRST_S) for _ in range(3)] == [None] * 3


def test_each_failure_of_that_one_doubles_the_time_up_to_a_bound() -> None:
    each = Destinations(most_each=9)
    now, waits = 0.0, []
    for _ in range(14):
        attempt(each, "a", Answer(503, Cause.STATUS), now)
        held = each.begin("a", now)
        assert held is not None
        waits.append(held.until - now)
        now = held.until
    assert waits[:4] == [1.0, 2.0, 4.0, 8.0]
    assert waits[-1] == MOST_S


def test_an_attempt_that_is_broken_off_says_nothing() -> None:
    each = Destinations(most_each=1)
    assert each.begin("a", 0.0) is None
    assert each.begin("a", 0.0) == Held(CROWDED_S, is_crowded=True)
    assert not each.end("a", None, 0.0)
    assert each.begin("a", 0.0) is None


def test_a_slow_destination_leaves_room_for_others() -> None:
    each = Destinations(most_each=2)
    assert [each.begin("slow", 0.0) for _ in range(3)] == [None, None, Held(CROWDED_S, is_crowded=True)]
    assert each.begin("other", 0.0) is None


def test_destinations_are_forgotten_beyond_a_number_but_for_those_with_an_attempt_under_way() -> None:
    each = Destinations(most_each=1)
    assert each.begin("busy", 0.0) is None
    attempt(each, "open", Answer(429, Cause.STATUS, retry_after_s=1e6), 0.0)
    for number in range(MOST_KNOWN):
        attempt(each, f"host-{number}", GOOD, 0.0)
    assert each.open(0.0) == 0
    assert each.begin("busy", 0.0) == Held(CROWDED_S, is_crowded=True)
