"""How many requests wait for their results, and when that is too many."""

import threading
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from velox.gateway.problems import Problem

_RETRY_AFTER_S: Final = 5


class Pressure:
    """Counts pending requests: as the store does once in a while, and those accepted here since. Thread-safe."""

    def __init__(self, most: int) -> None:
        """Know of none yet; ``most`` is MAX_PENDING."""
        self._most = most
        self._lock = threading.Lock()
        self._pending: Mapping[str, int] = {}
        self._since = 0

    @property
    def pending(self) -> int:
        """Estimate how many are pending: rather too many than too few."""
        with self._lock:
            return sum(self._pending.values()) + self._since

    def counted(self, pending: Mapping[str, int]) -> None:
        """Take the store's count, by model."""
        with self._lock:
            self._pending, self._since = pending, 0

    def admit(self) -> None:
        """Count one more.

        Raises:
            Problem: 429: too many are pending already.
        """
        with self._lock:
            pending = sum(self._pending.values()) + self._since
            if pending < self._most:
                self._since += 1
                return
        detail = f"{pending} requests are pending, and MAX_PENDING={self._most}; try again later"
        raise Problem(HTTPStatus.TOO_MANY_REQUESTS, detail, retry_after_s=_RETRY_AFTER_S)
