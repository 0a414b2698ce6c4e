"""The account of a run: every record beside every sink, the dead letters and the committed offsets. Pure."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Final

from velox.errors import Reason
from velox.tools.verify.findings import InDeadLetters, InSink
from velox.tools.verify.numbered import STORED, Records
from velox.tools.verify.places import Places

DEAD_LETTERS: Final = "dead letters"
"""Their place, beside the sinks' names."""
_NAMED: Final = 5
"""Ids that a problem names; all of them are in the JSON."""

Ids = dict[str, list[str]]
"""Ids by the place, or the reason, that they were found with."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was found at the end, everywhere."""

    published: int
    """Records handed to the Kafka client, numbered from 0."""
    acknowledged: Places
    """Where Kafka has put each record that it has acknowledged."""
    sinks: Mapping[str, InSink]
    dead_letters: InDeadLetters
    uncommitted: int
    """Acknowledged records that the group has not committed."""
    all_are_detections: bool = False
    """Whether any answer of the model is one."""


@dataclass(slots=True)
class Ledger:
    """What has become of the records. The lists hold ids."""

    produced: int
    poisoned: int
    """Bad on purpose, of those produced."""
    acknowledged: int
    """By Kafka."""
    stored: dict[str, int]
    """Different ids of the run, by sink."""
    detections: int | None
    """Stored results that are detections, each of which has its image; None when no sink tells."""
    dead_lettered: dict[str, int]
    """Different ids of the run, by reason."""
    dead_lettered_again: int
    """Dead letters beyond the first with the same id."""
    uncommitted: int
    missing: Ids = field(default_factory=dict)
    """Acknowledged and not dead-lettered, but not in this sink; under `dead letters`: bad, and nowhere."""
    doubled: Ids = field(default_factory=dict)
    """Seen more than once in this sink; under `dead letters`: dead-lettered and stored as well."""
    strangers: Ids = field(default_factory=dict)
    """In this sink under an id that no record has."""
    mistaken: Ids = field(default_factory=dict)
    """In this sink with a label or position that is not the record's, or wrong about being a detection."""
    altered: Ids = field(default_factory=dict)
    """Image files and dead letters that are not what was published."""
    good_dead_lettered: Ids = field(default_factory=dict)
    """Good records on the dead-letter topic, by reason."""
    bad_stored: Ids = field(default_factory=dict)
    """Bad records in this sink."""
    wrong_reasons: Ids = field(default_factory=dict)
    """Bad records with another reason than they should have; by both."""
    refused_by_model: dict[str, int] = field(default_factory=dict)
    """Dead letters, by reason, of which only the model knows whether they are right."""
    half_checked: list[str] = field(default_factory=list)
    """Sinks for detections, where nothing tells which records are some."""
    order_inversions: int = 0
    """Results older than that of an earlier record with the same key. Order is not promised."""

    def problems(self) -> list[str]:
        """Say what breaks a promise; nothing when none is broken."""
        found = [
            f"{many(len(ids), noun)} {what} {place}: {some(ids)}"
            for noun, what, places in (
                ("record", "missing in", self.missing),
                ("record", "doubled in", self.doubled),
                ("unknown id", "in", self.strangers),
                ("wrong result", "in", self.mistaken),
                ("record", "altered in", self.altered),
                ("good record", "dead-lettered as", self.good_dead_lettered),
                ("bad record", "stored in", self.bad_stored),
                ("bad record", "dead-lettered as", self.wrong_reasons),
            )
            for place, ids in places.items()
        ]
        if self.uncommitted:
            found.append(f"{many(self.uncommitted, 'record')} not committed")
        if not self.acknowledged:
            found.append(f"none of {many(self.produced, 'record')} acknowledged by Kafka: nothing is proven")
        return found

    def unchecked(self) -> list[str]:
        """Say what nobody but the user can judge."""
        found = []
        if refused := sum(self.refused_by_model.values()):
            reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(self.refused_by_model.items()))
            found.append(f"whether the model is right to refuse {many(refused, 'record')} ({reasons})")
        found += [f"whether {sink} has every detection: nothing tells which there are" for sink in self.half_checked]
        if unknown := self.produced - self.acknowledged:
            found.append(f"{many(unknown, 'record')} that Kafka did not acknowledge")
        return found


def reconcile(evidence: Evidence, records: Records) -> Ledger:
    """Draw up the account."""
    is_detection = _detections(evidence, records)
    sinks, letters = evidence.sinks, evidence.dead_letters
    ledger = Ledger(
        produced=evidence.published,
        poisoned=records.poisoned,
        acknowledged=len(evidence.acknowledged),
        stored={name: len(found) for name, found in sinks.items()},
        detections=_count_detections(evidence, is_detection),
        dead_lettered=dict(Counter(letters.reasons.values())),
        dead_lettered_again=letters.again,
        uncommitted=evidence.uncommitted,
        half_checked=[name for name, found in sinks.items() if not (found.takes_all or is_detection)],
        order_inversions=max((found.inversions for found in sinks.values()), default=0),
    )
    account = _Account(evidence, records, is_detection)
    for name, found in sinks.items():
        doubled = found.under_several_ids()
        _note(ledger.missing, name, map(records.id, account.missing(found)))
        _note(ledger.doubled, name, {*map(records.id, found.again | doubled.keys()), *doubled.values()})
        _note(ledger.strangers, name, found.strangers)
        _note(ledger.mistaken, name, map(records.id, found.mistaken | account.mistaken(found)))
        _note(ledger.altered, name, map(records.id, found.altered))
        _note(ledger.bad_stored, name, map(records.id, account.bad(found)))
    _note(ledger.missing, DEAD_LETTERS, map(records.id, account.without_letter()))
    _note(ledger.doubled, DEAD_LETTERS, (records.id(n) for n in letters.reasons if account.is_stored(n)))
    _note(ledger.strangers, DEAD_LETTERS, letters.strangers)
    _note(ledger.altered, DEAD_LETTERS, map(records.id, letters.altered))
    account.judge_letters(ledger)
    return ledger


class _Account:
    """The questions that take all of the evidence; the answers are numbers."""

    def __init__(self, evidence: Evidence, records: Records, is_detection: Callable[[int], bool] | None) -> None:
        self._evidence = evidence
        self._records = records
        self._is_detection = is_detection
        self._letters = evidence.dead_letters

    def is_stored(self, number: int) -> bool:
        """Say whether any sink has it."""
        return any(number in found for found in self._evidence.sinks.values())

    def missing(self, found: InSink) -> Iterator[int]:
        """Find what a sink lacks of what it has to have."""
        if not found.takes_all and self._is_detection is None:
            return
        for number in self._acknowledged():
            if number in found or number in self._letters.reasons or self._is_bad(number):
                continue
            if found.takes_all or (self._is_detection and self._is_detection(number)):
                yield number

    def mistaken(self, found: InSink) -> set[int]:
        """Find results that are wrong about being a detection."""
        if self._is_detection is None:
            return set()
        tells_both = found.tells_detections or not found.takes_all
        return {
            number
            for number in range(self._evidence.published)
            if number in found and not self._is_bad(number)
            if (is_said := found.is_detection(number)) != self._is_detection(number) and (tells_both or not is_said)
        }

    def bad(self, found: InSink) -> Iterator[int]:
        """Find what a sink has and should have been a dead letter."""
        return (n for n in range(self._evidence.published) if n in found and self._is_bad(n))

    def without_letter(self) -> Iterator[int]:
        """Find bad records that are neither on the dead-letter topic nor, which is worse, in a sink."""
        bad = (number for number in self._acknowledged() if self._is_bad(number))
        return (number for number in bad if number not in self._letters.reasons and not self.is_stored(number))

    def judge_letters(self, ledger: Ledger) -> None:
        """Compare the reason of each dead letter with what is known of its record."""
        good: defaultdict[str, set[str]] = defaultdict(set)
        wrong: defaultdict[str, set[str]] = defaultdict(set)
        stored = self._payloads_stored()
        for number, reason in chain(self._letters.reasons.items(), self._letters.other_reasons):
            due, identity = self._records.due(number), self._records.id(number)
            if due == STORED or (
                due is None and (reason == Reason.KILLED_INFERENCE or self._records.twin(number) in stored)
            ):
                good[reason].add(identity)
            elif due is None:
                ledger.refused_by_model[reason] = ledger.refused_by_model.get(reason, 0) + 1
            elif reason != due:
                wrong[f"{reason}, not {due}"].add(identity)
        for found, where in ((good, ledger.good_dead_lettered), (wrong, ledger.wrong_reasons)):
            for reason, ids in found.items():
                _note(where, reason, ids)

    def _payloads_stored(self) -> set[int]:
        """Name the payloads for which the model has given an answer, where only the model knows whether it can."""
        if self._records.source is None:
            return set()
        numbers = (n for n in range(self._evidence.published) if self._records.due(n) is None and self.is_stored(n))
        return {self._records.twin(number) for number in numbers}

    def _acknowledged(self) -> Iterator[int]:
        return (n for n in range(self._evidence.published) if n in self._evidence.acknowledged)

    def _is_bad(self, number: int) -> bool:
        return self._records.due(number) not in {STORED, None}


def _detections(evidence: Evidence, records: Records) -> Callable[[int], bool] | None:
    """Answer what tells which records are detections: the built-in model, else sinks; None when nothing does."""
    if evidence.all_are_detections:
        return lambda _: True
    if records.source is None:
        return lambda number: bool(records.is_detection(number))
    complete = [found for found in evidence.sinks.values() if found.takes_all]
    telling = [found for found in complete if found.tells_detections] or complete
    return (lambda number: any(found.is_detection(number) for found in telling)) if telling else None


def _count_detections(evidence: Evidence, is_detection: Callable[[int], bool] | None) -> int | None:
    complete = [found for found in evidence.sinks.values() if found.takes_all]
    if is_detection is None or not complete:
        return None
    return sum(
        is_detection(number) and any(number in found for found in complete) for number in range(evidence.published)
    )


def _note(where: Ids, place: str, ids: Iterable[str]) -> None:
    if listed := sorted(ids):
        where[place] = listed


def many(count: int, noun: str) -> str:
    """Write a number with what it counts."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def some(ids: Sequence[str]) -> str:
    """Name the first few, and say how many more there are."""
    more = f" and {len(ids) - _NAMED} more" if len(ids) > _NAMED else ""
    return ", ".join(ids[:_NAMED]) + more
