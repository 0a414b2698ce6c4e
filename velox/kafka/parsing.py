"""From a Kafka message to a record."""

from typing import Final, cast

from confluent_kafka import Message

from velox.core.envelope import PARSERS, Codec, verify
from velox.errors import BadRecordError, Reason
from velox.records import Headers, Metadata, Position, Record, record_id

_END_OF_TIME_S: Final = 253_402_300_799.0
"""The last second of the year 9999. A timestamp beyond says nothing, and would drown all others in the latencies."""


def parse(message: Message, *, codec: Codec, max_bytes: int) -> tuple[Record, BadRecordError | None]:
    """Take a message apart; when its own data is bad, say why beside a record that has no payload."""
    position = Position(message.topic() or "", message.partition() or 0, message.offset() or 0)
    value = message.value() or b""
    metadata: Metadata = {}
    payload = b""
    headers: Headers = ()
    problem = None
    try:
        headers = headers_of(message)
        metadata, payload = _take_apart(value, headers, codec, max_bytes)
    except BadRecordError as error:
        problem = error
    record = Record(
        id=record_id(position, headers),
        position=position,
        key=message.key(),
        value=value,
        metadata=metadata,
        payload=payload,
        headers=headers,
        produced_at=_produced_at(metadata, message.timestamp()[1]),
    )
    return record, problem


def headers_of(message: Message) -> Headers:
    """Take a message's headers.

    Raises:
        BadRecordError: the name of one is not UTF-8.
    """
    try:
        # librdkafka gives a list of pairs, names possibly repeated and values possibly None.
        return cast("Headers", message.headers() or ())
    except (UnicodeDecodeError, SystemError) as error:
        # The driver answers and raises at once, of which Python makes a SystemError with the real one as its cause.
        cause = error.__cause__ or error
        if not isinstance(cause, UnicodeDecodeError):
            raise
        raise BadRecordError(Reason.BAD_METADATA, "the name of a header is not UTF-8") from cause


def _take_apart(value: bytes, headers: Headers, codec: Codec, max_bytes: int) -> tuple[Metadata, bytes]:
    if len(value) > max_bytes:
        raise BadRecordError(Reason.TOO_LARGE, f"{len(value)} bytes, more than MAX_MESSAGE_BYTES={max_bytes}")
    if not value:
        raise BadRecordError(Reason.EMPTY, "the record has no value")
    verify(value, headers)
    metadata, payload = PARSERS[codec](value)
    if not payload:
        raise BadRecordError(Reason.EMPTY, "the record has no payload")
    return metadata, payload


def _produced_at(metadata: Metadata, kafka_ms: int) -> float:
    stamp = metadata.get("timestamp")
    if isinstance(stamp, (int, float)) and 0 <= stamp <= _END_OF_TIME_S:  # compared first: JSON's integers are endless
        return float(stamp)
    return kafka_ms / 1000
