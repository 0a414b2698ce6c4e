"""Reads everything back: what is in the sinks and on the dead-letter topic."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from velox.core.letters import Content, read_letter
from velox.errors import BadRecordError, SinkUnavailableError, SystemUnavailableError
from velox.kafka.lag import Extent, Observer
from velox.kafka.parsing import headers_of
from velox.records import Partition, Position
from velox.sinks import PATHS
from velox.sinks.images import Images
from velox.sinks.sink import Readable, Stored
from velox.tools.verify.findings import DeadLetter, InDeadLetters, InSink
from velox.tools.verify.ledger import Evidence
from velox.tools.verify.numbered import STORED
from velox.tools.verify.premises import Premises
from velox.tools.verify.way import Loading

_PATIENCE_S: Final = 120.0
"""Reading the dead letters is given up when none has come for so long."""
_REQUESTS: Final = "requests"
"""Keeps of a result what its client asked for, which is not whether it is a detection."""


@dataclass(slots=True)
class Inspection:
    """What was looked at, and what could not be."""

    evidence: Evidence
    unchecked: list[str] = field(default_factory=list)
    """Sinks of the user's own that cannot be read back."""
    problems: list[str] = field(default_factory=list)


def inspect(
    premises: Premises,
    load: Loading,
    observer: Observer,
    *,
    uncommitted: int,
    dead_letters_since: Mapping[Partition, int],
) -> Inspection:
    """Read everything back; what cannot be read is a problem, and the rest is read all the same."""
    sinks: dict[str, InSink] = {}
    unchecked: list[str] = []
    problems: list[str] = []
    for name, sink in premises.sinks():
        if not isinstance(sink, Readable):
            unchecked.append(name)
            continue
        try:
            sinks[name] = _in_sink(name, sink, premises, load)
        except SystemUnavailableError as error:
            problems.append(f"{name} cannot be read back: {error}")
    if not sinks:
        problems.append("no sink can be read back: nothing shows that any record was stored")
    letters = InDeadLetters(load.records, load.published)
    try:
        letters.read(_dead_letters(premises, load, observer, dead_letters_since))
    except SystemUnavailableError as error:
        problems.append(f"the dead letters cannot be read: {error}")
    evidence = Evidence(
        published=load.published,
        acknowledged=load.acknowledged,
        sinks=sinks,
        dead_letters=letters,
        uncommitted=uncommitted,
        all_are_detections=premises.everything_is_a_detection,
    )
    return Inspection(evidence, unchecked, problems)


def _in_sink(name: str, sink: Readable, premises: Premises, load: Loading) -> InSink:
    found = InSink(
        load.records,
        load.acknowledged,
        load.published,
        takes_all=sink.takes != "detections" or premises.everything_is_a_detection,
        tells_detections=name in PATHS and name != _REQUESTS,
    )
    rows = sink.stored("" if premises.own else load.records.prefix)
    found.read(_compared(rows, found, load, sink) if isinstance(sink, Images) else rows)
    return found


def _compared(rows: Iterator[Stored], found: InSink, load: Loading, images: Images) -> Iterator[Stored]:
    """Look into the image of each row, where it is known what has to be in there."""
    records = load.records
    for row in rows:
        number = records.number(row.id)
        if number is not None and number < load.published and records.due(number) in {STORED, None}:
            try:
                is_whole = images.image(row.id) == records.payload(number)
            except SinkUnavailableError:
                is_whole = False
            if not is_whole:
                found.altered.add(number)
        yield row


def _dead_letters(
    premises: Premises, load: Loading, observer: Observer, since: Mapping[Partition, int]
) -> Iterator[DeadLetter]:
    """Read the run's letters; on a topic of the run's own whatever else is there too, as a stranger."""
    letters_topic, is_ours = premises.letters_topic, premises.settings.subscription.takes
    records, acknowledged = load.records, load.acknowledged
    held = observer.extents(letters_topic)
    extents = {p: Extent(max(extent.low, since.get(p, 0)), extent.high) for p, extent in held.items()}
    for message in observer.read(extents, patience_s=_PATIENCE_S):
        position = Position(letters_topic, message.partition() or 0, message.offset() or 0)
        try:
            content = Content(message.key(), message.value(), headers_of(message))
        except BadRecordError:
            content = Content(message.key(), message.value(), ())
        letter = read_letter(position, 0.0, content.headers, of=is_ours)
        if letter is None or not letter.id.startswith(records.prefix):
            if premises.own:
                yield DeadLetter(str(position) if letter is None else letter.id, "")
            continue
        number = records.number(letter.id)
        place = None if number is None else acknowledged.get(number)
        is_whole = place in {None, letter.source} and (
            letter.is_pointer or number is None or records.is_whole(number, content)
        )
        yield DeadLetter(letter.id, letter.reason, is_whole)
