"""The records whose payload is wanted from a bucket: who is next, and who is tried again later."""

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from math import inf
from time import monotonic

from velox.core.retries import backoff_s
from velox.records import Pointer, Record


@dataclass(order=True, slots=True)
class Wanted:
    """A record whose payload is wanted, not before a time; times are monotonic seconds."""

    due: float
    record: Record = field(compare=False)
    pointer: Pointer = field(compare=False)
    since: float = field(compare=False)
    was_different: bool = field(compare=False, default=False)
    """Whether it has been read already, and was not what its pointer says."""
    denials: int = field(compare=False, default=0)
    """How often the bucket has not let us read it, and since when."""
    denied_at: float = field(compare=False, default=0.0)
    waits: Iterator[float] | None = field(compare=False, default=None)
    """Begun with the first failure: most records have none."""


class WantedQueue:
    """Gives each record to one of many threads. Nobody waits behind a record that is tried again later."""

    def __init__(self) -> None:
        """Begin empty, and give out nothing before ``start``."""
        self.in_hand = 0
        """Records that were added and have not been let go."""
        self._changed = threading.Condition()
        self._fresh: deque[Wanted] = deque()
        self._later: list[Wanted] = []
        """A heap, the first one due first."""
        self._is_started = False
        self._is_closed = False

    def start(self) -> None:
        """Let ``take`` give out records."""
        with self._changed:
            self._is_started = True
            self._changed.notify_all()

    def add(self, records: Sequence[Record]) -> None:
        """Take in records that have a pointer; never blocks."""
        now = monotonic()
        wanted = [Wanted(now, record, record.pointer, now) for record in records if record.pointer is not None]
        with self._changed:
            self.in_hand += len(wanted)
            self._fresh.extend(wanted)
            self._changed.notify(len(wanted))

    def take(self) -> Wanted | None:
        """Wait for a record that is due: those that were tried before come first. None at the end."""
        with self._changed:
            while not self._is_closed:
                left_s = self._later[0].due - monotonic() if self._is_started and self._later else None
                if left_s is not None and left_s <= 0:
                    return heappop(self._later)
                if self._is_started and self._fresh:
                    return self._fresh.popleft()
                self._changed.wait(left_s)
        return None

    def again(self, wanted: Wanted, *, most_s: float = inf) -> None:
        """Have it tried again after its next back-off, or after ``most_s`` if that is sooner."""
        wanted.waits = wanted.waits or backoff_s()
        wanted.due = monotonic() + min(most_s, next(wanted.waits))
        with self._changed:
            heappush(self._later, wanted)
            self._changed.notify()

    def hurry(self) -> None:
        """Have all be tried again now."""
        with self._changed:
            now = monotonic()
            for wanted in self._later:
                wanted.due = min(wanted.due, now)
            heapify(self._later)
            self._changed.notify_all()

    def let_go(self) -> None:
        """Note that one of those that were taken will not come back."""
        with self._changed:
            self.in_hand -= 1

    def close(self) -> None:
        """Give out no more."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
