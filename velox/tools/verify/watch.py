"""How long consuming stood still, and how long it took to recover from each fault."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import monotonic

from velox.records import Partition
from velox.tools.verify.plan import Kind

Offsets = Mapping[Partition, int]


@dataclass(frozen=True, slots=True)
class _Open:
    kind: Kind
    since: float
    committed: Offsets
    ends: Offsets


class Watch:
    """Follows the committed offsets. Pure: it is told what they are, several times a second.

    Recovered means: all consumers are healthy again, and every partition in which something was unread at the fault
    has been committed beyond where it was then. The times are as exact as it is told often, and as COMMIT_INTERVAL_S
    allows.
    """

    def __init__(self, *, clock: Callable[[], float] = monotonic) -> None:
        """Start with nothing read."""
        self.committed: dict[Partition, int] = {}
        self.ends: Offsets = {}
        self.longest_stall_s = 0.0
        self.recoveries: defaultdict[Kind, list[float]] = defaultdict(list)
        """Seconds, by kind of fault."""
        self._clock = clock
        self._moved_at = clock()
        self._open: _Open | None = None

    @property
    def unread(self) -> int:
        """Count the records that are not committed."""
        return sum(max(0, end - self.committed.get(p, 0)) for p, end in self.ends.items())

    @property
    def done(self) -> int:
        """Sum up the committed offsets."""
        return sum(self.committed.values())

    @property
    def still_for_s(self) -> float:
        """Say for how long nothing has been committed although something is unread."""
        return self._clock() - self._moved_at

    @property
    def is_recovering(self) -> bool:
        """Say whether a fault is not over."""
        return self._open is not None

    def fault(self, kind: Kind, *, seconds_ago: float = 0) -> None:
        """Note that a fault was injected; an earlier one that is not over is forgotten."""
        self._open = _Open(kind, self._clock() - seconds_ago, dict(self.committed), dict(self.ends))

    def saw(self, committed: Offsets, ends: Offsets, *, healthy: bool) -> float | None:
        """Note how far the group and the topic are now; answer the seconds when that ends a fault."""
        now = self._clock()
        moved = any(offset > self.committed.get(p, 0) for p, offset in committed.items())
        if moved or not self.unread:
            self._moved_at = now
        self.committed.update(committed)
        self.ends = dict(ends)
        self.longest_stall_s = max(self.longest_stall_s, now - self._moved_at)
        if self._open is None or not healthy or not self._has_moved_on(self._open):
            return None
        took_s = now - self._open.since
        self.recoveries[self._open.kind].append(took_s)
        self._open = None
        return took_s

    def stands_still_on_purpose(self) -> None:
        """Count the time since the last commit as no stall."""
        self._moved_at = self._clock()

    def give_up(self) -> None:
        """Wait for the end of a fault no longer."""
        self._open = None

    def _has_moved_on(self, fault: _Open) -> bool:
        before = fault.committed
        return all(
            self.committed.get(p, 0) > before.get(p, 0) for p, end in fault.ends.items() if end > before.get(p, 0)
        )
