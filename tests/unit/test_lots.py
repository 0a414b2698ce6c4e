"""Which records are handed over together, and who is blamed for what was lost."""

from tests.fakes import FakeClock, make_record
from velox.cluster.lots import Lot, Lots
from velox.core.freshness import Freshness
from velox.errors import Reason
from velox.records import Record


def payloads(lot: Lot | None) -> list[bytes]:
    assert lot is not None
    return [record.payload for record in lot.records]


def some(count: int) -> list[Record]:
    return [make_record(number, payload=b"%d" % number) for number in range(count)]


def taken(lots: Lots) -> Lot:
    lot = lots.take()
    assert lot is not None
    return lot


def test_records_are_handed_over_in_lists_in_their_order() -> None:
    lots = Lots(size=2)
    lots.add(some(3))
    assert payloads(lots.take()) == [b"0", b"1"]
    assert payloads(lots.take()) == [b"2"]
    assert lots.take() is None
    assert len(lots) == 3, "none is answered yet"


def test_what_was_answered_is_forgotten() -> None:
    lots = Lots(size=2)
    lots.add(some(2))
    lot = taken(lots)
    assert lots.answered(lot, lot.records) is None
    assert len(lots) == 0


def test_what_could_not_be_taken_comes_again_first() -> None:
    lots = Lots(size=2)
    lots.add(some(4))
    lots.later(taken(lots))
    assert payloads(lots.take()) == [b"0", b"1"]


def test_a_lost_lot_is_tried_again_as_it_was() -> None:
    lots = Lots(size=2)
    lots.add(some(2))
    lots.lost(taken(lots))
    lot = taken(lots)
    assert (payloads(lot), lot.is_alone) == ([b"0", b"1"], False)


def test_what_is_lost_twice_is_tried_alone_and_nothing_else_meanwhile() -> None:
    lots = Lots(size=2)
    lots.add(some(4))
    lots.lost(taken(lots))
    again, other = taken(lots), taken(lots)
    lots.lost(again)
    assert lots.take() is None, "a replica works on several calls at once"
    lots.answered(other, other.records)
    alone = taken(lots)
    assert (payloads(alone), alone.is_alone) == ([b"0"], True)
    assert lots.take() is None
    lots.answered(alone, alone.records)
    assert payloads(lots.take()) == [b"1"]


def suspect(lots: Lots) -> Lot:
    """Lose the first lot twice; answer the trial of its first record."""
    lots.lost(taken(lots))
    lots.lost(taken(lots))
    return taken(lots)


def witnessed(count: int) -> Lots:
    """Lots of one record each, of which the first was predicted."""
    lots = Lots(size=1)
    lots.add(some(count))
    lot = taken(lots)
    lots.answered(lot, lot.records)
    return lots


def test_what_is_lost_alone_is_blamed_once_the_witness_was_predicted_again() -> None:
    lots = witnessed(2)
    lots.lost(suspect(lots))
    witness = taken(lots)
    assert payloads(witness) == [b"0"]
    assert len(lots) == 1, "the witness was answered long ago"
    blamed = lots.answered(witness, witness.records)
    assert blamed is not None
    assert blamed.payload == b"1"
    assert len(lots) == 0


def test_what_fails_for_the_witness_too_is_blamed_on_no_record() -> None:
    lots = witnessed(2)
    lots.lost(suspect(lots))
    for losses in (2, 3):
        lots.lost(taken(lots))
        assert lots.losses_in_a_row == losses
    assert len(lots) == 1


def test_without_a_witness_one_that_waits_is_tried_first() -> None:
    lots = Lots(size=1)
    lots.add(some(3))
    alone = suspect(lots)
    assert payloads(alone) == [b"2"]
    lots.answered(alone, alone.records)
    lots.lost(taken(lots))
    assert payloads(lots.take()) == [b"2"], "the witness"


def test_a_suspect_that_could_not_be_taken_is_tried_alone_later() -> None:
    lots = witnessed(2)
    lots.later(suspect(lots))
    alone = taken(lots)
    assert (payloads(alone), alone.is_alone) == ([b"1"], True)


def test_a_witness_that_could_not_be_taken_is_asked_again() -> None:
    lots = witnessed(2)
    lots.lost(suspect(lots))
    lots.later(taken(lots))
    assert payloads(lots.take()) == [b"0"]


def test_where_only_the_newest_counts_what_waits_gives_way_to_it_and_what_is_old_is_dropped() -> None:
    now = FakeClock(make_record().produced_at)
    lots = Lots(size=4, rule=Freshness(is_newest_only=True, stale_after_s=10), clock=now)
    older, newer = some(2)
    lots.add([older, newer])
    assert [(record, why.reason) for record, why in lots.take_dropped()] == [(older, Reason.SUPERSEDED)]
    lot = taken(lots)
    assert lot.records == [newer]
    lots.later(lot)
    now.now_s += 11
    assert lots.take() is None
    assert [(record, why.reason) for record, why in lots.take_dropped()] == [(newer, Reason.STALE)]
    assert len(lots) == 0
