"""How many requests wait for their results, and when that is too many, or too much."""

import threading
from collections import deque
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from velox.core.backlog import RECORD_BYTES
from velox.gateway.problems import Problem

_RETRY_AFTER_S: Final = 5


class Pressure:
    """Counts pending requests: as the store does once in a while, and those accepted here since. Thread-safe.

    It also adds up the bytes of those that were accepted here. Which of them have their results is not known, only how
    many: the first ones are taken for that. So what is unread in Kafka is about as much, and rarely more.
    """

    def __init__(self, most: int, *, most_bytes: int = 0) -> None:
        """Know of none yet; ``most`` is MAX_PENDING, ``most_bytes`` PRODUCER_MAX_LAG_BYTES (0 = no limit)."""
        self._most = most
        self._most_bytes = most_bytes
        self._sizes: deque[int] = deque()
        self._bytes = 0
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
            while len(self._sizes) > sum(pending.values()):
                self._bytes -= self._sizes.popleft()

    def admit(self, size_bytes: int) -> None:
        """Count one more, whose payload has so many bytes; one that is alone may be of any size.

        Raises:
            Problem: 429: too many are pending already, or too much.
        """
        size = size_bytes + RECORD_BYTES
        with self._lock:
            pending = sum(self._pending.values()) + self._since
            is_too_much = bool(self._most_bytes and self._sizes) and self._bytes + size > self._most_bytes
            if pending < self._most and not is_too_much:
                self._since += 1
                if self._most_bytes:
                    self._sizes.append(size)
                    self._bytes += size
                return
        if is_too_much:
            detail = f"{self._bytes} bytes wait to be predicted, and PRODUCER_MAX_LAG_BYTES={self._most_bytes}"
        else:
            detail = f"{pending} requests are pending, and MAX_PENDING={self._most}"
        raise Problem(HTTPStatus.TOO_MANY_REQUESTS, f"{detail}; try again later", retry_after_s=_RETRY_AFTER_S)
