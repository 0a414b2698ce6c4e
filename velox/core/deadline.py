"""One time budget shared by all the steps of a wait or a shutdown."""

from collections.abc import Callable
from time import monotonic


class Deadline:
    """A point in monotonic time that several steps share."""

    def __init__(self, budget_s: float, *, clock: Callable[[], float] = monotonic) -> None:
        """Start the budget now."""
        self._clock = clock
        self._at = clock() + budget_s

    def left_s(self) -> float:
        """Seconds left, never negative: fit to be passed on as a timeout."""
        return max(0.0, self._at - self._clock())

    def has_passed(self) -> bool:
        """Say whether the budget is spent."""
        return self._clock() >= self._at
