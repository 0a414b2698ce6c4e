"""Requests are refused when too many wait for their results, or too much."""

import pytest

from velox.core.backlog import RECORD_BYTES
from velox.gateway.pressure import Pressure
from velox.gateway.problems import Problem


def admitted(pressure: Pressure, count: int, size_bytes: int = 0) -> int:
    """How many of so many requests are admitted."""
    taken = 0
    for _ in range(count):
        try:
            pressure.admit(size_bytes)
        except Problem as problem:
            assert problem.status == 429
            assert int(problem.headers["Retry-After"]) >= 1
        else:
            taken += 1
    return taken


def test_what_was_accepted_since_the_last_count_is_added_to_it() -> None:
    pressure = Pressure(10)
    pressure.counted({"sentiment": 4, "image_classification": 3})
    assert admitted(pressure, 5) == 3
    assert pressure.pending == 10
    pressure.counted({"sentiment": 8})
    assert admitted(pressure, 5) == 2


def test_bytes_that_wait_are_bounded_until_some_are_answered() -> None:
    pressure = Pressure(1000, most_bytes=3 * (1000 + RECORD_BYTES))
    assert admitted(pressure, 5, 1000) == 3
    pressure.counted({"sentiment": 3})
    assert admitted(pressure, 5, 1000) == 0
    pressure.counted({"sentiment": 1})
    assert admitted(pressure, 5, 1000) == 2
    pressure.counted({})
    assert admitted(pressure, 5, 1000) == 3


def test_one_that_is_alone_may_be_of_any_size() -> None:
    pressure = Pressure(1000, most_bytes=1000)
    pressure.admit(5000)
    with pytest.raises(Problem, match="PRODUCER_MAX_LAG_BYTES=1000"):
        pressure.admit(1)
    pressure.counted({})
    pressure.admit(5000)


def test_without_a_limit_bytes_do_not_matter() -> None:
    assert admitted(Pressure(1000), 1000, 10_000_000) == 1000
