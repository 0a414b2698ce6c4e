"""What a record is called everywhere: safe as a file name and as a key, the same after a replay."""

import pickle
from dataclasses import replace

import pytest

from tests.fakes import make_record
from velox.records import ID_HEADER, Box, Headers, Position, Prediction, record_id

POSITION = Position("image_data", 3, 42)


def test_the_position_is_the_id_when_the_producer_gave_none() -> None:
    assert record_id(POSITION, ()) == "image_data-3-42"


def test_the_producers_id_comes_first() -> None:
    assert record_id(POSITION, [("other", b"x"), (ID_HEADER, b"0190-abc.DEF_1")]) == "0190-abc.DEF_1"


@pytest.mark.parametrize(
    "unsafe",
    [
        b"",
        b"../../etc/passwd",
        b"..",
        b".hidden",
        b"-rf",
        b"a/b",
        b"a\\b",
        b"a b",
        b"a\x00b",
        b"line\nbreak",
        b"trailing\n",
        b"caf\xc3\xa9",
        b"\xff\xfe",
        b"$where",
        b"a" * 129,
        None,
    ],
)
def test_an_unsafe_id_is_not_used(unsafe: bytes | None) -> None:
    assert record_id(POSITION, [(ID_HEADER, unsafe)]) == str(POSITION)


def test_an_id_may_have_128_characters() -> None:
    assert record_id(POSITION, [(ID_HEADER, b"a" * 128)]) == "a" * 128


def test_of_several_ids_the_first_safe_one_counts() -> None:
    headers: Headers = [(ID_HEADER, None), (ID_HEADER, b"../x"), (ID_HEADER, b"second"), (ID_HEADER, b"third")]
    assert record_id(POSITION, headers) == "second"


def test_header_names_are_told_apart_by_case() -> None:
    assert record_id(POSITION, [("Velox-Id", b"x")]) == str(POSITION)


def test_the_value_is_its_head_and_its_payload() -> None:
    assert make_record(head=b"\0\0\0\2{}", payload=b"jpeg").value == b"\0\0\0\2{}jpeg"
    assert make_record(head=b"nothing good", payload=b"").value == b"nothing good"
    assert make_record(head=b"", payload=b"all of it").value == b"all of it"


def test_a_payload_that_is_apart_is_no_part_of_the_value() -> None:
    record = replace(make_record(head=b'{"text": "a"}', payload=b"a"), is_apart=True)
    assert record.value == b'{"text": "a"}'


@pytest.mark.parametrize("said", ["r-7", "A" * 128])
def test_what_the_value_says_is_the_id_where_the_producer_gave_none(said: str) -> None:
    assert record_id(POSITION, (), said) == said
    assert record_id(POSITION, [(ID_HEADER, b"header")], said) == "header"
    assert record_id(POSITION, [(ID_HEADER, b"../x")], said) == said


@pytest.mark.parametrize("said", ["", "../x", "a b", "A" * 129])
def test_what_the_value_says_is_looked_at_as_closely(said: str) -> None:
    assert record_id(POSITION, (), said) == str(POSITION)


FULL = Prediction("cat", 0.75, (("cat", 0.75), ("dog", 0.25)), (Box("cat", 0.5, 0.1, 0.2, 0.3, 0.4),))


@pytest.mark.parametrize("prediction", [Prediction("cat", 0.75), FULL])
def test_a_prediction_comes_through_a_pipe_as_it_was(prediction: Prediction) -> None:
    assert pickle.loads(pickle.dumps(prediction)) == prediction  # noqa: S301 - our own


def test_a_prediction_without_scores_costs_no_more_on_the_way_for_those_it_could_have() -> None:
    assert len(pickle.dumps(Prediction("cat", 0.75))) < 80
