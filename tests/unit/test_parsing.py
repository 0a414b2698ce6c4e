"""From a Kafka message to a record: whatever a producer wrote, a record comes out, with an error beside it if bad."""

import json
import struct
import time
import tracemalloc
from dataclasses import replace

import pytest
from confluent_kafka import TIMESTAMP_CREATE_TIME, Message

from velox.core.envelope import CHECKSUM_HEADER, Codec, checksum, frame
from velox.core.json_values import JsonForm
from velox.errors import BadRecordError, Reason
from velox.kafka.parsing import beside_bytes, parse, parse_all
from velox.kafka.topics import HEADROOM_BYTES
from velox.records import DEADLINE_HEADER, ID_HEADER, Headers, Omitted, Pointer, Position, Record

METADATA = {"timestamp": 1700000000.5, "color_label": "red", "shape_label": "circle", "dtype": "jpeg"}
KAFKA_S = 1700000099.0
MAX_BYTES = 1000


def message(
    value: bytes | None,
    *,
    key: bytes | None = b"key",
    headers: Headers | None = None,
    timestamp: tuple[int, int] = (TIMESTAMP_CREATE_TIME, int(KAFKA_S * 1000)),
) -> Message:
    return Message(
        topic="image_data",
        partition=3,
        offset=42,
        key=key,
        value=value,
        headers=None if headers is None else list(headers),
        timestamp=timestamp,
    )


def taken(given: Message, *, codec: Codec = Codec.FRAMED) -> Record:
    record, error = parse(given, codec=codec, max_bytes=MAX_BYTES)
    assert error is None
    return record


def good(value: bytes, *, codec: Codec = Codec.FRAMED, headers: Headers | None = None) -> Record:
    return taken(message(value, headers=headers), codec=codec)


def bad(
    value: bytes | None, *, codec: Codec = Codec.FRAMED, headers: Headers | None = None, key: bytes | None = b"key"
) -> tuple[Record, BadRecordError]:
    record, error = parse(message(value, key=key, headers=headers), codec=codec, max_bytes=MAX_BYTES)
    assert error is not None
    return record, error


def dated(stamp: str) -> bytes:
    """A framed value whose timestamp is this JSON."""
    header = f'{{"timestamp": {stamp}}}'.encode()
    return struct.pack(">I", len(header)) + header + b"jpeg"


def test_a_framed_message_is_taken_apart() -> None:
    value = frame(METADATA, b"jpeg")
    headers: Headers = [(ID_HEADER, b"0190"), ("traceparent", None)]
    record, error = parse(message(value, headers=headers), codec=Codec.FRAMED, max_bytes=MAX_BYTES, epoch=7)
    assert error is None
    assert record == Record(
        id="0190",
        position=Position("image_data", 3, 42),
        epoch=7,
        key=b"key",
        head=value[:-4],
        payload=b"jpeg",
        headers=headers,
        ground_truth="red_circle",
        produced_at=1700000000.5,
        timed_from=1700000000.5,
        size_bytes=len(value) + beside_bytes(b"key", headers),
    )
    assert record.value == value


def test_a_producer_that_knows_nothing_of_velox_is_understood() -> None:
    header = json.dumps(METADATA).encode()
    record = taken(message(struct.pack(">I", len(header)) + header + b"jpeg", key=None))
    assert (record.id, record.key, list(record.headers)) == ("image_data-3-42", None, [])
    assert (record.payload, record.ground_truth) == (b"jpeg", "red_circle")


def test_a_raw_message_is_all_payload_and_dated_by_kafka() -> None:
    value = b"any text"
    record = good(value, codec=Codec.RAW)
    assert (record.payload, record.ground_truth, record.produced_at) == (value, "unknown_unknown", KAFKA_S)
    assert record.payload is value, "held once"


@pytest.mark.parametrize(
    "stamp",
    [
        *("null", '"now"', "true", "NaN", "Infinity", "-Infinity", "[]", "{}", "9" * 400, "1e999", "1e300", "-1"),
        *("0", "86400.5", "946684799", "4102444801"),
    ],
)
def test_a_timestamp_that_is_no_point_in_time_gives_way_to_kafkas(stamp: str) -> None:
    record = good(dated(stamp))
    assert (record.produced_at, record.timed_from) == (KAFKA_S, KAFKA_S)


def test_whole_seconds_are_a_timestamp_too() -> None:
    assert good(frame({"timestamp": 1700000000}, b"jpeg")).produced_at == 1700000000.0


def test_a_record_made_long_before_it_was_sent_is_dated_by_its_making_and_timed_by_its_sending() -> None:
    record = good(dated("1000000000"))
    assert (record.produced_at, record.timed_from) == (1000000000.0, KAFKA_S)


@pytest.mark.parametrize("kafka_ms", [-1, 0, 1, 4_102_444_800_001])
def test_without_any_credible_date_it_was_made_when_it_was_read_and_is_not_timed(kafka_ms: int) -> None:
    before = time.time()
    record = taken(message(frame({}, b"jpeg"), timestamp=(TIMESTAMP_CREATE_TIME, kafka_ms)))
    assert before <= record.produced_at <= time.time()
    assert record.timed_from is None


def test_only_a_key_without_a_value_is_a_deletion() -> None:
    given = [message(None), message(None, key=None), message(b""), message(frame(METADATA, b"jpeg"))]
    deletion, *records = parse_all(given, codec=Codec.FRAMED, max_bytes=MAX_BYTES, epoch=3)
    assert deletion == Position("image_data", 3, 42)
    reasons = []
    for found in records:
        assert not isinstance(found, Position)
        record, error = found
        assert record.epoch == 3
        reasons.append(error and error.reason)
    assert reasons == [Reason.EMPTY, Reason.EMPTY, None]


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


@pytest.mark.parametrize("codec", list(Codec))
def test_a_value_that_is_too_large_is_kept_as_far_as_a_dead_letter_has_room(codec: Codec) -> None:
    for size in (MAX_BYTES + 1, MAX_BYTES + HEADROOM_BYTES):
        record, error = bad(b"x" * size, codec=codec, headers=[("a", b"1")])
        assert error.reason is Reason.TOO_LARGE
        assert error.detail == f"{size} bytes, more than MAX_MESSAGE_BYTES=1000"
        assert (record.key, record.headers, record.value) == (b"key", [("a", b"1")], b"x" * size)
        assert record.omitted is None
    record, error = bad(b"x" * (size + 1), codec=codec, headers=[("a", b"1")])
    assert error.reason is Reason.TOO_LARGE
    assert error.detail == f"{size + 1} bytes, more than MAX_MESSAGE_BYTES=1000"
    assert (record.key, record.headers, record.value) == (b"key", [("a", b"1")], b"")
    assert record.omitted == Omitted(size + 1)
    assert record.size_bytes < MAX_BYTES + 1


def test_key_and_headers_count_as_memory_sees_them() -> None:
    many: Headers = [("h", b"")] * 10_000
    record, error = bad(b"small", codec=Codec.RAW, headers=[(ID_HEADER, b"0190"), *many])
    assert error.reason is Reason.TOO_LARGE
    assert "10015 bytes" in error.detail or "with its key and 10001 headers" in error.detail
    assert (record.id, record.key, record.headers, record.value) == ("0190", None, (), b"")
    assert record.omitted == Omitted(5, 5 + 3 + len(ID_HEADER) + 4 + 10_000)
    assert record.size_bytes < 2000
    assert bad(b"small", codec=Codec.RAW, key=b"k" * 2 * HEADROOM_BYTES)[1].reason is Reason.TOO_LARGE


def test_a_usual_number_of_headers_is_no_reason_to_refuse_a_large_value() -> None:
    headers: Headers = [(f"header-{number}", b"x" * 100) for number in range(1000)]
    assert good(b"x" * MAX_BYTES, codec=Codec.RAW, headers=headers).headers == headers


def test_what_a_record_is_said_to_hold_is_what_it_holds() -> None:
    headers: Headers = [(f"header {number}", bytes([number]) * 20) for number in range(10)]

    def made() -> Record:
        fresh: Headers = [("".join([*name]), bytes([*(value or b"")])) for name, value in headers]
        return good(frame(METADATA, b"x" * 500), headers=fresh)

    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    held = [made() for _ in range(200)]
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 0.6 < (after - before) / sum(record.size_bytes for record in held) <= 1.0


def test_a_value_that_agrees_with_its_checksum_is_good() -> None:
    value = frame(METADATA, b"jpeg")
    for sum_up in (checksum(value), checksum(value).upper()):
        assert good(value, headers=[(CHECKSUM_HEADER, sum_up)]).payload == b"jpeg"


def test_the_checksum_is_the_crc_32_that_other_languages_have_too() -> None:
    assert checksum(b"123456789") == b"cbf43926"  # the check value of CRC-32/ISO-HDLC


@pytest.mark.parametrize("codec", list(Codec))
def test_one_flipped_bit_is_noticed_when_there_is_a_checksum(codec: Codec) -> None:
    value = {Codec.JSON: b'{"text": "jpeg"}', Codec.KEY: b"a.jpeg"}.get(codec, frame(METADATA, b"jpeg"))
    flipped = value.replace(b"jpeg", b"jpef")
    record = good(flipped, codec=codec)
    assert (record.payload or record.value).endswith(b"jpef"), "without a checksum nobody can know"
    record, error = bad(flipped, codec=codec, headers=[(CHECKSUM_HEADER, checksum(value))])
    assert error.reason is Reason.CHECKSUM_MISMATCH
    assert checksum(value).decode() in error.detail
    assert record.value == flipped


@pytest.mark.parametrize("odd", [None, b"", b"\xff\xfe", b"0" * 1_000_000, b"cbf43926 "])
def test_a_checksum_that_is_none_is_a_mismatch(odd: bytes | None) -> None:
    _, error = bad(frame(METADATA, b"jpeg"), headers=[(CHECKSUM_HEADER, odd)])
    assert error.reason is Reason.CHECKSUM_MISMATCH
    assert len(error.detail) < 250


def test_repeated_headers_are_all_kept() -> None:
    headers = [("a", b"1"), ("a", None), ("a", b"\xff")]
    assert good(frame(METADATA, b"jpeg"), headers=headers).headers == headers


FORM = JsonForm(id_field="request_id")


def from_json(value: bytes, *, form: JsonForm = FORM) -> tuple[Record, BadRecordError | None]:
    return parse(message(value), codec=Codec.JSON, json=form, max_bytes=MAX_BYTES)


def test_a_json_message_is_taken_apart_and_keeps_its_raw_value() -> None:
    value = b'{"text": "sch\\u00f6n", "request_id": "r-7", "timestamp": 1700000000.5, "label": "POSITIVE"}'
    record, error = from_json(value)
    assert error is None
    assert record.payload == "schön".encode()
    assert (record.id, record.produced_at, record.ground_truth) == ("r-7", 1700000000.5, "POSITIVE")
    assert record.value == value
    assert record.size_bytes == len(value) + len(record.payload) + beside_bytes(b"key", ())


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b'{"request_id": "r-7", "txt": "a"}', Reason.BAD_METADATA),
        (b'{"request_id": "r-7", "text": ""}', Reason.EMPTY),
        (b'{"request_id": "r-7", "text": 1}', Reason.BAD_METADATA),
    ],
)
def test_a_json_message_without_a_payload_keeps_its_id_so_that_whoever_asked_can_be_told(
    value: bytes, reason: Reason
) -> None:
    record, error = from_json(value)
    assert error is not None
    assert error.reason is reason
    assert (record.id, record.payload, record.value) == ("r-7", b"", value)


def test_a_message_that_is_no_json_is_a_dead_letter_under_its_position() -> None:
    record, error = from_json(b'{"request_id": "r-7", "text": "a"')
    assert error is not None
    assert error.reason is Reason.BAD_ENVELOPE
    assert record.id == "image_data-3-42"


@pytest.mark.parametrize("unsafe", [b"../etc", b"a b", b"x" * 200, b""])
def test_an_id_that_is_not_safe_is_not_used(unsafe: bytes) -> None:
    record, _ = from_json(b'{"request_id": "' + unsafe + b'", "text": "a"}')
    assert record.id == "image_data-3-42"


def test_the_header_comes_before_the_id_in_the_value() -> None:
    given = message(b'{"request_id": "r-7", "text": "a"}', headers=[(ID_HEADER, b"header")])
    assert parse(given, codec=Codec.JSON, json=FORM, max_bytes=MAX_BYTES)[0].id == "header"


def test_a_key_points_to_its_payload_and_is_what_a_dead_letter_carries() -> None:
    record = good(b"warehouse/0001.jpg", codec=Codec.KEY)
    assert record.pointer == Pointer(key="warehouse/0001.jpg")
    assert (record.payload, record.value) == (b"", b"warehouse/0001.jpg")
    whole = replace(record, payload=b"jpeg")
    assert whole.value == b"warehouse/0001.jpg", "the payload was never in Kafka"


def test_a_framed_record_without_a_payload_may_point_to_one() -> None:
    value = frame({**METADATA, "claim": {"key": "claims/1", "size": 7}}, b"")
    record = good(value)
    assert record.pointer == Pointer(key="claims/1", size_bytes=7)
    assert (record.payload, record.value) == (b"", value)
    assert replace(record, payload=b"jpeg").value == value, "a dead letter is the record as it was"
    whole = good(frame({**METADATA, "claim": {"key": "claims/1"}}, b"jpeg"))
    assert (whole.pointer, whole.payload) == (None, b"jpeg"), "who has a payload needs no claim"
    assert bad(frame(METADATA, b""))[1].reason == Reason.EMPTY
    assert bad(frame({"claim": "claims/1"}, b""))[1].reason == Reason.BAD_METADATA


def test_the_memory_of_a_pointer_counts() -> None:
    value = json.dumps({"key": "x" * 500}).encode()
    assert good(value, codec=Codec.KEY).size_bytes >= good(value, codec=Codec.RAW).size_bytes + 500


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"", Reason.EMPTY),
        (b"../secret", Reason.FORBIDDEN_POINTER),
        (b"{}", Reason.BAD_METADATA),
        (b"\xff", Reason.BAD_METADATA),
        (b"x" * (MAX_BYTES + 1), Reason.TOO_LARGE),
    ],
)
def test_a_bad_pointer_is_refused_and_kept_as_it_was(value: bytes, reason: Reason) -> None:
    record, error = bad(value, codec=Codec.KEY)
    assert error.reason == reason
    assert (record.pointer, record.value) == (None, value)


PAST, FUTURE = b"1700000000000", b"4102444800000"


def test_a_record_past_its_deadline_is_whole_and_says_so() -> None:
    record, error = bad(b"payload", codec=Codec.RAW, headers=[(ID_HEADER, b"mine"), (DEADLINE_HEADER, PAST)])
    assert error.reason is Reason.DEADLINE_PASSED
    assert error.detail.endswith(" s before it was read")
    assert float(error.detail.split()[0]) == pytest.approx(time.time() - 1_700_000_000, abs=5)
    assert (record.id, record.value) == ("mine", b"payload")


@pytest.mark.parametrize(
    "said",
    [
        FUTURE,
        None,
        b"",
        b"soon",
        b"-1",
        b"+1",
        b"1e3",
        b"1700000000.5",
        b" 1700000000000",
        b"\xff",
        b"1" * 16,
        "٣".encode(),
    ],
)
def test_a_deadline_that_is_to_come_or_none_is_none(said: bytes | None) -> None:
    assert good(b"payload", codec=Codec.RAW, headers=[(DEADLINE_HEADER, said)]).payload == b"payload"


def test_a_bad_record_is_bad_whenever_its_answer_is_due() -> None:
    _, error = bad(b"", codec=Codec.RAW, headers=[(DEADLINE_HEADER, PAST)])
    assert error.reason is Reason.EMPTY
