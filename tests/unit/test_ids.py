"""Message ids order by time, are standard UUIDs and never repeat."""

import uuid

from velox.core.ids import time_ordered_uuid
from velox.records import ID_HEADER, Position, record_id


def test_it_is_a_version_7_uuid_of_the_standard_variant() -> None:
    made = time_ordered_uuid()
    assert made.version == 7
    assert made.variant == uuid.RFC_4122


def test_its_first_48_bits_are_the_unix_time_in_milliseconds() -> None:
    made = time_ordered_uuid(clock_ns=lambda: 1_700_000_000_123_456_789)
    assert made.int >> 80 == 1_700_000_000_123


def test_later_ids_sort_after_earlier_ones_as_text_too() -> None:
    made = [str(time_ordered_uuid(clock_ns=lambda ms=ms: ms * 1_000_000)) for ms in (1, 2, 300, 70_000, 2**47)]  # type: ignore[misc]  # mypy types no default of a lambda
    assert made == sorted(made)


def test_ids_of_one_millisecond_differ() -> None:
    assert len({time_ordered_uuid(clock_ns=lambda: 0) for _ in range(1000)}) == 1000


def test_it_is_safe_as_a_record_id() -> None:
    made = str(time_ordered_uuid())
    assert record_id(Position("t", 0, 0), [(ID_HEADER, made.encode())]) == made
