"""The wire format of framed records: what fits is read, what lies is refused, nothing else happens."""

import json
import struct

import pytest

from velox.core.envelope import MAX_HEADER_BYTES, PARSERS, Codec, Taken, frame, ground_truth, unframe
from velox.errors import BadRecordError, Reason

METADATA = {"timestamp": 1700000000.5, "shape_label": "circle", "color_label": "red", "dtype": "jpeg"}
PAYLOAD = b"\xff\xd8\x00payload\xff\xd9"


def written_by_others(header: bytes, payload: bytes) -> bytes:
    """Write a value from the documented layout alone."""
    return struct.pack(">I", len(header)) + header + payload


def refusal(value: bytes) -> BadRecordError:
    with pytest.raises(BadRecordError) as caught:
        unframe(value)
    return caught.value


def test_what_was_framed_comes_back() -> None:
    assert unframe(frame(METADATA, PAYLOAD)) == (METADATA, PAYLOAD)


def test_others_can_read_what_we_write() -> None:
    value = frame({**METADATA, "place": "Zürich"}, PAYLOAD)
    length = int.from_bytes(value[:4], "big")
    assert json.loads(value[4 : 4 + length].decode("utf-8")) == {**METADATA, "place": "Zürich"}
    assert value[4 + length :] == PAYLOAD


def test_we_can_read_what_others_write() -> None:
    header = json.dumps(METADATA, indent=2).encode()
    assert unframe(written_by_others(header, PAYLOAD)) == (METADATA, PAYLOAD)


def test_extra_keys_are_kept() -> None:
    header = json.dumps({**METADATA, "camera": {"id": 7, "tags": ["a", None]}}).encode()
    assert unframe(written_by_others(header, PAYLOAD))[0]["camera"] == {"id": 7, "tags": ["a", None]}


def test_an_empty_payload_is_no_fault_of_the_envelope() -> None:
    assert unframe(frame(METADATA, b"")) == (METADATA, b"")


@pytest.mark.parametrize("value", [b"", b"\x00", b"\x00\x00\x00"])
def test_a_value_shorter_than_the_length_is_refused(value: bytes) -> None:
    error = refusal(value)
    assert error.reason is Reason.BAD_ENVELOPE
    assert f"{len(value)} bytes" in error.detail


@pytest.mark.parametrize("claimed", [3, 4, 2**31, 2**32 - 1])
def test_a_length_that_lies_is_refused(claimed: int) -> None:
    error = refusal(struct.pack(">I", claimed) + b"{}")
    assert error.reason is Reason.BAD_ENVELOPE
    assert str(claimed) in error.detail


def test_a_header_may_fill_the_value_to_its_last_byte() -> None:
    assert unframe(struct.pack(">I", 2) + b"{}") == ({}, b"")


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"{",
        b"not json",
        b'{"a": 1} trailing',
        b"{'single': 'quotes'}",
        b'{"a": "\xff\xfe"}',
        b"\xff\xd8\xff\xe0",
        b"[" * 60_000,
        b'{"a":' * 13_000,
        b'{"n": ' + b"9" * 10_000 + b"}",
    ],
    ids=lambda header: header[:12].decode("latin-1"),
)
def test_a_header_that_is_not_json_is_refused(header: bytes) -> None:
    assert refusal(written_by_others(header, PAYLOAD)).reason is Reason.BAD_METADATA


@pytest.mark.parametrize("header", [b"[]", b"null", b"1", b'"text"', b"true"])
def test_a_header_that_is_not_an_object_is_refused(header: bytes) -> None:
    error = refusal(written_by_others(header, PAYLOAD))
    assert error.reason is Reason.BAD_METADATA
    assert "not an object" in error.detail


def test_a_header_is_bounded() -> None:
    def header(size: int) -> bytes:
        return b'{"a":"' + b"x" * (size - 8) + b'"}'

    assert unframe(written_by_others(header(MAX_HEADER_BYTES), PAYLOAD))[1] == PAYLOAD
    error = refusal(written_by_others(header(MAX_HEADER_BYTES + 1), PAYLOAD))
    assert error.reason is Reason.BAD_METADATA
    assert "65537 bytes, more than 65536" in error.detail


@pytest.mark.parametrize(
    ("metadata", "told"),
    [
        ({"color_label": "red", "shape_label": "circle"}, "red_circle"),
        ({"color_label": "red"}, "red_unknown"),
        ({}, "unknown_unknown"),
        ({"color_label": 3, "shape_label": 0.5}, "3_0.5"),
        ({"color_label": True, "shape_label": None}, "unknown_unknown"),
        ({"color_label": {"$gt": ""}, "shape_label": [["circle"]]}, "unknown_unknown"),
        ({"color_label": "x" * 60_000, "shape_label": "y" * 60_000}, f"{'x' * 128}_{'y' * 128}"),
        ({"$set": {"a.b": 1}, "color_label": ""}, "_unknown"),
        ({"label": "POSITIVE"}, "POSITIVE"),
        ({"label": 5}, "5"),
        ({"label": None}, "unknown"),
        ({"label": "x" * 60_000}, "x" * 128),
        ({"label": "POSITIVE", "color_label": "red"}, "red_unknown"),
    ],
)
def test_labels_are_short_text_whatever_the_producer_says(metadata: dict[str, object], told: str) -> None:
    assert ground_truth(metadata) == told


def test_a_raw_value_is_all_payload() -> None:
    assert PARSERS[Codec.RAW](PAYLOAD) == Taken({}, PAYLOAD)


def test_every_codec_has_a_parser() -> None:
    assert set(PARSERS) == set(Codec)
