"""When a batch is due, and what is in it: its pace decides."""

from collections import deque
from collections.abc import Callable, Iterable
from time import monotonic
from typing import Generic, TypeVar

from velox.core.pace import Pace

Item = TypeVar("Item")


class Batcher(Generic[Item]):
    """Collects items and says when a batch is due. Pure but for the injected clock; not thread-safe."""

    def __init__(self, pace: Pace, *, clock: Callable[[], float] = monotonic) -> None:
        """Cut batches as ``pace`` says."""
        self.pace = pace
        self._clock = clock
        self._waiting: deque[tuple[float, Item]] = deque()

    def __len__(self) -> int:
        """Count the items that wait."""
        return len(self._waiting)

    def add(self, items: Iterable[Item], *, since: float | None = None) -> None:
        """Add items that have waited ``since`` a point on the clock, by default since now."""
        start = self._clock() if since is None else since
        before = len(self._waiting)
        self._waiting.extend((start, item) for item in items)
        self.pace.arrived(len(self._waiting) - before)

    def due_in_s(self) -> float | None:
        """Seconds until the next batch is due: 0 when one is due now, None when nothing waits."""
        if not self._waiting:
            return None
        wait_s = self.pace.wait_s(len(self._waiting))
        return max(0.0, self._waiting[0][0] + wait_s - self._clock()) if wait_s else 0.0

    def waited_s(self) -> float:
        """Seconds the first item has waited; 0 when nothing waits."""
        return max(0.0, self._clock() - self._waiting[0][0]) if self._waiting else 0.0

    def take(self) -> list[Item]:
        """Cut the next batch, oldest items first; empty when nothing waits. Call it when one is due."""
        count = self.pace.take(len(self._waiting)) if self._waiting else 0
        return [self._waiting.popleft()[1] for _ in range(count)]
