"""What a dead letter says in its headers, what a replay of it carries, and which letters are handled."""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from velox.errors import BadRecordError
from velox.records import ID_HEADER, Headers, Omitted, Position, Record, record_id

_PREFIX: Final = "velox-dlq-"
REASON: Final = "velox-dlq-reason"
ERROR: Final = "velox-dlq-error"
_TOPIC: Final = "velox-dlq-topic"
_PARTITION: Final = "velox-dlq-partition"
_OFFSET: Final = "velox-dlq-offset"
_ID: Final = "velox-dlq-id"
ATTEMPTS: Final = "velox-dlq-attempts"
ORIGIN: Final = "velox-dlq-origin"
VALUE_OMITTED: Final = "velox-dlq-value-omitted-bytes"
RECORD_OMITTED: Final = "velox-dlq-record-omitted-bytes"
HANDLED: Final = "velox-dlq-handled"
"""Marks a record of the dead-letter topic that is no letter, but says which letters before it are handled."""
_NUMBER = re.compile(rb"\d{1,18}")
_MOST_ERROR_CHARACTERS: Final = 1000


class Content(NamedTuple):
    """What a Kafka record carries."""

    key: bytes | None
    value: bytes | None
    headers: Headers


class Letter(NamedTuple):
    """A dead letter without its content: what is needed to find, count and choose it."""

    position: Position
    """Where the letter itself lies."""
    written_at: float
    """Unix seconds."""
    reason: str
    source: Position
    """Where its record lies."""
    id: str
    """The id that the record's result would have had."""
    attempts: int
    """How often the record has become a dead letter, with this time."""
    origin: str
    """Where the record lay before it was ever replayed."""
    omitted: Omitted | None
    """What it had to leave behind, at its source."""

    @property
    def is_pointer(self) -> bool:
        """Say whether its content is to be read at its source."""
        return self.omitted is not None


def oldest_first(letters: Iterable[Letter]) -> list[Letter]:
    """Sort by time; letters of one batch, which have one time, by where their records lie."""
    return sorted(letters, key=lambda letter: (letter.written_at, letter.source, letter.position))


def dead_letter_headers(record: Record, error: BadRecordError) -> list[tuple[str, bytes | None]]:
    """Return the letter's headers: the record's own, then the reason, the position, and which attempt this was."""
    cause = error.__cause__ or error
    before = dict(record.headers)
    added = {
        REASON: error.reason.value,
        ERROR: f"{type(cause).__name__}: {error.detail}"[:_MOST_ERROR_CHARACTERS],
        _TOPIC: record.position.topic,
        _PARTITION: str(record.position.partition),
        _OFFSET: str(record.position.offset),
        _ID: record.id,
        ATTEMPTS: str(1 + (_number(before.get(ATTEMPTS)) or 0)),
        ORIGIN: _text(before.get(ORIGIN)) or str(record.position),
    }
    return [*_own(record.headers), *((name, text.encode(errors="replace")) for name, text in added.items())]


def read_letter(position: Position, written_at: float, headers: Headers, *, of: Callable[[str], bool]) -> Letter | None:
    """Take a dead letter's headers apart; None when it is none of a topic that ``of`` takes, or no letter."""
    said = dict(headers)
    topic = _text(said.get(_TOPIC))
    partition, offset = _number(said.get(_PARTITION)), _number(said.get(_OFFSET))
    if not said.get(REASON) or not of(topic) or partition is None or offset is None:
        return None
    source = Position(topic, partition, offset)
    return Letter(
        position=position,
        written_at=written_at,
        reason=_text(said[REASON]),
        source=source,
        id=_text(said.get(_ID)) or str(source),
        attempts=_number(said.get(ATTEMPTS)) or 1,
        origin=_text(said.get(ORIGIN)) or str(source),
        omitted=_omitted(said),
    )


def _omitted(said: Mapping[str, bytes | None]) -> Omitted | None:
    if RECORD_OMITTED in said:
        return Omitted(0, _number(said[RECORD_OMITTED]) or 0)
    return Omitted(_number(said[VALUE_OMITTED]) or 0) if VALUE_OMITTED in said else None


def replay_headers(letter: Letter, headers: Headers) -> list[tuple[str, bytes | None]]:
    """Build what a replayed record carries: its own headers, its id, and what counts its attempts.

    The id is that of the first time, so that the result is stored where it would have been then.
    """
    own = _own(headers)
    if record_id(letter.position, own) != letter.id:  # its place will be another: only a header keeps the id
        own.append((ID_HEADER, letter.id.encode()))
    return [*own, (ATTEMPTS, str(letter.attempts).encode()), (ORIGIN, letter.origin.encode())]


def keeps_its_id(letter: Letter) -> bool:
    """Say whether a replay's headers can carry the id: that of a position in an oddly named topic may be unfit."""
    return record_id(letter.position, [(ID_HEADER, letter.id.encode())]) == letter.id


def write_ranges(offsets: Iterable[int]) -> bytes:
    """Write offsets as a JSON list of ``[first, last]``."""
    ranges: list[list[int]] = []
    for offset in sorted(offsets):
        if ranges and offset <= ranges[-1][1] + 1:
            ranges[-1][1] = offset
        else:
            ranges.append([offset, offset])
    return json.dumps(ranges).encode()


def read_ranges(text: bytes | None, *, low: int, high: int) -> Iterator[int]:
    """Read what ``write_ranges`` wrote, as far as it lies from ``low`` to before ``high``; nothing from other text."""
    try:
        ranges = json.loads(text or b"[]")
        for first, last in ranges:
            yield from range(max(int(first), low), min(int(last) + 1, high))
    except (ValueError, TypeError, OverflowError, RecursionError):
        return


def _own(headers: Headers) -> list[tuple[str, bytes | None]]:
    return [(name, value) for name, value in headers if not name.startswith(_PREFIX)]


def _text(value: bytes | None) -> str:
    return (value or b"").decode(errors="replace")


def _number(value: bytes | None) -> int | None:
    return int(value) if value and _NUMBER.fullmatch(value) else None
