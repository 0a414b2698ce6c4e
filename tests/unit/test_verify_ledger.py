"""The account of ``velox verify``: whatever is wrong in a sink shows, and nothing else does."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from velox.core.envelope import Codec
from velox.models import numbered
from velox.sinks.sink import Stored
from velox.verify.ledger import DeadLetter, Evidence, Ledger, reconcile
from velox.verify.numbered import KEYS, Records

RECORDS = Records("run", Codec.FRAMED, 0.0, None)
COUNT = 8
"""Two of them are detections, 0 and 4."""


def row(number: int, *, identity: str = "", label: str | None = None, predicted_at: float | None = None) -> Stored:
    return Stored(
        id=identity or RECORDS.id(number),
        label=numbered.label(number) if label is None else label,
        is_detection=numbered.label(number) == numbered.LABELS[0],
        position=("topic", 0, number),
        predicted_at=1000.0 + number if predicted_at is None else predicted_at,
    )


def image(number: int) -> Stored:
    return Stored(RECORDS.id(number))


def evidence() -> Evidence:
    """Number 7 is a dead letter, all others are stored; the images are those of 0 and 4."""
    return Evidence(
        published=COUNT,
        acknowledged=frozenset(range(COUNT)),
        stored={"mongo": [row(number) for number in range(7)], "disk": [image(0), image(4)]},
        takes_all={"mongo"},
        dead_letters=[DeadLetter(RECORDS.id(7), "empty")],
        uncommitted=0,
    )


def with_rows(sink: str, edit: Callable[[list[Stored]], list[Stored]]) -> Ledger:
    found = evidence()
    return reconcile(replace(found, stored={**found.stored, sink: edit(list(found.stored[sink]))}), RECORDS)


def test_where_nothing_is_wrong_nothing_is_found() -> None:
    ledger = reconcile(evidence(), RECORDS)
    assert ledger.problems() == []
    assert (ledger.produced, ledger.acknowledged, ledger.detections) == (8, 8, 2)
    assert ledger.stored == {"mongo": 7, "disk": 2}
    assert ledger.dead_lettered == {"empty": 1}
    assert ledger.order_inversions == ledger.dead_lettered_again == 0


def test_a_record_that_a_database_lacks_is_missing() -> None:
    ledger = with_rows("mongo", lambda rows: rows[:3] + rows[4:])
    assert ledger.missing == {"mongo": [RECORDS.id(3)]}
    assert ledger.problems() == [f"1 records missing in mongo: {RECORDS.id(3)}"]


def test_a_detection_without_its_image_is_missing() -> None:
    assert with_rows("disk", lambda rows: rows[:1]).missing == {"disk": [RECORDS.id(4)]}


def test_a_record_that_no_sink_has_is_missing_in_each_that_should() -> None:
    found = evidence()
    nothing = replace(found, stored={"mongo": [], "disk": []})
    assert {sink: len(ids) for sink, ids in reconcile(nothing, RECORDS).missing.items()} == {"mongo": 7}


def test_a_dead_letter_that_is_gone_leaves_its_record_missing() -> None:
    assert reconcile(replace(evidence(), dead_letters=[]), RECORDS).missing == {"mongo": [RECORDS.id(7)]}


def test_a_record_that_was_never_acknowledged_is_owed_to_nobody_and_no_stranger() -> None:
    found = replace(evidence(), acknowledged=frozenset(range(6)))
    assert reconcile(found, RECORDS).problems() == []
    without = replace(found, stored={**found.stored, "mongo": list(found.stored["mongo"])[:6]})
    assert reconcile(without, RECORDS).problems() == []


def test_the_same_id_twice_is_doubled() -> None:
    assert with_rows("mongo", lambda rows: [*rows, row(2)]).doubled == {"mongo": [RECORDS.id(2)]}
    assert with_rows("disk", lambda rows: [*rows, image(0)]).doubled == {"disk": [RECORDS.id(0)]}


def test_one_record_under_two_ids_is_doubled_and_one_of_them_a_stranger() -> None:
    ledger = with_rows("mongo", lambda rows: [*rows, row(2, identity="topic-0-2")])
    assert ledger.doubled == {"mongo": ["topic-0-2", RECORDS.id(2)]}
    assert ledger.strangers == {"mongo": ["topic-0-2"]}
    assert len(ledger.problems()) == 2


def test_a_record_that_is_stored_and_a_dead_letter_is_doubled() -> None:
    found = evidence()
    both = replace(found, dead_letters=[*found.dead_letters, DeadLetter(RECORDS.id(1), "killed_inference")])
    assert reconcile(both, RECORDS).doubled == {"dead letters": [RECORDS.id(1)]}


def test_a_dead_letter_written_twice_counts_once() -> None:
    found = evidence()
    ledger = reconcile(replace(found, dead_letters=[*found.dead_letters] * 3), RECORDS)
    assert ledger.problems() == []
    assert ledger.dead_lettered == {"empty": 1}
    assert ledger.dead_lettered_again == 2


def test_a_dead_letter_of_an_unknown_record_is_a_stranger() -> None:
    found = replace(evidence(), dead_letters=[*evidence().dead_letters, DeadLetter("topic-0-9", "empty")])
    assert reconcile(found, RECORDS).strangers == {"dead letters": ["topic-0-9"]}


def test_the_answer_for_another_record_is_mistaken() -> None:
    ledger = with_rows("mongo", lambda rows: [row(0, label=numbered.LABELS[1]), *rows[1:]])
    assert ledger.mistaken == {"mongo": [RECORDS.id(0)]}
    assert "1 results of another record in mongo" in ledger.problems()[0]


def test_what_is_not_committed_is_a_problem() -> None:
    assert reconcile(replace(evidence(), uncommitted=3), RECORDS).problems() == ["3 records not committed"]


def test_without_a_database_every_record_owes_an_image_if_so_it_is_said() -> None:
    images = replace(evidence(), stored={"disk": [image(number) for number in range(6)]}, takes_all={"disk"})
    assert reconcile(images, RECORDS).missing == {"disk": [RECORDS.id(6)]}


@pytest.mark.parametrize(("order", "inversions"), [([0, 1, 2], 0), ([0, 2, 1], 1), ([2, 1, 0], 2), ([1, 0, 2], 1)])
def test_a_result_older_than_that_of_an_earlier_record_with_its_key_is_an_inversion(
    order: list[int], inversions: int
) -> None:
    rows = [row(number * KEYS, predicted_at=float(order.index(number)), label="") for number in range(3)]
    other = [row(1, predicted_at=0.0)]
    found = Evidence(3 * KEYS, frozenset(), {"mongo": rows + other}, {"mongo"}, [], 0)
    assert reconcile(found, RECORDS).order_inversions == inversions


def test_a_problem_names_a_few_ids_and_counts_the_rest() -> None:
    (problem,) = with_rows("mongo", lambda _: []).problems()
    assert problem.startswith(f"7 records missing in mongo: {RECORDS.id(0)}, ")
    assert problem.endswith(" and 2 more")
