"""Waits between tries grow, stay below a cap and are spread."""

import random
from itertools import islice

from velox.core.retries import backoff_s


class Highest(random.Random):
    """Always draws the most."""

    def uniform(self, a: float, b: float) -> float:
        return max(a, b)


class Lowest(random.Random):
    """Always draws the least."""

    def uniform(self, a: float, b: float) -> float:
        return min(a, b)


def test_the_longest_wait_doubles_up_to_the_cap() -> None:
    assert list(islice(backoff_s(first_s=0.1, cap_s=1.0, rng=Highest()), 6)) == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]


def test_the_shortest_wait_is_half_the_longest() -> None:
    assert list(islice(backoff_s(first_s=0.1, cap_s=1.0, rng=Lowest()), 5)) == [0.05, 0.1, 0.2, 0.4, 0.5]


def test_it_never_ends_and_never_exceeds_the_cap() -> None:
    waits = list(islice(backoff_s(cap_s=2.0), 5000))
    assert len(waits) == 5000
    assert max(waits) <= 2.0


def test_waits_are_spread_so_that_many_consumers_do_not_knock_together() -> None:
    firsts = {next(backoff_s()) for _ in range(50)}
    assert len(firsts) == 50
