"""From a Kafka message to a record: whatever a producer wrote, a record comes out, with an error beside it if bad."""

import json
import struct

import pytest
from confluent_kafka import TIMESTAMP_CREATE_TIME, Message

from velox.core.envelope import CHECKSUM_HEADER, Codec, checksum, frame
from velox.errors import BadRecordError, Reason
from velox.kafka.parsing import parse
from velox.records import ID_HEADER, Headers, Position, Record

METADATA = {"timestamp": 1700000000.5, "color_label": "red", "shape_label": "circle", "dtype": "jpeg"}
KAFKA_MS = 1700000099000
MAX_BYTES = 1000


def message(value: bytes | None, *, key: bytes | None = None, headers: Headers | None = None) -> Message:
    return Message(
        topic="image_data",
        partition=3,
        offset=42,
        key=key,
        value=value,
        headers=None if headers is None else list(headers),
        timestamp=(TIMESTAMP_CREATE_TIME, KAFKA_MS),
    )


def good(value: bytes, *, codec: Codec = Codec.FRAMED, headers: Headers | None = None) -> Record:
    record, error = parse(message(value, key=b"key", headers=headers), codec=codec, max_bytes=MAX_BYTES)
    assert error is None
    return record


def bad(
    value: bytes | None, *, codec: Codec = Codec.FRAMED, headers: Headers | None = None
) -> tuple[Record, BadRecordError]:
    record, error = parse(message(value, key=b"key", headers=headers), codec=codec, max_bytes=MAX_BYTES)
    assert error is not None
    return record, error


def test_a_framed_message_is_taken_apart() -> None:
    value = frame(METADATA, b"jpeg")
    record = good(value, headers=[(ID_HEADER, b"0190"), ("traceparent", None)])
    assert record == Record(
        id="0190",
        position=Position("image_data", 3, 42),
        key=b"key",
        value=value,
        metadata=METADATA,
        payload=b"jpeg",
        headers=[(ID_HEADER, b"0190"), ("traceparent", None)],
        produced_at=1700000000.5,
    )


def test_a_producer_that_knows_nothing_of_velox_is_understood() -> None:
    header = json.dumps(METADATA).encode()
    record, error = parse(
        message(struct.pack(">I", len(header)) + header + b"jpeg"), codec=Codec.FRAMED, max_bytes=MAX_BYTES
    )
    assert error is None
    assert (record.id, record.key, list(record.headers)) == ("image_data-3-42", None, [])
    assert (record.payload, record.ground_truth) == (b"jpeg", "red_circle")


def test_a_raw_message_is_all_payload_and_dated_by_kafka() -> None:
    record = good(b"any text", codec=Codec.RAW)
    assert (record.payload, record.metadata, record.produced_at) == (b"any text", {}, KAFKA_MS / 1000)


@pytest.mark.parametrize(
    "stamp", ["null", '"now"', "NaN", "Infinity", "-Infinity", "[]", "{}", "9" * 400, "1e999", "1e300", "-1"]
)
def test_a_timestamp_that_is_no_point_in_time_gives_way_to_kafkas(stamp: str) -> None:
    header = f'{{"timestamp": {stamp}}}'.encode()
    record = good(struct.pack(">I", len(header)) + header + b"jpeg")
    assert record.produced_at == KAFKA_MS / 1000


def test_whole_seconds_are_a_timestamp_too() -> None:
    assert good(frame({"timestamp": 1700000000}, b"jpeg")).produced_at == 1700000000.0


@pytest.mark.parametrize(
    ("value", "codec", "reason"),
    [
        (None, Codec.FRAMED, Reason.EMPTY),
        (None, Codec.RAW, Reason.EMPTY),
        (b"", Codec.FRAMED, Reason.EMPTY),
        (b"", Codec.RAW, Reason.EMPTY),
        (frame(METADATA, b""), Codec.FRAMED, Reason.EMPTY),
        (b"\x00\x00", Codec.FRAMED, Reason.BAD_ENVELOPE),
        (b"\x00\x00\x00\xff{}", Codec.FRAMED, Reason.BAD_ENVELOPE),
        (b"\x00\x00\x00\x02[]jpeg", Codec.FRAMED, Reason.BAD_METADATA),
        (b"x" * (MAX_BYTES + 1), Codec.RAW, Reason.TOO_LARGE),
        (b"x" * (MAX_BYTES + 1), Codec.FRAMED, Reason.TOO_LARGE),
    ],
)
def test_a_bad_message_comes_back_as_a_record_beside_the_reason(
    value: bytes | None, codec: Codec, reason: Reason
) -> None:
    record, error = bad(value, codec=codec, headers=[("a", b"1")])
    assert error.reason is reason
    assert (record.id, record.key, record.headers) == ("image_data-3-42", b"key", [("a", b"1")])
    assert record.value == (value or b""), "a dead letter carries the value as it was"
    assert record.payload == b""


def test_a_message_of_the_largest_size_is_not_too_large() -> None:
    assert good(b"x" * MAX_BYTES, codec=Codec.RAW).payload == b"x" * MAX_BYTES


def test_a_value_that_agrees_with_its_checksum_is_good() -> None:
    value = frame(METADATA, b"jpeg")
    for sum_up in (checksum(value), checksum(value).upper()):
        assert good(value, headers=[(CHECKSUM_HEADER, sum_up)]).payload == b"jpeg"


def test_the_checksum_is_the_crc_32_that_other_languages_have_too() -> None:
    assert checksum(b"123456789") == b"cbf43926"  # the check value of CRC-32/ISO-HDLC


@pytest.mark.parametrize("codec", list(Codec))
def test_one_flipped_bit_is_noticed_when_there_is_a_checksum(codec: Codec) -> None:
    value = frame(METADATA, b"jpeg")
    flipped = value[:-1] + bytes([value[-1] ^ 1])
    assert good(flipped, codec=codec).payload.endswith(b"jpef"), "without a checksum nobody can know"
    record, error = bad(flipped, codec=codec, headers=[(CHECKSUM_HEADER, checksum(value))])
    assert error.reason is Reason.CHECKSUM_MISMATCH
    assert checksum(value).decode() in error.detail
    assert record.value == flipped


@pytest.mark.parametrize("odd", [None, b"", b"\xff\xfe", b"0" * 1_000_000, b"cbf43926 "])
def test_a_checksum_that_is_none_is_a_mismatch(odd: bytes | None) -> None:
    _, error = bad(frame(METADATA, b"jpeg"), headers=[(CHECKSUM_HEADER, odd)])
    assert error.reason is Reason.CHECKSUM_MISMATCH
    assert len(error.detail) < 200


def test_repeated_headers_are_all_kept() -> None:
    headers = [("a", b"1"), ("a", None), ("a", b"\xff")]
    assert good(frame(METADATA, b"jpeg"), headers=headers).headers == headers
