"""Reading dead letters back: what a replay of one carries, and which are handled."""

import pytest

from tests.fakes import make_record
from velox.core.letters import (
    Letter,
    dead_letter_headers,
    keeps_its_id,
    oldest_first,
    read_letter,
    read_ranges,
    replay_headers,
    write_ranges,
)
from velox.errors import BadRecordError, Reason
from velox.records import Headers, Omitted, Position, record_id

AT = Position("image_data.dlq", 0, 5)
BAD = BadRecordError(Reason.EMPTY, "the record has no payload")


def letter_of(headers: Headers) -> Letter:
    letter = read_letter(AT, 1700000000.0, headers, of="image_data".__eq__)
    assert letter is not None
    return letter


def test_a_letter_says_what_was_written_into_it() -> None:
    letter = letter_of(dead_letter_headers(make_record(42, partition=3), BAD))
    assert letter == Letter(
        position=AT,
        written_at=1700000000.0,
        reason="empty",
        source=Position("image_data", 3, 42),
        id="image_data-3-42",
        attempts=1,
        origin="image_data-3-42",
        omitted=None,
    )


def test_a_letter_of_an_older_version_is_a_first_attempt() -> None:
    older = [(n, v) for n, v in dead_letter_headers(make_record(42), BAD) if n[10:] not in {"attempts", "origin"}]
    assert (letter_of(older).attempts, letter_of(older).origin) == (1, "image_data-0-42")


@pytest.mark.parametrize(
    ("name", "omitted"),
    [("velox-dlq-value-omitted-bytes", Omitted(7)), ("velox-dlq-record-omitted-bytes", Omitted(0, 7))],
)
def test_a_letter_without_its_value_is_a_pointer_that_knows_its_size(name: str, omitted: Omitted) -> None:
    letter = letter_of([*dead_letter_headers(make_record(), BAD), (name, b"7")])
    assert (letter.is_pointer, letter.omitted) == (True, omitted)


@pytest.mark.parametrize("missing", ["velox-dlq-reason", "velox-dlq-topic", "velox-dlq-partition", "velox-dlq-offset"])
@pytest.mark.parametrize("odd", [None, b"", b"\xff", b"-1", b"other"])
def test_what_does_not_say_where_it_is_from_is_no_letter(missing: str, odd: bytes | None) -> None:
    headers = [(n, odd if n == missing else v) for n, v in dead_letter_headers(make_record(), BAD)]
    letter = read_letter(AT, 0, headers, of="image_data".__eq__)
    assert letter is None or (missing == "velox-dlq-reason" and odd), "any text may be a reason, but it has to be there"


def test_a_letter_of_another_topic_is_never_replayed_into_it() -> None:
    assert read_letter(AT, 0, dead_letter_headers(make_record(), BAD), of="payroll".__eq__) is None


@pytest.mark.parametrize(
    "own", [[], [("velox-id", b"0190")], [("a", b"1"), ("a", None), ("velox-id", b"../bad"), ("b", b"\xff")]]
)
def test_a_replayed_record_has_the_id_of_the_first_time_and_its_own_headers(own: Headers) -> None:
    first = Position("image_data", 0, 42)
    headers = dead_letter_headers(make_record(42, headers=own), BAD)
    letter = letter_of(headers)._replace(id=record_id(first, own))
    replayed = replay_headers(letter, headers)
    assert replayed[: len(own)] == own
    assert record_id(Position("image_data", 0, 99), replayed) == record_id(first, own)
    again = letter_of(dead_letter_headers(make_record(99, headers=replayed), BAD))
    assert (again.attempts, again.origin, again.source.offset) == (2, "image_data-0-42", 99)


def test_an_id_that_no_header_can_carry_is_noticed() -> None:
    letter = letter_of(dead_letter_headers(make_record(), BAD))
    assert keeps_its_id(letter)
    assert not keeps_its_id(letter._replace(id="_hidden-0-1"))


def test_letters_of_one_batch_keep_the_order_of_their_records() -> None:
    headers = [dead_letter_headers(make_record(offset), BAD) for offset in range(3)]
    letters = [letter_of(each)._replace(position=AT._replace(partition=5 - n)) for n, each in enumerate(headers)]
    older = letters[2]._replace(written_at=1.0)
    assert oldest_first([letters[1], letters[0], older]) == [older, letters[0], letters[1]]


@pytest.mark.parametrize("offsets", [[], [3], [1, 2, 3], [9, 1, 2, 5, 2], [0, 2, 4]])
def test_ranges_hold_the_same_offsets(offsets: list[int]) -> None:
    assert list(read_ranges(write_ranges(offsets), low=0, high=100)) == sorted(set(offsets))


@pytest.mark.parametrize(
    "odd", [None, b"", b"{}", b"[1]", b'[["a", "b"]]', b"[[null, 1]]", b"\xff", b"[" * 100_000, b"[[1e999, 2]]"]
)
def test_ranges_that_are_none_hold_nothing(odd: bytes | None) -> None:
    assert list(read_ranges(odd, low=0, high=100)) == []


def test_ranges_never_reach_beyond_what_the_partition_holds() -> None:
    assert list(read_ranges(b"[[0, 100000000000000000]]", low=5, high=8)) == [5, 6, 7]
