"""Which records are still worth a prediction: of a topic's that wait the newest, and none that is too old."""

from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import inf
from typing import Final

from velox.errors import BadRecordError, Reason
from velox.records import Record

Dropped = list[tuple[Record, BadRecordError]]
"""Records that get no prediction, and why."""


@dataclass(frozen=True, slots=True)
class Freshness:
    """The rule. A topic is taken for one stream, such as a camera: its records replace one another."""

    is_newest_only: bool = False
    stale_after_s: float = inf

    @classmethod
    def of(cls, *, is_newest_only: bool, stale_after_ms: int) -> "Freshness":
        """Read it from settings, which write 0 for never."""
        return cls(is_newest_only, stale_after_ms / 1000 if is_newest_only and stale_after_ms else inf)

    def stale(self, record: Record, now: float) -> BadRecordError | None:
        """Say of a record that it is too old; ``now`` in Unix seconds."""
        age_s = now - record.produced_at
        if age_s <= self.stale_after_s:
            return None
        return BadRecordError(
            Reason.STALE, f"{age_s * 1000:.0f} ms old, and STALE_AFTER_MS={self.stale_after_s * 1000:g}"
        )

    def sift(self, records: Sequence[Record], now: float) -> tuple[list[Record], Dropped]:
        """Part records that were fetched together, in their order, into those to go on with and those to drop."""
        if not self.is_newest_only:
            return list(records), []
        line = Line(self)
        dropped = line.add(records)
        fresh, late = line.take(len(line), now)
        return fresh, dropped + late


EVERY_RECORD: Final = Freshness()
"""The rule by which none is dropped."""


class Line:
    """Records that wait for an inference process, in the order in which they came. Pure; not thread-safe.

    By a rule of newest only, a topic has one place in it: a newer record takes the place of the one that waits there,
    and does not go back to the end. So topics take their turns, however fast each of them is.
    """

    def __init__(self, rule: Freshness) -> None:
        """Begin empty."""
        self._rule = rule
        self._records: deque[Record] = deque()
        self._newest: OrderedDict[tuple[str, int], Record] = OrderedDict()

    def __len__(self) -> int:
        """Count them."""
        return len(self._records) + len(self._newest)

    def add(self, records: Iterable[Record]) -> Dropped:
        """Take records in; answer those that others have taken the place of."""
        if not self._rule.is_newest_only:
            self._records.extend(records)
            return []
        dropped: Dropped = []
        for record in records:
            place = (record.position.topic, record.position.partition)
            there = self._newest.get(place)
            if there is None:
                self._newest[place] = record
                continue
            older, newer = (there, record) if there.position.offset < record.position.offset else (record, there)
            self._newest[place] = newer
            dropped.append((older, BadRecordError(Reason.SUPERSEDED, f"{newer.position} is newer")))
        return dropped

    def take(self, most: int, now: float) -> tuple[list[Record], Dropped]:
        """Take the first out, at most so many; beside them those before that are stale. ``now`` in Unix seconds."""
        if not self._rule.is_newest_only:
            return [self._records.popleft() for _ in range(min(most, len(self._records)))], []
        taken: list[Record] = []
        dropped: Dropped = []
        while len(taken) < most and len(self):
            record = self._records.popleft() if self._records else self._newest.popitem(last=False)[1]
            if why := self._rule.stale(record, now):
                dropped.append((record, why))
            else:
                taken.append(record)
        return taken, dropped

    def put_back(self, records: Sequence[Record]) -> None:
        """Put records in front, in their order; they keep their places whatever comes."""
        self._records.extendleft(reversed(records))

    def take_last(self) -> Record | None:
        """Take the last out; None when there is none."""
        if self._newest:
            return self._newest.popitem()[1]
        return self._records.pop() if self._records else None
