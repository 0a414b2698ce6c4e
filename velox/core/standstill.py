"""Which partitions stand still although they hold records and are being read."""

from collections.abc import Callable, Mapping
from time import monotonic

from velox.records import Partition


class Standstill:
    """Watches positions. Pure; not thread-safe."""

    def __init__(self, patience_s: float, *, clock: Callable[[], float] = monotonic) -> None:
        """Consider a partition standing once it was read for ``patience_s`` and nothing came."""
        self._patience_s = patience_s
        self._clock = clock
        self._since: dict[Partition, tuple[int, float]] = {}

    def look(
        self, positions: Mapping[Partition, int], lag: Mapping[Partition, int], *, is_reading: bool
    ) -> set[Partition]:
        """Note where reading is and how much lies ahead; return which partitions stand still.

        Time in which nothing was read (all that may be in flight is, or a sink is down) does not count.
        """
        now = self._clock()
        since: dict[Partition, tuple[int, float]] = {}
        for partition, position in positions.items():
            before = self._since.get(partition)
            if not is_reading or not lag.get(partition) or before is None or before[0] != position:
                since[partition] = (position, now)
            else:
                since[partition] = before
        self._since = since
        return {partition for partition, (_, began) in since.items() if now - began > self._patience_s}
