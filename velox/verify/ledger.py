"""The account of a run: every record beside every sink, the dead letters and the committed offsets. Pure."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from velox.sinks.sink import Stored
from velox.verify.numbered import Records

_NAMED: Final = 5
"""Ids that a problem names; all of them are in the JSON."""


class DeadLetter(NamedTuple):
    """A record on the dead-letter topic."""

    id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was found at the end, everywhere."""

    published: int
    """Records handed to the Kafka client, numbered from 0."""
    acknowledged: Set[int]
    stored: Mapping[str, Sequence[Stored]]
    """By sink, each result as often as it can be seen there."""
    takes_all: Set[str]
    """The sinks that have to have every record, not only detections."""
    dead_letters: Sequence[DeadLetter]
    uncommitted: int
    """Acknowledged records that the group has not committed."""


@dataclass(slots=True)
class Ledger:
    """What has become of the records. The lists hold ids."""

    produced: int
    acknowledged: int
    stored: dict[str, int]
    """Different ids of the run, by sink."""
    detections: int | None
    """Stored results that are detections, each of which has its image; None when no sink tells."""
    dead_lettered: dict[str, int]
    """Different ids of the run, by reason."""
    dead_lettered_again: int
    """Dead letters beyond the first with the same id."""
    uncommitted: int
    missing: dict[str, list[str]] = field(default_factory=dict)
    """Acknowledged, neither dead-lettered nor in this sink."""
    doubled: dict[str, list[str]] = field(default_factory=dict)
    """Seen more than once in this sink; under `dead letters`: dead-lettered and stored as well."""
    strangers: dict[str, list[str]] = field(default_factory=dict)
    """In this sink under an id that no record has."""
    mistaken: dict[str, list[str]] = field(default_factory=dict)
    """With a label that is another record's."""
    order_inversions: int = 0
    """Results older than that of an earlier record with the same key. Order is not promised."""

    def problems(self) -> list[str]:
        """Say what breaks a promise; nothing when none is broken."""
        found = [
            f"{len(ids)} {what} {place}: {_some(ids)}"
            for what, places in (
                ("records missing in", self.missing),
                ("records doubled in", self.doubled),
                ("results of unknown records in", self.strangers),
                ("results of another record in", self.mistaken),
            )
            for place, ids in places.items()
        ]
        if self.uncommitted:
            found.append(f"{self.uncommitted} records not committed")
        return found


def reconcile(evidence: Evidence, records: Records) -> Ledger:
    """Draw up the account."""
    acknowledged = {records.id(number) for number in evidence.acknowledged}
    published = {records.id(number): number for number in range(evidence.published)}
    first_letters = {letter.id: letter for letter in reversed(evidence.dead_letters) if letter.id in published}
    results = {sink: _results(rows) for sink, rows in evidence.stored.items()}
    told = [found for sink in evidence.takes_all if sink in results for found in results[sink].values()]
    detections = {found.id for found in told if found.is_detection and found.id in published}
    ledger = Ledger(
        produced=evidence.published,
        acknowledged=len(acknowledged),
        stored={sink: len(found.keys() & published.keys()) for sink, found in results.items()},
        detections=len(detections) if told else None,
        dead_lettered=dict(Counter(letter.reason for letter in first_letters.values())),
        dead_lettered_again=sum(letter.id in published for letter in evidence.dead_letters) - len(first_letters),
        uncommitted=evidence.uncommitted,
    )
    good = acknowledged - first_letters.keys()
    labels = {identity: records.label(number) for identity, number in published.items()}
    for sink, found in results.items():
        owed = good if sink in evidence.takes_all else good & detections
        _note(ledger.missing, sink, owed - found.keys())
        _note(ledger.doubled, sink, _doubled(evidence.stored[sink]))
        _note(ledger.strangers, sink, found.keys() - published.keys())
        _note(
            ledger.mistaken,
            sink,
            (i for i, row in found.items() if row.label and (right := labels.get(i)) and row.label != right),
        )
    everywhere = set().union(*(found.keys() for found in results.values()))
    _note(ledger.doubled, "dead letters", everywhere & first_letters.keys())
    _note(ledger.strangers, "dead letters", {x.id for x in evidence.dead_letters} - published.keys())
    ledger.order_inversions = max((_inversions(found, published, records) for found in results.values()), default=0)
    return ledger


def _results(rows: Iterable[Stored]) -> dict[str, Stored]:
    return {row.id: row for row in rows}


def _doubled(rows: Sequence[Stored]) -> set[str]:
    """Find the ids that are there more than once, and those of one record that is there under several."""
    by_id = Counter(row.id for row in rows)
    by_position: defaultdict[object, set[str]] = defaultdict(set)
    for row in rows:
        if row.position is not None:
            by_position[row.position].add(row.id)
    several = (ids for ids in by_position.values() if len(ids) > 1)
    return {identity for identity, times in by_id.items() if times > 1}.union(*several)


def _inversions(found: Mapping[str, Stored], published: Mapping[str, int], records: Records) -> int:
    newest: dict[bytes, float] = {}
    inversions = 0
    for identity, number in published.items():  # in the order of their numbers
        row = found.get(identity)
        if row is None or row.predicted_at is None:
            continue
        key = records.key(number)
        inversions += row.predicted_at < newest.get(key, 0.0)
        newest[key] = max(row.predicted_at, newest.get(key, 0.0))
    return inversions


def _note(where: dict[str, list[str]], place: str, ids: Iterable[str]) -> None:
    if listed := sorted(ids):
        where[place] = listed


def _some(ids: Sequence[str]) -> str:
    more = f" and {len(ids) - _NAMED} more" if len(ids) > _NAMED else ""
    return ", ".join(ids[:_NAMED]) + more
