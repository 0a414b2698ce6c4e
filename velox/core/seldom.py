"""Things that are logged once in a while, however often they happen."""

from collections.abc import Callable
from math import inf
from time import monotonic
from typing import Final

_MOST_CAUSES: Final = 100


class Seldom:
    """Says whether a cause is due to be logged: the first time, and then once in ``every_s``.

    Any thread may ask; of two that ask at once, both may hear that it is due.
    """

    def __init__(self, every_s: float, *, clock: Callable[[], float] = monotonic) -> None:
        """Start without causes; if there are too many, the one that was told first is forgotten."""
        self._every_s = every_s
        self._clock = clock
        self._told: dict[object, tuple[float, int]] = {}
        """When each was told last, and how often it has come since."""

    def is_due(self, cause: object) -> bool:
        """Say whether it is due; if so, it counts as told."""
        return self.count(cause) > 0

    def count(self, cause: object, more: int = 1) -> int:
        """Count ``more``; if it is due, it counts as told, and the number since the last time is returned, else 0."""
        now = self._clock()
        told_at, unsaid = self._told.get(cause, (-inf, 0))
        unsaid += more
        if now - told_at < self._every_s:
            self._told[cause] = (told_at, unsaid)
            return 0
        self._told.pop(cause, None)  # to be the youngest
        self._told[cause] = (now, 0)
        for oldest in list(self._told)[:-_MOST_CAUSES]:
            self._told.pop(oldest, None)
        return unsaid
