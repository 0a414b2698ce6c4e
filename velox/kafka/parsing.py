"""From a Kafka message to a record: the only door, and what gets through is bounded in bytes as memory sees them."""

import time
from collections.abc import Iterable, Iterator
from operator import methodcaller
from typing import Final, NamedTuple, cast

from confluent_kafka import Message

from velox.core.envelope import PARSERS, Codec, ground_truth, verify
from velox.core.json_values import PLAIN_FORM, JsonForm
from velox.core.pointers import with_headers
from velox.errors import BadRecordError, Reason
from velox.kafka.topics import HEADROOM_BYTES
from velox.records import UNLABELLED, Headers, Omitted, Pointer, Position, Record, deadline, record_id

_HEADERS: Final = methodcaller("headers")
"""As ``message.headers()``, whose errors Python no longer checks for once it has a fast path for the call.

For a name that is not UTF-8 the driver raises and answers, at once, a list with a hole in it: reading that hole would
end the process.
"""
_RECORD_BYTES: Final = 700
"""What Python needs for a record besides what it carries, measured and rounded up."""
_HEADER_BYTES: Final = 150
"""The same for each header: a name, a value, and a pair of them."""
_POINTER_BYTES: Final = 300
"""The same for a pointer, besides the characters of its key."""
_CREDIBLE_S: Final = (946_684_800.0, 4_102_444_800.0)
"""From the year 2000 to 2100: a clock that was never set, or counts from its own start, is before."""
_RESTAMPED_S: Final = 3600.0
"""A producer's date that differs more than this from Kafka's is not the time at which the record was sent."""


class _Parts(NamedTuple):
    """What a value consists of; a bad one, of its head alone."""

    head: bytes
    payload: bytes = b""
    ground_truth: str = UNLABELLED
    timestamp: object = None
    id: str = ""
    is_apart: bool = False
    pointer: Pointer | None = None
    problem: BadRecordError | None = None


def parse_all(
    messages: Iterable[Message], *, codec: Codec, json: JsonForm = PLAIN_FORM, max_bytes: int, epoch: int
) -> Iterator[tuple[Record, BadRecordError | None] | Position]:
    """Parse each; of a key without a value, Kafka's own way to delete from a compacted topic, answer where it lies."""
    for message in messages:
        if message.value() is None and message.key() is not None:
            yield _position(message)
        else:
            yield parse(message, codec=codec, json=json, max_bytes=max_bytes, epoch=epoch)


def parse(
    message: Message, *, codec: Codec, json: JsonForm = PLAIN_FORM, max_bytes: int, epoch: int = 0
) -> tuple[Record, BadRecordError | None]:
    """Take a message apart; when its own data is bad, say why beside a record that has no payload.

    One whose deadline has passed is whole, and has that as its reason.

    ``json`` says how a value is laid out whose codec is that.
    What no dead letter has room for is left behind; the record says how much that was.
    """
    position = _position(message)
    key, value = message.key(), message.value() or b""
    headers: Headers = ()
    parts = _Parts(value)
    problem, omitted = None, None
    try:
        headers = headers_of(message)
        omitted = _omitted(key, value, headers, max_bytes)
        if omitted is None:
            parts = _take_apart(value, headers, codec, json, max_bytes)
            problem = parts.problem
    except BadRecordError as error:
        problem = error
    identity = record_id(position, headers, parts.id)
    if omitted is not None:
        problem = BadRecordError(Reason.TOO_LARGE, _describe(omitted, len(headers), max_bytes))
        value, parts = b"", _Parts(b"")
        if omitted.record_bytes is not None:
            key, headers = None, ()
    problem = problem or _late(headers)
    produced_at, timed_from = _times(parts.timestamp, message.timestamp()[1] / 1000)
    record = Record(
        id=identity,
        position=position,
        epoch=epoch,
        key=key,
        head=parts.head,
        payload=parts.payload,
        is_apart=parts.is_apart,
        pointer=parts.pointer,
        headers=headers,
        ground_truth=parts.ground_truth,
        produced_at=produced_at,
        timed_from=timed_from,
        size_bytes=len(value) + beside_bytes(key, headers) + _apart_bytes(parts),
        omitted=omitted,
    )
    return record, problem


def _late(headers: Headers) -> BadRecordError | None:
    """Say of a record that nobody waits for any more when that ended; what is predicted is decided here, once."""
    until = deadline(headers)
    late_s = time.time() - until if until is not None else 0.0
    return BadRecordError(Reason.DEADLINE_PASSED, f"{late_s:.1f} s before it was read") if late_s > 0 else None


def headers_of(message: Message) -> Headers:
    """Take a message's headers.

    Raises:
        BadRecordError: the name of one is not UTF-8.
    """
    try:
        # librdkafka gives a list of pairs, names possibly repeated and values possibly None.
        return cast("Headers", _HEADERS(message) or ())
    except (UnicodeDecodeError, SystemError) as error:
        # The driver answers and raises at once, of which Python makes a SystemError with the real one as its cause.
        cause = error.__cause__ or error
        if not isinstance(cause, UnicodeDecodeError):
            raise
        raise BadRecordError(Reason.BAD_METADATA, "the name of a header is not UTF-8") from cause


def beside_bytes(key: bytes | None, headers: Headers) -> int:
    """Count the memory that a record holds besides its value."""
    return (
        _RECORD_BYTES
        + len(key or b"")
        + sum(_HEADER_BYTES + len(name) + len(content or b"") for name, content in headers)
    )


def _apart_bytes(parts: _Parts) -> int:
    """Count what has been made of a value and is no part of it."""
    pointer_bytes = _POINTER_BYTES + len(parts.pointer.key) if parts.pointer else 0
    return pointer_bytes + (len(parts.payload) if parts.is_apart else 0)


def _position(message: Message) -> Position:
    return Position(message.topic() or "", message.partition() or 0, message.offset() or 0)


def _omitted(key: bytes | None, value: bytes, headers: Headers, max_bytes: int) -> Omitted | None:
    """Say what has to go, as no dead letter has room for it: the value alone, or all."""
    beside = beside_bytes(key, headers)
    if beside > HEADROOM_BYTES and len(value) + beside > max_bytes + HEADROOM_BYTES:
        return Omitted(len(value), record_bytes(key, len(value), headers))
    return Omitted(len(value)) if len(value) > max_bytes + HEADROOM_BYTES else None


def record_bytes(key: bytes | None, value_bytes: int, headers: Headers) -> int:
    """Count what a record carries: key, value and headers."""
    return len(key or b"") + value_bytes + sum(len(name) + len(content or b"") for name, content in headers)


def _too_large(value_bytes: int, max_bytes: int) -> str:
    return f"{value_bytes} bytes, more than MAX_MESSAGE_BYTES={max_bytes}"


def _describe(omitted: Omitted, headers: int, max_bytes: int) -> str:
    if omitted.record_bytes is None:
        return _too_large(omitted.value_bytes, max_bytes)
    return f"{omitted.record_bytes} bytes with its key and {headers} headers, for which MAX_MESSAGE_BYTES={max_bytes}"


def _take_apart(value: bytes, headers: Headers, codec: Codec, json: JsonForm, max_bytes: int) -> _Parts:
    if len(value) > max_bytes:
        raise BadRecordError(Reason.TOO_LARGE, _too_large(len(value), max_bytes))
    if not value:
        raise BadRecordError(Reason.EMPTY, "the record has no value")
    verify(value, headers)
    taken = PARSERS[codec](value, json)
    payload, problem = taken.payload, taken.problem
    pointer = with_headers(taken.pointer, headers) if taken.pointer else None
    if not payload and pointer is None and problem is None:
        problem = BadRecordError(Reason.EMPTY, "the record has no payload")
    return _Parts(
        head=value if problem or taken.is_apart else value[: -len(payload)],
        payload=payload,
        ground_truth=ground_truth(taken.metadata),
        timestamp=taken.metadata.get("timestamp"),
        id=taken.id,
        is_apart=taken.is_apart,
        pointer=pointer,
        problem=problem,
    )


def _times(said: object, kafka_s: float) -> tuple[float, float | None]:
    """Tell when a record was made, and from when its latency counts, by what its producer and Kafka say of it."""
    kafka = kafka_s if _is_credible(kafka_s) else None
    made = float(said) if isinstance(said, int | float) and _is_credible(said) else None
    if made is None:
        return (time.time() if kafka is None else kafka), kafka
    return made, made if kafka is not None and abs(kafka - made) <= _RESTAMPED_S else kafka


def _is_credible(seconds: float) -> bool:
    low, high = _CREDIBLE_S
    return low <= seconds <= high  # compared before it is converted: JSON's integers are endless
