"""Only what is done, and all before it, may be committed; whatever the order in which it is done."""

import random

import pytest

from velox.core.offsets import Gap, Offsets
from velox.errors import RewoundError
from velox.records import Partition, Position

P0, P1 = Partition("image_data", 0), Partition("image_data", 1)


def at(offset: int, partition: Partition = P0) -> Position:
    return Position(partition.topic, partition.number, offset)


def fetch(offsets: Offsets, *numbers: int, partition: Partition = P0) -> None:
    for number in numbers:
        offsets.fetched(at(number, partition))


def finish(offsets: Offsets, *numbers: int, partition: Partition = P0, epoch: int | None = None) -> None:
    for number in numbers:
        offsets.done(at(number, partition), epoch=offsets.epoch if epoch is None else epoch)


@pytest.fixture
def offsets() -> Offsets:
    return Offsets()


def test_nothing_done_is_nothing_to_commit(offsets: Offsets) -> None:
    fetch(offsets, 0, 1)
    assert offsets.committable() == {}


def test_the_committable_offset_is_the_one_after_the_last_done(offsets: Offsets) -> None:
    fetch(offsets, 5, 6, 7)
    finish(offsets, 5, 6)
    assert offsets.committable() == {P0: 7}


def test_a_record_in_flight_holds_back_all_after_it(offsets: Offsets) -> None:
    fetch(offsets, 0, 1, 2, 3)
    finish(offsets, 3, 2, 1)
    assert offsets.committable() == {}
    finish(offsets, 0)
    assert offsets.committable() == {P0: 4}


def test_gaps_in_the_log_hold_nothing_back(offsets: Offsets) -> None:
    fetch(offsets, 3, 8, 21)
    finish(offsets, 8, 3)
    assert offsets.committable() == {P0: 21}, "before 21 there is nothing left to be done"
    finish(offsets, 21)
    assert offsets.committable() == {P0: 22}


def test_partitions_do_not_hold_each_other_back(offsets: Offsets) -> None:
    fetch(offsets, 0, 1)
    fetch(offsets, 0, 1, partition=P1)
    finish(offsets, 0, 1, partition=P1)
    assert offsets.committable() == {P1: 2}


def test_done_twice_counts_once(offsets: Offsets) -> None:
    fetch(offsets, 0, 1, 2)
    finish(offsets, 0, 0, 0)
    assert offsets.committable() == {P0: 1}
    assert offsets.in_flight() == 2


def test_what_is_committed_is_not_offered_again(offsets: Offsets) -> None:
    fetch(offsets, 0, 1)
    finish(offsets, 0)
    offsets.committed({P0: 1})
    assert offsets.committable() == {}
    finish(offsets, 1)
    assert offsets.committable() == {P0: 2}


def test_progress_made_while_a_commit_was_on_its_way_is_offered_again(offsets: Offsets) -> None:
    fetch(offsets, 0, 1)
    finish(offsets, 0)
    on_its_way = offsets.committable()
    finish(offsets, 1)
    offsets.committed(on_its_way)
    assert offsets.committable() == {P0: 2}


def test_a_refused_commit_is_offered_again(offsets: Offsets) -> None:
    fetch(offsets, 0)
    finish(offsets, 0)
    offsets.committed({})
    assert offsets.committable() == {P0: 1}


def test_the_answer_to_a_commit_for_a_forgotten_partition_is_ignored(offsets: Offsets) -> None:
    fetch(offsets, 0)
    finish(offsets, 0)
    offsets.forget([P0])
    offsets.committed({P0: 1})
    assert offsets.committable() == {}


def test_a_lost_partition_takes_its_staged_offsets_with_it(offsets: Offsets) -> None:
    fetch(offsets, 0, 1)
    fetch(offsets, 0, partition=P1)
    finish(offsets, 0)
    finish(offsets, 0, partition=P1)
    offsets.forget([P0])
    assert offsets.committable() == {P1: 1}
    assert offsets.in_flight([P0]) == 0


def test_done_for_a_partition_that_was_never_fetched_is_ignored(offsets: Offsets) -> None:
    finish(offsets, 0)
    assert offsets.committable() == {}


def test_work_from_before_a_partition_was_lost_cannot_commit_past_the_new_start(offsets: Offsets) -> None:
    fetch(offsets, 0, 1, 2)
    before = offsets.epoch
    offsets.forget([P0])
    fetch(offsets, 10, 11)
    finish(offsets, 0, 1, 2, epoch=before)
    assert offsets.committable() == {}
    finish(offsets, 10)
    assert offsets.committable() == {P0: 11}


def test_what_became_of_a_record_says_nothing_of_it_once_it_was_fetched_again(offsets: Offsets) -> None:
    fetch(offsets, 0, 1, 2)
    before = offsets.epoch
    offsets.forget([P0])
    fetch(offsets, 0, 1, 2)
    finish(offsets, 0, 1, 2, epoch=before)
    assert offsets.committable() == {}
    assert offsets.in_flight() == 3
    finish(offsets, 0, 1, 2)
    assert offsets.committable() == {P0: 3}


def test_a_partition_that_stays_goes_on_when_another_goes(offsets: Offsets) -> None:
    fetch(offsets, 0)
    fetch(offsets, 0, partition=P1)
    before = offsets.epoch
    offsets.forget([P1])
    finish(offsets, 0, epoch=before)
    assert offsets.committable() == {P0: 1}
    assert (offsets.owned_since(P0), offsets.owned_since(P1)) == (before, None)


def test_a_record_that_needs_nothing_done_is_passed_with_those_before_it(offsets: Offsets) -> None:
    fetch(offsets, 0)
    offsets.skipped(at(1))
    assert offsets.committable() == {}
    fetch(offsets, 2)
    finish(offsets, 0)
    assert offsets.committable() == {P0: 2}
    offsets.skipped(at(3))
    finish(offsets, 2)
    assert offsets.committable() == {P0: 4}
    assert offsets.take_gaps() == []


def test_what_kafka_marks_behind_the_last_record_is_committed_once_nothing_is_in_flight(offsets: Offsets) -> None:
    fetch(offsets, 0, 1)
    offsets.reached(P0, 3)
    finish(offsets, 0, 1)
    assert offsets.committable() == {P0: 2}, "what was in flight then may have been the reason"
    offsets.reached(P0, 3)
    assert offsets.committable() == {P0: 3}
    offsets.committed({P0: 3})
    offsets.reached(P0, 3)
    offsets.reached(P1, 9)
    assert offsets.committable() == {}


def test_it_counts_what_no_accepted_commit_covers(offsets: Offsets) -> None:
    fetch(offsets, 0, 1, 2, 5)
    finish(offsets, 0, 1, 2)
    assert offsets.uncommitted() == 3
    on_its_way = offsets.committable()
    finish(offsets, 5)
    offsets.committed(on_its_way)
    assert offsets.uncommitted() == 1
    offsets.committed({})
    assert offsets.uncommitted() == 1
    offsets.committed(offsets.committable())
    assert offsets.uncommitted() == 0


def test_an_offset_at_or_before_the_last_one_in_flight_is_refused_not_committed_over(offsets: Offsets) -> None:
    fetch(offsets, 100, 101)
    for offset in (101, 100, 0):
        with pytest.raises(RewoundError, match=rf"image_data-0-{offset} .*101"):
            fetch(offsets, offset)


def test_a_partition_with_nothing_in_flight_may_begin_anew(offsets: Offsets) -> None:
    fetch(offsets, 100)
    finish(offsets, 100)
    fetch(offsets, 0)
    finish(offsets, 0)
    assert offsets.committable() == {P0: 1}


def test_a_late_answer_does_not_count_for_a_log_that_begins_anew(offsets: Offsets) -> None:
    fetch(offsets, 100)
    finish(offsets, 0, 100)
    offsets.committed({P0: 101})
    fetch(offsets, 0, 1)
    finish(offsets, 1)
    assert offsets.committable() == {}


def test_in_flight_counts_what_holds_the_offset_back(offsets: Offsets) -> None:
    fetch(offsets, 0, 1, 2)
    fetch(offsets, 7, partition=P1)
    finish(offsets, 0, 2)
    assert offsets.in_flight() == 3
    assert offsets.in_flight([P0]) == 2
    assert offsets.in_flight([Partition("image_data", 9)]) == 0


class Oracle:
    """The same promise, computed from the whole history every time."""

    def __init__(self) -> None:
        self.fetched: list[int] = []
        self.done: set[int] = set()

    def committable(self) -> int | None:
        """The first offset that is not done, or after all of them; None where that is where it began."""
        if not self.fetched:
            return None
        left = [offset for offset in self.fetched if offset not in self.done]
        answer = left[0] if left else self.fetched[-1] + 1
        return None if answer == self.fetched[0] else answer


@pytest.mark.parametrize("seed", range(40))
def test_it_agrees_with_a_naive_oracle_on_random_histories(seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311 - makes cases, guards no secret
    offsets = Offsets()
    oracles = {P0: Oracle(), P1: Oracle()}
    next_offset = dict.fromkeys(oracles, 0)
    for _ in range(400):
        partition = rng.choice([P0, P1])
        oracle = oracles[partition]
        open_ones = [offset for offset in oracle.fetched if offset not in oracle.done]
        action = rng.random()
        if action < 0.02:
            offsets.forget([partition])
            committed = oracle.committable()
            next_offset[partition] = (committed or 0) if rng.random() < 0.5 else next_offset[partition] + 5
            oracles[partition] = Oracle()
        elif action < 0.5:
            next_offset[partition] += rng.choice([0, 0, 0, 1, 7])
            oracle.fetched.append(next_offset[partition])
            offsets.fetched(at(next_offset[partition], partition))
            next_offset[partition] += 1
        elif action < 0.55:
            stale = rng.choice([-1, *oracle.done])
            offsets.done(at(stale, partition), epoch=offsets.epoch)
        elif open_ones:
            offset = rng.choice(open_ones)
            oracle.done.add(offset)
            offsets.done(at(offset, partition), epoch=offsets.epoch)
        expected = {p: o.committable() for p, o in oracles.items() if o.committable() is not None}
        assert offsets.committable() == expected
        assert offsets.in_flight([partition]) == len(oracles[partition].fetched) - _prefix(oracles[partition])


def _prefix(oracle: Oracle) -> int:
    return next((i for i, offset in enumerate(oracle.fetched) if offset not in oracle.done), len(oracle.fetched))


def test_offsets_that_do_not_come_are_gaps(offsets: Offsets) -> None:
    offsets.begin(P0, 3)
    fetch(offsets, 5, 6, 9)
    fetch(offsets, 40, 41, partition=P1)
    assert offsets.take_gaps() == [Gap(P0, 3, 5), Gap(P0, 7, 9)], (
        "before a first record only where a beginning is known"
    )
    fetch(offsets, 10, 12)
    assert offsets.take_gaps() == [Gap(P0, 11, 12)], "each is told once"


def test_a_partition_that_comes_back_begins_anew(offsets: Offsets) -> None:
    fetch(offsets, 1)
    offsets.forget([P0])
    offsets.begin(P0, 8)
    fetch(offsets, 8)
    assert offsets.take_gaps() == []
    finish(offsets, 8)
    assert offsets.committable() == {P0: 9}
