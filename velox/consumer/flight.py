"""The records in flight: fetched and not yet done."""

import threading
from collections import deque
from collections.abc import Sequence

from velox.core.circuit import Circuit
from velox.core.offsets import Offsets
from velox.records import Partition, Position, Record


class Flight:
    """Counts what is in flight, in records and in bytes of memory, and keeps the offsets and the circuit up to date.

    One thread, the one that polls Kafka, owns it; only ``done`` may be called by others.
    """

    def __init__(self, *, max_records: int, max_bytes: int, circuit: Circuit) -> None:
        self.records = 0
        self.bytes = 0
        self.offsets = Offsets()
        self.circuit = circuit
        self._max_records = max_records
        self._max_bytes = max_bytes
        self._landed: deque[tuple[Record, bool]] = deque()
        self._something_landed = threading.Event()

    def add(self, record: Record) -> None:
        """Note a record that was fetched."""
        self.records += 1
        self.bytes += record.size_bytes
        self.offsets.fetched(record.position)

    def skip(self, position: Position) -> None:
        """Note the position of a record that needs no work."""
        self.offsets.skipped(position)

    def done(self, records: Sequence[Record], bad: Sequence[Record] = ()) -> None:
        """Note records that every sink has, and bad ones that the dead-letter topic has. Any thread may call this."""
        self._landed.extend((record, False) for record in records)
        self._landed.extend((record, True) for record in bad)
        self._something_landed.set()

    def settle(self) -> None:
        """Bring the counts and offsets up to what is done."""
        self._something_landed.clear()
        while self._landed:
            record, is_bad = self._landed.popleft()
            self.records -= 1
            self.bytes -= record.size_bytes
            at = record.position
            passed = self.offsets.done(at, epoch=record.epoch, bad=is_bad)
            self.circuit.count(Partition(at.topic, at.partition), passed)

    def forget(self, partitions: Sequence[Partition]) -> None:
        """Drop what is known of partitions that are no longer owned."""
        self.offsets.forget(partitions)
        self.circuit.forget(partitions)

    def wait(self, timeout_s: float) -> None:
        """Wait until something is done that ``settle`` has not seen."""
        self._something_landed.wait(timeout_s)

    def room(self) -> int:
        """Count the records that may still be added; 0 also when the bytes are used up."""
        return max(0, self._max_records - self.records) if self.bytes < self._max_bytes else 0
