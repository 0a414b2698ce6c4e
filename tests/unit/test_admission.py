"""How much is fetched, why partitions are paused, and what idle processes lack: one decision from one situation."""

from dataclasses import replace

import pytest

from velox.core.admission import PATIENCE_S, Decision, Hold, Situation, decide, hold
from velox.core.idleness import Cause

IDLE = Situation(room=200, in_flight=0, in_flight_bytes=0, is_behind=True)
FULL = Situation(room=0, in_flight=200, in_flight_bytes=5000, is_behind=True)
SINK = Hold("blocked by mongo", Cause.SINK)


def decided(situation: Situation, **changes: object) -> Decision:
    return decide(replace(situation, **changes), batch_size=8, queue_size=200)  # type: ignore[arg-type]  # by name


@pytest.mark.parametrize(("room", "fetch"), [(200, 32), (33, 32), (20, 20), (16, 16), (15, 0), (0, 0)])
def test_what_has_room_is_fetched_from_one_hand_over_on_up_to_two(room: int, fetch: int) -> None:
    assert decided(IDLE, room=room).fetch == fetch


@pytest.mark.parametrize(("room", "fetch"), [(4, 4), (3, 0)])
def test_a_queue_that_is_smaller_than_a_hand_over_is_filled_when_it_is_empty(room: int, fetch: int) -> None:
    assert decide(replace(IDLE, room=room), batch_size=8, queue_size=4).fetch == fetch


def test_a_full_flight_pauses_only_when_it_stays_full() -> None:
    assert decided(FULL, full_for_s=PATIENCE_S).pause is None
    assert decided(FULL, full_for_s=PATIENCE_S + 0.1).pause == "200 records, 5000 bytes in flight"


def test_a_system_that_is_down_pauses_at_once_whatever_room_there_is() -> None:
    assert decided(IDLE, hold=SINK) == Decision(0, "blocked by mongo", Cause.SINK)


def test_while_fetching_nothing_is_paused() -> None:
    assert decided(IDLE, full_for_s=60).pause is None


def test_a_draining_consumer_fetches_nothing_and_lacks_nothing_but_work() -> None:
    decision = decided(IDLE, is_draining=True, hold=SINK)
    assert (decision.fetch, decision.lack) == (0, Cause.NO_WORK)


@pytest.mark.parametrize(
    ("is_behind", "has_joined", "lack"),
    [
        (True, True, Cause.FETCH),
        (False, True, Cause.NO_WORK),
        (None, True, Cause.LAG_UNKNOWN),
        (False, False, Cause.FETCH),
        (None, False, Cause.FETCH),
    ],
)
def test_with_room_what_is_lacking_is_in_kafka_or_nowhere(
    is_behind: bool | None, has_joined: bool, lack: Cause
) -> None:
    assert decided(IDLE, is_behind=is_behind, has_joined=has_joined).lack == lack


@pytest.mark.parametrize(
    ("downloading", "with_inference", "lack"),
    [
        (0, 101, Cause.QUEUE_SIZE),
        (0, 100, Cause.SINK),
        (101, 0, Cause.DOWNLOAD),
        (100, 0, Cause.SINK),
        (99, 101, Cause.QUEUE_SIZE),
    ],
)
def test_without_room_the_stage_that_has_most_of_it_is_to_blame(
    downloading: int, with_inference: int, lack: Cause
) -> None:
    assert decided(FULL, downloading=downloading, with_inference=with_inference).lack == lack


def test_the_last_records_of_a_topic_are_lacking_while_their_payloads_are_in_the_bucket() -> None:
    assert decided(IDLE, in_flight=3, downloading=2, is_behind=False).lack == Cause.DOWNLOAD
    assert decided(IDLE, in_flight=3, downloading=1, is_behind=False).lack == Cause.NO_WORK


def test_what_needs_somebody_to_act_is_named_first() -> None:
    assert hold(circuit="too much", sink="mongo", bucket="bucket photos") == Hold(
        "circuit open: too much", Cause.CIRCUIT
    )
    assert hold(circuit=None, sink="mongo", bucket="bucket photos") == SINK
    assert hold(circuit=None, sink=None, bucket="bucket photos") == Hold("blocked by bucket photos", Cause.DOWNLOAD)
    assert hold(circuit=None, sink=None, bucket=None) is None
