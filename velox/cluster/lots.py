"""Which records are handed over together, and which of them something died of."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import time

from velox.core.freshness import EVERY_RECORD, Dropped, Freshness, Line
from velox.core.suspicion import Suspicion
from velox.records import Record


@dataclass(frozen=True, slots=True)
class Lot:
    """Records that are handed over in one call."""

    records: Sequence[Record]
    is_again: bool = False
    """They were lost once."""
    is_alone: bool = False
    """It is one record, of which something may have died, or the witness."""


class Lots:
    """Gives out records in lots. Pure; not thread-safe.

    What a lost call had in hand is tried again as it was. What is lost a second time are suspects: each is tried alone,
    and nothing else meanwhile, since replicas work on several calls at once. One that is lost alone is accused, and
    blamed as soon as the witness, a record that was fine before, has been predicted once more. So what fails for
    everything is blamed on no record.
    """

    def __init__(self, *, size: int, rule: Freshness = EVERY_RECORD, clock: Callable[[], float] = time) -> None:
        """Give out ``size`` records at a time at most; of those not given out yet, ``rule`` says which are dropped."""
        self.losses_in_a_row = 0
        """Of records that were tried alone, nothing predicted in between."""
        self._size = size
        self._waiting = Line(rule)
        self._clock = clock
        self._dropped: Dropped = []
        self._again: deque[Lot] = deque()
        self._suspicion = Suspicion()
        self._accused: Record | None = None
        self._out = 0
        self._out_records = 0

    def __len__(self) -> int:
        """Count the records that are not answered, nor dropped."""
        again = sum(len(lot.records) for lot in self._again)
        accused = int(self._accused is not None)
        return len(self._waiting) + again + len(self._suspicion) + accused + self._out_records

    @property
    def waiting(self) -> int:
        """Count the records that were never handed over."""
        return len(self._waiting)

    def add(self, records: Sequence[Record]) -> None:
        """Take records in."""
        self._dropped += self._waiting.add(records)

    def take_dropped(self) -> Dropped:
        """Hand over the records that the rule has dropped since the last time."""
        dropped, self._dropped = self._dropped, []
        return dropped

    def take(self) -> Lot | None:
        """Give out the next lot; None when there is none, or none may be given out before another has come back."""
        lot = self._next()
        if lot is not None:
            self._out += 1
            self._out_records += self._weight(lot)
        return lot

    def _next(self) -> Lot | None:
        if self._again:
            return self._again.popleft()
        if self._suspicion or self._accused:
            return None if self._out else self._next_alone()
        taken, stale = self._waiting.take(self._size, self._clock())
        self._dropped += stale
        return Lot(taken) if taken else None

    def _next_alone(self) -> Lot | None:
        witness = self._suspicion.witness
        record = witness if self._accused and witness else self._suspicion.next_alone(self._waiting)
        return None if record is None else Lot([record], is_alone=True)

    def _weight(self, lot: Lot) -> int:
        return 0 if self._is_witness(lot) else len(lot.records)

    def _is_witness(self, lot: Lot) -> bool:
        """Say whether a lot is the witness, which was answered long ago."""
        return self._accused is not None and lot.is_alone

    def answered(self, lot: Lot, predicted: Sequence[Record]) -> Record | None:
        """Hear that a lot has an answer, and which of its records were predicted, in order.

        Returns:
            The record that is to blame for what was lost before, when this has cleared all others; then the lot was the
            witness, whose answer counts for nothing.
        """
        self._came_back(lot)
        self.losses_in_a_row = 0
        if self._is_witness(lot):
            blamed, self._accused = self._accused, None
            return blamed
        self._suspicion.predicted(predicted)
        return None

    def later(self, lot: Lot) -> None:
        """Hear that a lot could not be taken now; it will be given out again."""
        self._came_back(lot)
        if not lot.is_alone and not lot.is_again:
            self._waiting.put_back(lot.records)
        elif not lot.is_alone:
            self._again.appendleft(lot)
        elif not self._is_witness(lot):
            self._suspicion.died_with(lot.records, most=1)

    def lost(self, lot: Lot) -> None:
        """Hear that what worked on a lot died."""
        self._came_back(lot)
        if not lot.is_alone:
            if lot.is_again:
                self._suspicion.died_with(lot.records, most=len(lot.records))
            else:
                self._again.append(Lot(lot.records, is_again=True))
            return
        self.losses_in_a_row += 1
        if self._is_witness(lot):
            return  # the witness fails as well: perhaps everything does
        if self._suspicion.witness:
            self._accused = lot.records[0]
        else:
            self._suspicion.died_with(lot.records, most=1)

    def _came_back(self, lot: Lot) -> None:
        self._out -= 1
        self._out_records -= self._weight(lot)
