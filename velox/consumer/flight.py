"""The records in flight: fetched and not yet done."""

import threading
from collections import deque
from collections.abc import Sequence

from velox.core.offsets import Offsets
from velox.records import Record


class Flight:
    """Counts what is in flight, in records and in bytes, and knows what may be committed.

    One thread, the one that polls Kafka, owns it; only ``done`` may be called by others.
    """

    def __init__(self, *, max_records: int, max_bytes: int) -> None:
        self.records = 0
        self.bytes = 0
        self.offsets = Offsets()
        self._max_records = max_records
        self._max_bytes = max_bytes
        self._landed: deque[Sequence[Record]] = deque()
        self._something_landed = threading.Event()

    def add(self, records: Sequence[Record]) -> None:
        """Note records that were fetched."""
        self.records += len(records)
        for record in records:
            self.bytes += len(record.value)
            self.offsets.fetched(record.position)

    def done(self, records: Sequence[Record]) -> None:
        """Note records that every sink has, or the dead-letter topic. Any thread may call this."""
        self._landed.append(records)
        self._something_landed.set()

    def settle(self) -> None:
        """Bring the counts and offsets up to what is done."""
        self._something_landed.clear()
        while self._landed:
            records = self._landed.popleft()
            self.records -= len(records)
            for record in records:
                self.bytes -= len(record.value)
                self.offsets.done(record.position)

    def wait(self, timeout_s: float) -> None:
        """Wait until something is done that ``settle`` has not seen."""
        self._something_landed.wait(timeout_s)

    def room(self) -> int:
        """Count the records that may still be added; 0 also when the bytes are used up."""
        return max(0, self._max_records - self.records) if self.bytes < self._max_bytes else 0
