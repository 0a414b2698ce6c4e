"""A partition stands still when nothing comes from it for a time in which it was read and held records."""

import pytest

from tests.fakes import FakeClock
from velox.core.standstill import Standstill
from velox.records import Partition

P0, P1 = Partition("image_data", 0), Partition("image_data", 1)
PATIENCE_S = 30.0


class Watch:
    """Looks at partitions once a second."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.standstill = Standstill(PATIENCE_S, clock=self.clock)

    def look(
        self, seconds: int, positions: dict[Partition, int], *, behind: int = 5, is_reading: bool = True
    ) -> set[Partition]:
        """Look as often, and answer what the last look found."""
        found: set[Partition] = set()
        for _ in range(seconds):
            found = self.standstill.look(positions, dict.fromkeys(positions, behind), is_reading=is_reading)
            self.clock.advance(1)
        return found


@pytest.fixture
def watch() -> Watch:
    return Watch()


def test_what_gives_nothing_for_longer_than_the_patience_stands_still(watch: Watch) -> None:
    assert watch.look(31, {P0: 7, P1: 7}) == set()
    assert watch.look(1, {P0: 7, P1: 8}) == {P0}
    assert watch.look(30, {P0: 7, P1: 8}) == {P0}
    assert watch.look(1, {P0: 7, P1: 8}) == {P0, P1}


def test_a_record_that_comes_begins_the_time_anew(watch: Watch) -> None:
    for position in range(5):
        assert watch.look(31, {P0: position}) == set()


def test_a_partition_that_holds_no_more_is_not_standing(watch: Watch) -> None:
    assert watch.look(100, {P0: 7}, behind=0) == set()
    assert watch.look(30, {P0: 7}) == set(), "it counts from when there was nothing"
    assert watch.look(1, {P0: 7}) == {P0}


def test_a_partition_whose_lag_nobody_knows_is_not_standing(watch: Watch) -> None:
    for _ in range(100):
        assert watch.standstill.look({P0: 7}, {}, is_reading=True) == set()
        watch.clock.advance(1)


def test_time_in_which_nothing_was_read_does_not_count(watch: Watch) -> None:
    assert watch.look(29, {P0: 7}) == set()
    assert watch.look(100, {P0: 7}, is_reading=False) == set()
    assert watch.look(30, {P0: 7}) == set()
    assert watch.look(2, {P0: 7}) == {P0}


def test_a_partition_that_was_away_is_looked_at_anew(watch: Watch) -> None:
    assert watch.look(40, {P0: 7}) == {P0}
    assert watch.look(1, {P1: 7}) == set()
    assert watch.look(31, {P0: 7}) == set()
