"""At a fixed pace, a batch is due at its size or its first item's timeout, whichever comes first."""

import pytest

from tests.fakes import FakeClock
from velox.core.batching import Batcher
from velox.core.pace import FixedPace


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def batcher(clock: FakeClock) -> Batcher[int]:
    return Batcher(FixedPace(size=4, wait_s=0.010, clock=clock), clock=clock)


def test_nothing_is_due_while_nothing_waits(batcher: Batcher[int]) -> None:
    assert batcher.due_in_s() is None
    assert batcher.waited_s() == 0
    assert batcher.take() == []


def test_a_full_batch_is_due_at_once(batcher: Batcher[int]) -> None:
    batcher.add([1, 2, 3])
    assert batcher.due_in_s() != 0
    batcher.add([4])
    assert batcher.due_in_s() == 0


def test_a_partial_batch_is_due_after_its_timeout(batcher: Batcher[int], clock: FakeClock) -> None:
    batcher.add([1])
    assert batcher.due_in_s() == pytest.approx(0.010)
    clock.advance(0.009)
    assert batcher.due_in_s() == pytest.approx(0.001)
    clock.advance(0.002)
    assert batcher.due_in_s() == 0


def test_later_items_do_not_put_the_timeout_off(batcher: Batcher[int], clock: FakeClock) -> None:
    batcher.add([1])
    clock.advance(0.008)
    batcher.add([2, 3])
    assert batcher.due_in_s() == pytest.approx(0.002)


def test_what_is_left_over_keeps_its_own_time_of_arrival(batcher: Batcher[int], clock: FakeClock) -> None:
    batcher.add([1, 2, 3])
    clock.advance(0.006)
    batcher.add([4, 5])
    assert batcher.take() == [1, 2, 3, 4]
    assert batcher.due_in_s() == pytest.approx(0.010)


def test_the_time_spent_on_the_way_counts(batcher: Batcher[int], clock: FakeClock) -> None:
    batcher.add([1], since=clock() - 0.007)
    assert batcher.waited_s() == pytest.approx(0.007)
    assert batcher.due_in_s() == pytest.approx(0.003)


def test_a_start_in_the_future_makes_no_negative_wait(batcher: Batcher[int], clock: FakeClock) -> None:
    batcher.add([1], since=clock() + 1)
    assert batcher.waited_s() == 0


def test_batches_keep_the_order_and_never_exceed_the_size(batcher: Batcher[int]) -> None:
    batcher.add(range(10))
    assert [batcher.take(), batcher.take(), batcher.take()] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert len(batcher) == 0


def test_a_timeout_of_zero_holds_nothing_back(clock: FakeClock) -> None:
    batcher = Batcher[int](FixedPace(size=4, wait_s=0, clock=clock), clock=clock)
    batcher.add([1])
    assert batcher.due_in_s() == 0
