"""Which records a dead process may have died of, and in which order they are tried alone."""

import pytest

from tests.fakes import make_record
from velox.core.freshness import Freshness, Line
from velox.core.suspicion import Suspicion
from velox.records import Record

RECORDS = [make_record(offset) for offset in range(8)]


@pytest.fixture
def suspicion() -> Suspicion:
    return Suspicion()


def line(records: list[Record]) -> Line:
    waiting = Line(Freshness())
    waiting.add(records)
    return waiting


def tried(suspicion: Suspicion, waiting: Line) -> list[int]:
    """The offsets of those that are tried alone, one after the other."""
    return [record.position.offset for record in iter(lambda: suspicion.next_alone(waiting), None)]


def test_only_as_many_are_suspects_as_it_may_have_been_computing(suspicion: Suspicion) -> None:
    others = suspicion.died_with(RECORDS[:5], most=3)
    assert [record.position.offset for record in others] == [3, 4]
    assert len(suspicion) == 3


def test_suspects_are_tried_in_the_order_in_which_it_had_them(suspicion: Suspicion) -> None:
    suspicion.predicted([RECORDS[7]])
    suspicion.died_with(RECORDS[:2], most=8)
    suspicion.died_with(RECORDS[2:4], most=8)
    waiting = line(RECORDS[4:6])
    assert tried(suspicion, waiting) == [0, 1, 2, 3]
    assert len(waiting) == 2, "there is a witness already"
    assert len(suspicion) == 0


def test_without_a_witness_those_that_wait_come_first_the_last_of_them_before_the_others(suspicion: Suspicion) -> None:
    suspicion.died_with(RECORDS[:2], most=8)
    waiting = line(RECORDS[4:7])
    first = suspicion.next_alone(waiting)
    assert first == RECORDS[6], "far from the suspects"
    suspicion.predicted([first])
    assert tried(suspicion, waiting) == [0, 1]
    assert waiting.take(8, 0.0) == (RECORDS[4:6], [])


def test_where_none_waits_a_suspect_is_tried_without_a_witness(suspicion: Suspicion) -> None:
    suspicion.died_with(RECORDS[:2], most=8)
    assert tried(suspicion, line([])) == [0, 1]


def test_without_suspects_none_is_tried_alone(suspicion: Suspicion) -> None:
    waiting = line(RECORDS)
    assert suspicion.next_alone(waiting) is None
    assert len(waiting) == 8


def test_the_witness_is_what_was_predicted_last(suspicion: Suspicion) -> None:
    witnesses = [suspicion.witness]
    for predicted in (RECORDS[:3], [], [RECORDS[5]]):
        suspicion.predicted(predicted)
        witnesses.append(suspicion.witness)
    assert witnesses == [None, RECORDS[2], RECORDS[2], RECORDS[5]]
