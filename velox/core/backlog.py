"""How far a reader is behind a writer, in bytes per partition."""

from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import Final

from velox.errors import BrokerUnavailableError
from velox.records import Partition

RECORD_BYTES: Final = 256
"""What a record may need in a partition besides its value: batch frame, headers, key."""
REFRESH_S: Final = 0.2
"""Time between two questions for the reader's offsets."""


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
        """Return the bytes that the partition furthest behind has unread."""
        return self._on_the_way_bytes + max((unread.size_bytes for unread in self._unread.values()), default=0)


class LagLimit:
    """Says when to write no more, because the reader is ``max_bytes`` behind in one partition."""

    def __init__(
        self,
        max_bytes: int,
        backlog: Backlog,
        committed: Callable[[list[Partition]], Mapping[Partition, int]],
        *,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """Ask ``committed`` for the reader's offsets, a few times a second at most and only when it matters."""
        self._max_bytes = max_bytes
        self._backlog = backlog
        self._committed = committed
        self._clock = clock
        self._ask_at = clock()

    def is_reached(self) -> bool:
        """Say whether to wait. Half way to the limit the offsets are asked for, so that it is rarely reached."""
        if self._backlog.behind_bytes() >= self._max_bytes / 2 and self._clock() >= self._ask_at:
            with suppress(BrokerUnavailableError):  # what was known last errs on the safe side
                self._backlog.committed(self._committed(self._backlog.partitions))
            self._ask_at = self._clock() + REFRESH_S
        return self._backlog.behind_bytes() >= self._max_bytes
