"""The reads from a bucket that are under way, and which of them hang."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic


@dataclass(slots=True)
class _Read:
    key: str
    began: float
    is_told: bool = False


class Reads:
    """At most one read a thread. Any thread may ask; ``newly_late`` only one.

    No read is broken off: the operating system takes none back that waits for a disk or a network. One that hangs keeps
    its thread until it ends.
    """

    def __init__(self, *, most: int, late_after_s: float) -> None:
        """Begin without any."""
        self._most = most
        self._late_after_s = late_after_s
        self._under_way: dict[int, _Read] = {}
        """By thread."""

    @contextmanager
    def of(self, key: str) -> Iterator[float]:
        """Note that the caller's thread reads this object now; yields when that began, in monotonic seconds."""
        thread, began = threading.get_ident(), monotonic()
        self._under_way[thread] = _Read(key, began)
        try:
            yield began
        finally:
            del self._under_way[thread]

    @property
    def all_hang(self) -> bool:
        """Say whether as many as may be are under way, and every one is late."""
        under_way = list(self._under_way.values())
        return len(under_way) == self._most and all(self._is_late(read) for read in under_way)

    def newly_late(self) -> list[str]:
        """Name the objects whose reads have become late since the last call."""
        late = [read for read in list(self._under_way.values()) if not read.is_told and self._is_late(read)]
        for read in late:
            read.is_told = True
        return [read.key for read in late]

    def _is_late(self, read: _Read) -> bool:
        return read.began < monotonic() - self._late_after_s
