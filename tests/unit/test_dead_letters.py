"""What a dead letter says of its record: why, from where, and all the record said itself."""

import pytest

from tests.fakes import make_record
from velox.core.letters import dead_letter_headers
from velox.errors import BadRecordError, Reason
from velox.kafka.dead_letters import dead_letter_topic
from velox.settings import Settings

NOT_AN_IMAGE = BadRecordError(Reason.NOT_AN_IMAGE, "starts with 3c68746d")


def test_the_topic_is_named_after_the_records() -> None:
    assert dead_letter_topic(Settings(kafka_topic="camera_7")) == "camera_7.dlq"
    assert dead_letter_topic(Settings(kafka_topic="camera_7", dead_letter_topic="bad_frames")) == "bad_frames"


def test_the_headers_name_reason_error_and_source() -> None:
    assert dict(dead_letter_headers(make_record(42, partition=3), NOT_AN_IMAGE)) == {
        "velox-dlq-reason": b"not_an_image",
        "velox-dlq-error": b"BadRecordError: starts with 3c68746d",
        "velox-dlq-topic": b"image_data",
        "velox-dlq-partition": b"3",
        "velox-dlq-offset": b"42",
        "velox-dlq-id": b"image_data-3-42",
        "velox-dlq-attempts": b"1",
        "velox-dlq-origin": b"image_data-3-42",
    }


def test_the_error_class_is_that_of_the_cause() -> None:
    error = BadRecordError(Reason.BAD_METADATA, "the header is not JSON")
    error.__cause__ = UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")
    assert dict(dead_letter_headers(make_record(), error))["velox-dlq-error"] == (
        b"UnicodeDecodeError: the header is not JSON"
    )


def test_the_records_own_headers_come_first_and_unchanged() -> None:
    own = [("velox-id", b"0190"), ("a", b"1"), ("a", None), ("b", b"\xff")]
    assert dead_letter_headers(make_record(headers=own), NOT_AN_IMAGE)[:4] == own


def test_a_dead_letter_of_a_dead_letter_gives_one_reason() -> None:
    first = dead_letter_headers(make_record(1), NOT_AN_IMAGE)
    again = dead_letter_headers(
        make_record(2, headers=[(name, value) for name, value in first if not isinstance(value, str)]),
        BadRecordError(Reason.EMPTY, "the record has no payload"),
    )
    assert [value for name, value in again if name == "velox-dlq-reason"] == [b"empty"]


def test_a_long_error_is_cut() -> None:
    (error,) = [
        value
        for name, value in dead_letter_headers(make_record(), BadRecordError(Reason.UNDECODABLE, "x" * 100_000))
        if name == "velox-dlq-error"
    ]
    assert error is not None
    assert len(error) <= 1000


def test_an_error_that_utf_8_cannot_hold_is_written_nevertheless() -> None:
    headers = dict(dead_letter_headers(make_record(), BadRecordError(Reason.UNDECODABLE, "half a pair: \ud800")))
    assert headers["velox-dlq-error"] == b"BadRecordError: half a pair: ?"


def test_a_record_that_failed_before_counts_its_attempts_and_keeps_its_origin() -> None:
    replayed = [("velox-id", b"0190"), ("velox-dlq-attempts", b"2"), ("velox-dlq-origin", b"image_data-0-7")]
    headers = dict(dead_letter_headers(make_record(99, headers=replayed), NOT_AN_IMAGE))
    assert headers["velox-dlq-attempts"] == b"3"
    assert headers["velox-dlq-origin"] == b"image_data-0-7"
    assert headers["velox-dlq-offset"] == b"99"


@pytest.mark.parametrize("odd", [None, b"", b"-1", b"\xff", "٣".encode(), b"9" * 5000])
def test_attempts_that_are_no_number_count_from_the_beginning(odd: bytes | None) -> None:
    headers = dict(dead_letter_headers(make_record(headers=[("velox-dlq-attempts", odd)]), NOT_AN_IMAGE))
    assert headers["velox-dlq-attempts"] == b"1"
