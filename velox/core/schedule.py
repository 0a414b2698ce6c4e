"""When the next record is due, at a steady pace."""

from collections.abc import Callable
from time import monotonic


class Schedule:
    """Turn ``i`` is due at ``start + i × interval_s``, so that a late turn delays none of those after it.

    Whoever falls behind catches up at once, but only what ``max_behind_s`` holds: turns missed beyond that are
    given up, and the schedule goes on from there. A long stall is thus followed by a short burst, not by a flood.
    """

    def __init__(self, interval_s: float, *, max_behind_s: float = 1.0, clock: Callable[[], float] = monotonic) -> None:
        """Make the first turn due now. An interval of 0 makes every turn due at once."""
        self._interval_s = interval_s
        self._max_behind_s = max_behind_s
        self._clock = clock
        self._due_at = clock()

    def due_in_s(self) -> float:
        """Seconds until the next turn, never negative."""
        return max(0.0, self._due_at - self._clock())

    def advance(self) -> None:
        """Note that a turn was taken."""
        self._due_at = max(self._due_at + self._interval_s, self._clock() - self._max_behind_s)
