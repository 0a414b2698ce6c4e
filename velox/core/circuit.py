"""When so many records are bad that going on would only fill the dead-letter topic."""

from collections import deque
from collections.abc import Iterable

from velox.records import Partition


class Circuit:
    """Opens when a share of the last records is bad, or a run of them in one partition; then it stays open.

    Counts records, not seconds, so that as many pass before it opens at any rate. Pure; not thread-safe.
    """

    def __init__(self, *, ratio: float, window: int, run: int) -> None:
        """Open at ``ratio`` × ``window`` bad records among the last ``window``, or ``run`` in a row; 0 = never."""
        self.cause: str | None = None
        """Why it is open; None while it is closed."""
        self._ratio = ratio
        self._run = run
        self._last: deque[bool] = deque(maxlen=window)
        self._bad = 0
        self._runs: dict[Partition, int] = {}

    def count(self, partition: Partition, outcomes: Iterable[bool]) -> None:
        """Note whether each record was bad, in the order in which they lie in the partition."""
        for is_bad in outcomes:
            if len(self._last) == self._last.maxlen:
                self._bad -= self._last[0]
            self._last.append(is_bad)
            self._bad += is_bad
            self._runs[partition] = self._runs.get(partition, 0) + 1 if is_bad else 0
            self.cause = self.cause or self._judge(partition)

    def forget(self, partitions: Iterable[Partition]) -> None:
        """Forget the runs of partitions that are no longer owned."""
        for partition in partitions:
            self._runs.pop(partition, None)

    def _judge(self, partition: Partition) -> str | None:
        run = self._runs[partition]
        if 0 < self._run <= run:
            return f"the last {run} records of {partition.topic}-{partition.number} were all bad"
        if self._ratio and self._bad >= self._ratio * (self._last.maxlen or 0):
            return f"{self._bad} of the last {len(self._last)} records were bad"
        return None
