"""Which offset of each partition may be committed."""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from velox.errors import RewoundError
from velox.records import Partition, Position


class Gap(NamedTuple):
    """Offsets at which a partition had no record: from ``start`` to before ``stop``."""

    partition: Partition
    start: int
    stop: int


@dataclass(slots=True)
class _Progress:
    start: int
    """Where the next commit begins: what was committed last."""
    expected: int
    """The offset after all that is known of the partition."""
    epoch: int
    """Since which it has been owned."""
    fetched: deque[int] = field(default_factory=deque)
    done: dict[int, bool] = field(default_factory=dict)
    """Whether each was bad."""
    passed: int = 0
    """Records done that no accepted commit covers."""
    offered: tuple[int, int] = (-1, 0)
    """The offset that was offered last, and how many of those it covers."""

    @property
    def next_offset(self) -> int:
        """The first that is not done."""
        return self.fetched[0] if self.fetched else self.expected


class Offsets:
    """Takes done positions in any order; gives the contiguous committable offset per partition.

    Contiguous means: in the order fetched. Kafka's own gaps (compaction, transaction markers) do not hold
    a partition back. Not thread-safe: one thread, the one that polls Kafka, owns it.
    """

    def __init__(self) -> None:
        """Start with no partitions."""
        self.epoch = 0
        """Raised whenever partitions go. What was fetched in an epoch before a partition came says nothing about it."""
        self._partitions: dict[Partition, _Progress] = {}
        self._gaps: list[Gap] = []

    def begin(self, partition: Partition, offset: int) -> None:
        """Note where the group goes on in a partition that nothing was fetched from yet."""
        self._partitions[partition] = _Progress(offset, offset, self.epoch)

    def fetched(self, position: Position) -> None:
        """Note that a record is in flight; its offset holds the partition back until it is done.

        Raises:
            RewoundError: not after the last one fetched. Going on would let a later offset be committed over an
                earlier one that is not done.
        """
        self._advance(position).fetched.append(position.offset)

    def skipped(self, position: Position) -> None:
        """Note the position of a record that needs no work.

        Raises:
            RewoundError: as for ``fetched``.
        """
        self._advance(position)

    def reached(self, partition: Partition, offset: int) -> None:
        """Note that before this offset no records are left to be fetched, only Kafka's own marks, if anything."""
        progress = self._partitions.get(partition)
        if progress is not None and not progress.fetched and offset > progress.expected:
            self._gaps.append(Gap(partition, progress.expected, offset))
            progress.expected = offset

    def done(self, position: Position, *, epoch: int, bad: bool = False) -> Sequence[bool]:
        """Note that a record is stored, or dead-lettered. One not in flight (any more) is ignored.

        A record of an epoch that has ended for its partition is not in flight, though another fetched from the same
        position may be: what became of the old one does not tell of the new one.

        Returns:
            For each record that nothing holds back any more, in order, whether it was bad.
        """
        progress = self._partitions.get(Partition(position.topic, position.partition))
        if progress is None or epoch < progress.epoch:
            return ()
        if not progress.fetched or position.offset < progress.fetched[0]:
            return ()
        progress.done[position.offset] = bad
        passed = []
        while progress.fetched and progress.fetched[0] in progress.done:
            passed.append(progress.done.pop(progress.fetched.popleft()))
        progress.passed += len(passed)
        return passed

    def committable(self) -> dict[Partition, int]:
        """Return the next offset to read, for every partition in which it is not committed yet."""
        offered = {}
        for partition, progress in self._partitions.items():
            if progress.next_offset != progress.start:
                offered[partition] = progress.next_offset
                progress.offered = (progress.next_offset, progress.passed)
        return offered

    def committed(self, offsets: Mapping[Partition, int]) -> None:
        """Note that the broker accepted these offsets, so that they are not offered again."""
        for partition, offset in offsets.items():
            progress = self._partitions.get(partition)
            if progress is None:
                continue
            if offset == progress.offered[0]:
                progress.passed -= progress.offered[1]
                progress.start, progress.offered = offset, (-1, 0)
            progress.start = max(progress.start, offset)

    def uncommitted(self) -> int:
        """Count the records done that no accepted commit covers: they would be read again."""
        return sum(progress.passed for progress in self._partitions.values())

    def take_gaps(self) -> list[Gap]:
        """Return the gaps met since the last call. Compaction and transactions leave some as well, and lose nothing."""
        gaps, self._gaps = self._gaps, []
        return gaps

    def start(self, partition: Partition) -> int:
        """Return where the next commit of a partition begins: at what was committed last, or else fetched first."""
        return self._partitions[partition].start

    def owned_since(self, partition: Partition) -> int | None:
        """Return the epoch in which a partition was assigned; None when it is not owned."""
        progress = self._partitions.get(partition)
        return None if progress is None else progress.epoch

    def forget(self, partitions: Iterable[Partition]) -> None:
        """Drop all state of partitions that are no longer owned: what was staged must never be committed."""
        self.epoch += 1
        for partition in partitions:
            self._partitions.pop(partition, None)

    def in_flight(self, partitions: Iterable[Partition] | None = None) -> int:
        """Count records fetched but not yet passed by the committable offset."""
        chosen = self._partitions if partitions is None else partitions
        return sum(len(self._partitions[p].fetched) for p in chosen if p in self._partitions)

    def _advance(self, position: Position) -> _Progress:
        partition = Partition(position.topic, position.partition)
        progress = self._partitions.get(partition)
        if progress is None:
            self.begin(partition, position.offset)
            progress = self._partitions[partition]
        if progress.fetched and position.offset <= (last := progress.fetched[-1]):
            msg = f"{position} came after offset {last}: was the topic created anew? Start the consumer again"
            raise RewoundError(msg)
        if position.offset > progress.expected:
            self._gaps.append(Gap(partition, progress.expected, position.offset))
        if position.offset < progress.expected:
            progress.start = position.offset
        progress.expected = position.offset + 1
        return progress
