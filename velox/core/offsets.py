"""Which offset of each partition may be committed."""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from velox.errors import RewoundError
from velox.records import Partition, Position


class Gap(NamedTuple):
    """Offsets that a partition did not give: none from ``start`` on, before ``stop``."""

    partition: Partition
    start: int
    stop: int


@dataclass(slots=True)
class _Progress:
    start: int
    expected: int
    fetched: deque[int] = field(default_factory=deque)
    done: dict[int, bool] = field(default_factory=dict)
    """Whether each was bad."""
    next_offset: int | None = None


class Offsets:
    """Takes done positions in any order; answers the contiguous committable offset per partition.

    Contiguous means: in the order fetched. Kafka's own gaps (compaction, transaction markers) do not hold
    a partition back. Not thread-safe: one thread, the one that polls Kafka, owns it.
    """

    def __init__(self) -> None:
        """Start with no partitions."""
        self._partitions: dict[Partition, _Progress] = {}
        self._gaps: list[Gap] = []

    def begin(self, partition: Partition, offset: int) -> None:
        """Note where the group goes on in a partition that nothing was fetched from yet."""
        self._partitions[partition] = _Progress(offset, offset)

    def fetched(self, position: Position) -> None:
        """Note that a record is in flight; its offset holds the partition back until it is done.

        Raises:
            RewoundError: not after the last one fetched. Going on would let a later offset be committed over an
                earlier one that is not done.
        """
        partition = Partition(position.topic, position.partition)
        progress = self._partitions.get(partition)
        if progress is None:
            progress = self._partitions[partition] = _Progress(position.offset, position.offset)
        fetched = progress.fetched
        if fetched and position.offset <= fetched[-1]:
            msg = f"{position} came after offset {fetched[-1]}: was the topic created anew? Start the consumer again"
            raise RewoundError(msg)
        if position.offset > progress.expected:
            self._gaps.append(Gap(partition, progress.expected, position.offset))
        progress.expected = position.offset + 1
        fetched.append(position.offset)

    def done(self, position: Position, *, bad: bool = False) -> Sequence[bool]:
        """Note that a record is stored, or dead-lettered. A position not in flight (any more) is ignored.

        Returns:
            For each record that nothing holds back any more, in order, whether it was bad.
        """
        progress = self._partitions.get(Partition(position.topic, position.partition))
        if progress is None or not progress.fetched or position.offset < progress.fetched[0]:
            return ()
        progress.done[position.offset] = bad
        passed = []
        while progress.fetched and progress.fetched[0] in progress.done:
            offset = progress.fetched.popleft()
            passed.append(progress.done.pop(offset))
            progress.next_offset = offset + 1
        return passed

    def committable(self) -> dict[Partition, int]:
        """Answer the next offset to read for every partition with something newly done."""
        return {p: s.next_offset for p, s in self._partitions.items() if s.next_offset is not None}

    def committed(self, offsets: Mapping[Partition, int]) -> None:
        """Note that the broker accepted these offsets, so that they are not offered again."""
        for partition, offset in offsets.items():
            progress = self._partitions.get(partition)
            if progress is None:
                continue
            progress.start = max(progress.start, offset)
            if progress.next_offset == offset:
                progress.next_offset = None

    def take_gaps(self) -> list[Gap]:
        """Answer the gaps met since the last call. Compaction and transactions leave some too, which lost nothing."""
        gaps, self._gaps = self._gaps, []
        return gaps

    def start(self, partition: Partition) -> int:
        """Answer where the next commit of a partition begins: what was committed last, or else fetched first."""
        return self._partitions[partition].start

    def forget(self, partitions: Iterable[Partition]) -> None:
        """Drop all state of partitions that are no longer owned: what was staged must never be committed."""
        for partition in partitions:
            self._partitions.pop(partition, None)

    def in_flight(self, partitions: Iterable[Partition] | None = None) -> int:
        """Count records fetched but not yet passed by the committable offset."""
        chosen = self._partitions if partitions is None else partitions
        return sum(len(self._partitions[p].fetched) for p in chosen if p in self._partitions)
