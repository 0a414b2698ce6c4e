"""What is said once in a while, however often it happens."""

from collections import OrderedDict
from collections.abc import Callable
from math import inf
from time import monotonic
from typing import Final

_MOST_CAUSES: Final = 100


class Seldom:
    """Says whether a cause is due to be told: the first time, and then once in ``every_s``. Any thread may ask."""

    def __init__(self, every_s: float, *, clock: Callable[[], float] = monotonic) -> None:
        """Know of no cause yet; of too many, the one that was told first is forgotten."""
        self._every_s = every_s
        self._clock = clock
        self._told: OrderedDict[object, tuple[float, int]] = OrderedDict()
        """When each was told last, and how often it has come since."""

    def is_due(self, cause: object) -> bool:
        """Answer, and take it for told if it is."""
        return self.count(cause) > 0

    def count(self, cause: object, more: int = 1) -> int:
        """Note that it has come so often; if it is due, take it for told, and answer how often since the last time."""
        now = self._clock()
        told_at, unsaid = self._told.get(cause, (-inf, 0))
        unsaid += more
        if now - told_at < self._every_s:
            self._told[cause] = (told_at, unsaid)
            return 0
        self._told[cause] = (now, 0)
        self._told.move_to_end(cause)
        if len(self._told) > _MOST_CAUSES:
            self._told.popitem(last=False)
        return unsaid
