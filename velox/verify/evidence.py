"""Looks at what is in the sinks, on the dead-letter topic and in the group's offsets."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, cast

from velox.errors import SystemUnavailableError
from velox.kafka.lag import Observer
from velox.records import Headers, Partition
from velox.sinks.sink import Readable, Stored
from velox.verify.ledger import DeadLetter, Evidence
from velox.verify.load import Load
from velox.verify.premises import Premises

_READ_S: Final = 120.0


@dataclass(slots=True)
class Inspection:
    """What was looked at, and what could not be."""

    evidence: Evidence
    unchecked: list[str] = field(default_factory=list)
    """Sinks of the user's own that cannot be read back."""
    problems: list[str] = field(default_factory=list)


def inspect(
    premises: Premises, load: Load, observer: Observer, *, uncommitted: int, dead_letters_since: Mapping[Partition, int]
) -> Inspection:
    """Read everything back; what cannot be read is a problem, and the rest is read all the same."""
    stored: dict[str, list[Stored]] = {}
    takes_all: set[str] = set()
    unchecked: list[str] = []
    problems: list[str] = []
    prefix = "" if premises.own else load.records.prefix
    for name, sink in premises.sinks():
        if not isinstance(sink, Readable):
            unchecked.append(name)
            continue
        try:
            stored[name] = list(sink.stored(prefix))
        except SystemUnavailableError as error:
            problems.append(f"{name} cannot be read back: {error}")
            continue
        if sink.takes == "all" or premises.everything_is_a_detection:
            takes_all.add(name)
    letters: list[DeadLetter] = []
    try:
        letters = _dead_letters(observer, premises.topics[1], dead_letters_since)
    except SystemUnavailableError as error:
        problems.append(f"the dead letters cannot be read: {error}")
    if not premises.own:
        letters = [letter for letter in letters if letter.id.startswith(prefix)]
    evidence = Evidence(load.published, load.acknowledged, stored, takes_all, letters, uncommitted)
    return Inspection(evidence, unchecked, problems)


def _dead_letters(observer: Observer, topic: str, since: Mapping[Partition, int]) -> list[DeadLetter]:
    letters = []
    for message in observer.read_all(topic, within_s=_READ_S, since=since):
        headers = dict(cast("Headers", message.headers() or ()))
        identity, reason = (headers.get(f"velox-dlq-{name}") or b"" for name in ("id", "reason"))
        letters.append(DeadLetter(identity.decode(errors="replace"), reason.decode(errors="replace")))
    return letters
