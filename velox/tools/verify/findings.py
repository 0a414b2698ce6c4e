"""What is found of a run's records in each sink and among the dead letters: some bytes a record. Pure."""

import math
import sys
from array import array
from collections.abc import Iterable
from typing import Final, NamedTuple

from velox.records import Position
from velox.sinks.sink import Stored
from velox.tools.verify.numbered import KEYS, Records
from velox.tools.verify.places import Places

_SEEN: Final = 1
_DETECTION: Final = 2


class DeadLetter(NamedTuple):
    """A record on the dead-letter topic."""

    id: str
    reason: str
    is_whole: bool = True
    """Whether it carries the record as it was published, and says where that lies."""


class InSink:
    """What one sink shows: records by their numbers, and what it should not have."""

    def __init__(
        self, records: Records, places: Places, published: int, *, takes_all: bool, tells_detections: bool = False
    ) -> None:
        """Expect records with numbers below ``published``; ``takes_all``: each of them, not only detections."""
        self.takes_all = takes_all
        self.tells_detections = tells_detections
        """Whether it keeps which results are detections: known of Velox's own, else taken from what it shows."""
        self.again: set[int] = set()
        """Seen more than once."""
        self.mistaken: set[int] = set()
        """With a label or a position that is not the record's."""
        self.altered: set[int] = set()
        """With a content that is not the record's; for the one who can look into it to note."""
        self.strangers: set[str] = set()
        """Ids that no record has."""
        self.inversions = 0
        """Results older than that of an earlier record with the same key."""
        self._records = records
        self._places = places
        self._seen = bytearray(published)
        self._strange_positions: dict[Position, str] = {}

    def __contains__(self, number: int) -> bool:
        """Say whether the record with this number is there."""
        return bool(self._seen[number])

    def __len__(self) -> int:
        """Count the records that are there."""
        return len(self._seen) - self._seen.count(0)

    def is_detection(self, number: int) -> bool:
        """Say whether the record is there as a detection."""
        return bool(self._seen[number] & _DETECTION)

    def read(self, rows: Iterable[Stored]) -> None:
        """Take in all that the sink shows; once."""
        predicted_at = array("d")
        for row in rows:
            number = self._records.number(row.id)
            if number is None or number >= len(self._seen):
                self.strangers.add(row.id)
                if row.position is not None:
                    self._strange_positions[Position(*row.position)] = row.id
                continue
            if self._seen[number]:
                self.again.add(number)
            self._seen[number] = _SEEN | (_DETECTION if row.is_detection else 0)
            self.tells_detections |= not row.is_detection
            if self._is_mistaken(number, row):
                self.mistaken.add(number)
            if row.predicted_at is not None:
                predicted_at = predicted_at or array("d", [math.nan]) * len(self._seen)
                predicted_at[number] = row.predicted_at
        self.inversions = _inversions(predicted_at) if self._records.shares_keys else 0

    def under_several_ids(self) -> dict[int, str]:
        """Find the records that are there under a strange id too, with that id."""
        if not self._strange_positions:
            return {}
        places = ((number, self._places.get(number)) for number, seen in enumerate(self._seen) if seen)
        return {number: self._strange_positions[at] for number, at in places if at in self._strange_positions}

    def _is_mistaken(self, number: int, row: Stored) -> bool:
        label, position = self._records.label(number), self._places.get(number)
        if row.label and label is not None and row.label != label:
            return True
        return row.position is not None and position is not None and row.position != position


class InDeadLetters:
    """What the dead-letter topic shows."""

    def __init__(self, records: Records, published: int) -> None:
        """Expect records with numbers below ``published``."""
        self.reasons: dict[int, str] = {}
        """Why each is there, by its first letter."""
        self.other_reasons: list[tuple[int, str]] = []
        """What later letters of the same records say, where that is something else."""
        self.again = 0
        """Letters beyond the first of each record."""
        self.altered: set[int] = set()
        """Letters that do not carry their record as it was, or name another place for it."""
        self.strangers: set[str] = set()
        """Ids that no record has."""
        self._records = records
        self._published = published

    def read(self, letters: Iterable[DeadLetter]) -> None:
        """Take in all letters, in the order in which they were written; once."""
        for letter in letters:
            number = self._records.number(letter.id)
            if number is None or number >= self._published:
                self.strangers.add(letter.id)
                continue
            if not letter.is_whole:
                self.altered.add(number)
            reason = sys.intern(letter.reason)
            if number not in self.reasons:
                self.reasons[number] = reason
                continue
            self.again += 1
            if reason != self.reasons[number]:
                self.other_reasons.append((number, reason))


def _inversions(predicted_at: "array[float]") -> int:
    """Count, in the order of the numbers, the results older than an earlier one with the same key."""
    newest = [-math.inf] * KEYS
    inversions = 0
    for number, at in enumerate(predicted_at):
        if not math.isnan(at):
            key = number % KEYS
            inversions += at < newest[key]
            newest[key] = max(at, newest[key])
    return inversions
