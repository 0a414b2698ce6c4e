"""Which records are dropped for newer ones, or as too old."""

from dataclasses import replace

import pytest

from tests.fakes import make_record
from velox.core.freshness import Dropped, Freshness, Line
from velox.errors import Reason
from velox.records import Position, Record

NEWEST = Freshness.of(is_newest_only=True, stale_after_ms=500)
NOW = 1_700_000_000.0


def frame(camera: int, offset: int, *, age_s: float = 0.0) -> Record:
    return replace(make_record(offset), position=Position(f"camera_{camera}", 0, offset), produced_at=NOW - age_s)


def named(records: list[Record]) -> list[str]:
    return [f"{record.position.topic}@{record.position.offset}" for record in records]


def why(dropped: Dropped) -> list[tuple[str, Reason]]:
    return [(f"{record.position.topic}@{record.position.offset}", error.reason) for record, error in dropped]


def test_without_the_rule_every_record_waits_however_old() -> None:
    line = Line(Freshness.of(is_newest_only=False, stale_after_ms=500))
    records = [frame(1, 0, age_s=99), frame(1, 1), frame(2, 0)]
    assert line.add(records) == []
    assert line.take(2, NOW) == (records[:2], [])
    assert len(line) == 1
    assert Freshness().sift(records, NOW) == (records, [])


def test_a_newer_record_takes_the_place_of_the_one_that_waits_and_cameras_take_their_turns() -> None:
    line = Line(NEWEST)
    assert line.add([frame(1, 0), frame(2, 0), frame(3, 0)]) == []
    dropped = line.add([frame(2, 1), frame(1, 1), frame(2, 2)])
    assert why(dropped) == [
        ("camera_2@0", Reason.SUPERSEDED),
        ("camera_1@0", Reason.SUPERSEDED),
        ("camera_2@1", Reason.SUPERSEDED),
    ]
    taken, stale = line.take(9, NOW)
    assert named(taken) == ["camera_1@1", "camera_2@2", "camera_3@0"], "in the order in which cameras came"
    assert stale == []


def test_an_older_record_that_comes_later_does_not_take_the_place_of_a_newer_one() -> None:
    line = Line(NEWEST)
    line.add([frame(1, 7)])
    assert why(line.add([frame(1, 6)])) == [("camera_1@6", Reason.SUPERSEDED)]
    assert named(line.take(1, NOW)[0]) == ["camera_1@7"]


def test_what_is_stale_is_dropped_when_it_is_its_turn_and_makes_room_for_others() -> None:
    line = Line(NEWEST)
    line.add([frame(1, 0, age_s=0.51), frame(2, 0, age_s=0.49), frame(3, 0, age_s=3)])
    taken, dropped = line.take(1, NOW)
    assert named(taken) == ["camera_2@0"]
    assert why(dropped) == [("camera_1@0", Reason.STALE)]
    assert why(line.take(1, NOW)[1]) == [("camera_3@0", Reason.STALE)]


def test_what_is_put_back_keeps_its_place_in_front_whatever_comes() -> None:
    line = Line(NEWEST)
    line.add([frame(2, 5)])
    line.put_back([frame(1, 0), frame(1, 1)])
    line.add([frame(1, 2)])
    assert named(line.take(9, NOW)[0]) == ["camera_1@0", "camera_1@1", "camera_2@5", "camera_1@2"]


@pytest.mark.parametrize("rule", [Freshness(), NEWEST])
def test_the_last_can_be_taken_out(rule: Freshness) -> None:
    line = Line(rule)
    assert line.take_last() is None
    line.add([frame(1, 0), frame(2, 0)])
    last = line.take_last()
    assert last is not None
    assert last.position.topic == "camera_2"
    assert len(line) == 1


def test_of_what_was_fetched_together_only_the_newest_of_each_topic_goes_on() -> None:
    records = [frame(1, 0), frame(1, 1), frame(2, 0, age_s=1), frame(3, 0)]
    kept, dropped = NEWEST.sift(records, NOW)
    assert named(kept) == ["camera_1@1", "camera_3@0"]
    assert why(dropped) == [("camera_1@0", Reason.SUPERSEDED), ("camera_2@0", Reason.STALE)]
    assert len(kept) + len(dropped) == len(records), "none is forgotten"


def test_with_no_age_limit_nothing_is_stale() -> None:
    rule = Freshness.of(is_newest_only=True, stale_after_ms=0)
    assert rule.stale(frame(1, 0, age_s=1e6), NOW) is None


@pytest.mark.parametrize("reason", [Reason.SUPERSEDED, Reason.STALE, Reason.OBJECT_GONE])
def test_what_is_dropped_is_no_dead_letter(reason: Reason) -> None:
    assert not reason.leaves_letter
