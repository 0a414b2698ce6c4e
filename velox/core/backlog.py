"""How far a reader is behind a writer, in bytes per partition."""

from collections import defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from velox.records import Partition

RECORD_BYTES: Final = 256
"""What a record may need in a partition besides its value: batch frame, headers, key."""


@dataclass(slots=True)
class _Unread:
    records: deque[tuple[int, int]] = field(default_factory=deque)
    size_bytes: int = 0


class Backlog:
    """Adds up what was published and not yet committed by the group. Pure; not thread-safe.

    Errs on the safe side: values count uncompressed, and a record whose partition is not known yet (it is on its way to
    the broker) counts for all of them.
    """

    def __init__(self) -> None:
        """Start with nothing behind."""
        self._unread: defaultdict[Partition, _Unread] = defaultdict(_Unread)
        self._on_the_way_bytes = 0

    @property
    def partitions(self) -> list[Partition]:
        """The partitions in which something is unread."""
        return [partition for partition, unread in self._unread.items() if unread.records]

    def published(self, size_bytes: int) -> None:
        """Note a record on its way to the broker."""
        self._on_the_way_bytes += size_bytes + RECORD_BYTES

    def delivered(self, partition: Partition, offset: int, size_bytes: int) -> None:
        """Note that the broker has it."""
        size = size_bytes + RECORD_BYTES
        self._on_the_way_bytes -= size
        unread = self._unread[partition]
        unread.records.append((offset, size))
        unread.size_bytes += size

    def failed(self, size_bytes: int) -> None:
        """Note that it never got there."""
        self._on_the_way_bytes -= size_bytes + RECORD_BYTES

    def committed(self, offsets: Mapping[Partition, int]) -> None:
        """Note the next offset the group will read, per partition."""
        for partition, offset in offsets.items():
            unread = self._unread[partition]
            while unread.records and unread.records[0][0] < offset:
                unread.size_bytes -= unread.records.popleft()[1]

    def behind_bytes(self) -> int:
        """Answer for the partition that is furthest behind."""
        return self._on_the_way_bytes + max((unread.size_bytes for unread in self._unread.values()), default=0)
