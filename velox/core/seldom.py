"""What is said once in a while, however often it happens."""

from collections import OrderedDict
from collections.abc import Callable
from time import monotonic
from typing import Final

_MOST_CAUSES: Final = 100


class Seldom:
    """Says whether a cause is due to be told: the first time, and then once in ``every_s``. Any thread may ask."""

    def __init__(self, every_s: float, *, clock: Callable[[], float] = monotonic) -> None:
        """Know of no cause yet; of too many, the one that was told first is forgotten."""
        self._every_s = every_s
        self._clock = clock
        self._told: OrderedDict[object, float] = OrderedDict()

    def is_due(self, cause: object) -> bool:
        """Answer, and take it for told if it is."""
        now = self._clock()
        told = self._told.get(cause)
        if told is not None and now - told < self._every_s:
            return False
        self._told[cause] = now
        self._told.move_to_end(cause)
        if len(self._told) > _MOST_CAUSES:
            self._told.popitem(last=False)
        return True
