"""Where the broker has put each record."""

from array import array
from typing import Final

from velox.records import Partition, Position

_NOWHERE: Final = -1
_UNTOLD: Final = -2


class Places:
    """The partition and offset of each acknowledged record, by its number: 12 bytes a record."""

    def __init__(self) -> None:
        """Start with nothing acknowledged."""
        self._numbers: dict[Partition, int] = {}
        """A short number for each partition met, and under it the partition."""
        self._met: list[Partition] = []
        self._partitions = array("i")
        self._offsets = array("q")
        self._count = 0

    def __len__(self) -> int:
        """Count the acknowledged records."""
        return self._count

    def __contains__(self, number: int) -> bool:
        """Say whether the broker has acknowledged the record with this number."""
        return number < len(self._offsets) and self._offsets[number] != _NOWHERE

    def put(self, number: int, partition: Partition, offset: int) -> None:
        """Note where a record lies; once for each, in any order."""
        if partition not in self._numbers:
            self._numbers[partition] = len(self._met)
            self._met.append(partition)
        self._note(number, self._numbers[partition], offset)

    def accept(self, number: int) -> None:
        """Note that a record is safe, where nobody says in which place; once for each, in any order."""
        self._note(number, _NOWHERE, _UNTOLD)

    def get(self, number: int) -> Position | None:
        """Answer where a record lies; None while it is not acknowledged, or if nobody said."""
        if number not in self or self._offsets[number] == _UNTOLD:
            return None
        partition = self._met[self._partitions[number]]
        return Position(partition.topic, partition.number, self._offsets[number])

    def _note(self, number: int, partition: int, offset: int) -> None:
        unknown = number + 1 - len(self._offsets)
        if unknown > 0:
            self._partitions.extend([_NOWHERE] * unknown)
            self._offsets.extend([_NOWHERE] * unknown)
        self._partitions[number], self._offsets[number] = partition, offset
        self._count += 1
