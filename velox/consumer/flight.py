"""The records in flight: fetched and not yet done."""

import threading
from collections import deque
from collections.abc import Sequence

from velox.core.circuit import Circuit
from velox.core.offsets import Offsets
from velox.records import Partition, Position, Record


class Flight:
    """Counts what is in flight, in records and in bytes of memory, and keeps the offsets and the circuit up to date.

    One thread, the one that polls Kafka, owns it; ``done``, ``downloaded`` and ``wait_for_room`` may be called by
    others.
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
        self._objects = 0
        """Payloads that were downloaded and whose records are not done."""
        self._changed = threading.Condition()
        """Guards the counts of memory, and is told when they fall."""

    def add(self, record: Record) -> None:
        """Note a record that was fetched."""
        self.records += 1
        with self._changed:
            self.bytes += record.size_bytes
        self.offsets.fetched(record.position)

    def skip(self, position: Position) -> None:
        """Note the position of a record that needs no work."""
        self.offsets.skipped(position)

    def done(self, records: Sequence[Record], bad: Sequence[Record] = ()) -> None:
        """Note records whose outcome every sink has, and bad ones: dead letters by now. Any thread may call this."""
        self._landed.extend((record, False) for record in records)
        self._landed.extend((record, True) for record in bad)
        self._something_landed.set()

    def downloaded(self, record: Record) -> None:
        """Note that a record has got its payload, which its size now counts. Any thread may call this."""
        with self._changed:
            self.bytes += len(record.payload)
            self._objects += 1

    def wait_for_room(self, timeout_s: float) -> bool:
        """Wait until one more payload may be downloaded; False when it may not by then. Any thread may call this.

        While no payload is here one always may: what has come without it must not keep it out for ever.
        """
        with self._changed:
            return self._changed.wait_for(lambda: self.bytes < self._max_bytes or not self._objects, timeout_s)

    def settle(self) -> None:
        """Bring the counts and offsets up to what is done."""
        self._something_landed.clear()
        while self._landed:
            record, is_bad = self._landed.popleft()
            self.records -= 1
            self._let_go(record)
            at = record.position
            passed = self.offsets.done(at, epoch=record.epoch, bad=is_bad)
            self.circuit.count(Partition(at.topic, at.partition), passed)

    def _let_go(self, record: Record) -> None:
        with self._changed:
            self.bytes -= record.size_bytes
            if record.pointer and record.payload:
                self._objects -= 1
                self._changed.notify_all()

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
