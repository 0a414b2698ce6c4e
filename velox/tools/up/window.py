"""Rates and latencies of the last seconds."""

from collections import deque
from collections.abc import Callable
from time import monotonic

from velox.tools.up.scraping import Buckets, since


class Window:
    """Remembers counts of the last ``width_s`` seconds. Not thread-safe."""

    def __init__(self, width_s: float = 10.0, *, clock: Callable[[], float] = monotonic) -> None:
        """Start empty."""
        self._width_s = width_s
        self._clock = clock
        self._seen: deque[tuple[float, int, int, Buckets]] = deque()

    def saw(self, *, produced: int, predicted: int, latency: Buckets) -> None:
        """Note the totals as they are now."""
        now = self._clock()
        self._seen.append((now, produced, predicted, latency))
        while self._seen[0][0] < now - self._width_s:
            self._seen.popleft()

    def rates(self) -> tuple[float, float]:
        """Answer how many records a second were produced, and predicted."""
        if len(self._seen) < 2:  # noqa: PLR2004 - a rate needs two points
            return 0.0, 0.0
        (t0, produced0, predicted0, _), (t1, produced1, predicted1, _) = self._seen[0], self._seen[-1]
        passed_s = max(t1 - t0, 1e-9)
        return (produced1 - produced0) / passed_s, (predicted1 - predicted0) / passed_s

    def latency(self) -> Buckets:
        """Answer the latencies observed within the window."""
        return since(self._seen[-1][3], self._seen[0][3]) if self._seen else {}
