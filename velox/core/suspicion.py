"""Which record a process died of: suspects are tried alone, and one is blamed only beside a witness."""

from collections import deque
from collections.abc import Iterable, Sequence

from velox.core.freshness import Line
from velox.records import Record


class Suspicion:
    """Takes what a dead process had in hand; says which record to try alone next. Pure; not thread-safe.

    A process that dies alone with a suspect has died of it, unless the model fails for everything. The witness tells
    the two apart: a record that was predicted before, and that the next process has to predict again.
    """

    def __init__(self) -> None:
        """Start without suspects."""
        self.witness: Record | None = None
        """The record that was predicted last; None before any was."""
        self._suspects: deque[Record] = deque()

    def __len__(self) -> int:
        """Count the suspects that have not been tried."""
        return len(self._suspects)

    def died_with(self, records: Sequence[Record], *, most: int) -> Sequence[Record]:
        """Suspect the first ``most`` of what a process had in hand, in the order it had them; return the others."""
        self._suspects.extend(records[:most])
        return records[most:]

    def predicted(self, records: Iterable[Record]) -> None:
        """Note records that a process has predicted, in order."""
        for record in records:
            self.witness = record

    def next_alone(self, waiting: Line) -> Record | None:
        """Return the next record to be tried alone; None when no suspect is left.

        Without a witness, first one that waits and is far from the suspects: it may well become one.
        """
        if self._suspects and waiting and self.witness is None:
            return waiting.take_last()
        return self._suspects.popleft() if self._suspects else None
