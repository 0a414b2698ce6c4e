"""Batches are as small as they can be, and nothing waits for company that would save no compute."""

import math
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest

from tests.fakes import FakeClock
from velox.core.batching import Batcher
from velox.core.pace import Curve, FixedPace, Pace

Cost = Callable[[int], float]
"""Seconds that a batch takes."""
BOUND = 32
TARGET_S = 0.080


def linear(count: int) -> float:
    """Images one by one, as with OpenVINO on a CPU."""
    return 0.0001 + 0.003 * count


def affine(count: int) -> float:
    """Much for a batch, little for a record, as on a GPU."""
    return 0.010 + 0.0005 * count


def both(count: int) -> float:
    return 0.005 + 0.001 * count


def steps(count: int) -> float:
    """Batches are filled up to one of three sizes, as with static shapes."""
    return 0.004 if count <= 8 else 0.007 if count <= 16 else 0.012


def taught(cost: Cost, clock: FakeClock | None = None, *, size: int = BOUND) -> Pace:
    """A pace that has seen a few sizes, as after the start."""
    pace = Pace(size=size, target_s=TARGET_S, clock=clock or FakeClock())
    for count in (1, 2, 4, 8, 16, 32):
        pace.computed(count, cost(count))
    return pace


def at_rate(pace: Pace, rate: float, clock: FakeClock) -> Pace:
    """Let records come regularly until the estimate has settled."""
    for _ in range(math.ceil(8 * rate)):
        clock.advance(1 / rate)
        pace.arrived(1)
    return pace


@pytest.mark.parametrize(("batch_s", "record_s"), [(0, 0.003), (0.010, 0.0005), (0.1, 0.1), (0.000001, 0.000050)])
def test_a_curve_is_known_after_a_few_sizes(batch_s: float, record_s: float) -> None:
    curve = Curve()
    for count in (1, 2, 4, 8, 1, 2, 4, 8):
        curve.observe(count, batch_s + count * record_s)
    for count in (1, 8, 32):
        assert curve.seconds(count) == pytest.approx(batch_s + count * record_s, rel=0.1)


def test_noise_averages_out() -> None:
    curve, chance = Curve(), np.random.default_rng(7)
    for n in range(400):
        count = 1 + n % 8
        curve.observe(count, (0.010 + 0.002 * count) * chance.lognormal(0, 0.2))
    assert curve.seconds(1) == pytest.approx(0.012, rel=0.15)
    assert curve.seconds(8) == pytest.approx(0.026, rel=0.15)


@pytest.mark.parametrize("factor", [0.5, 3])
def test_a_machine_that_changes_its_speed_changes_the_level_and_keeps_the_shape(factor: float) -> None:
    curve = Curve()
    for count in (1, 2, 4, 8) * 25:
        curve.observe(count, affine(count))
    for _ in range(200):
        curve.observe(1, factor * affine(1))  # no other size is seen any more
    assert curve.seconds(1) == pytest.approx(factor * affine(1), rel=0.1)
    assert curve.seconds(16) == pytest.approx(factor * affine(16), rel=0.4)


def test_another_shape_is_learnt_from_other_sizes() -> None:
    curve = Curve()
    for count in (1, 2, 4, 8) * 50:
        curve.observe(count, linear(count))
    for count in (1, 2, 4, 8) * 150:
        curve.observe(count, affine(count))
    assert curve.seconds(1) == pytest.approx(affine(1), rel=0.1)
    assert curve.seconds(8) == pytest.approx(affine(8), rel=0.1)


def test_one_long_pause_of_the_machine_says_little() -> None:
    curve = Curve()
    for count in (1, 2, 4, 8) * 25:
        curve.observe(count, affine(count))
    curve.observe(1, 10.0)
    assert curve.seconds(1) < 1.5 * affine(1)


@pytest.mark.parametrize("rate", [1, 10, 100, 1000])
def test_the_rate_is_that_of_the_last_second(rate: int) -> None:
    clock = FakeClock()
    pace = at_rate(Pace(size=8, target_s=1, clock=clock), rate, clock)
    assert pace.rate() == pytest.approx(rate, rel=0.6 if rate == 1 else 0.1)
    clock.advance(5)
    assert pace.rate() < rate / 50


def test_nothing_waits_while_nothing_is_known() -> None:
    pace = Pace(size=8, target_s=TARGET_S, clock=FakeClock())
    pace.arrived(3)
    assert pace.wait_s(3) == 0
    assert pace.take(3) == 3
    assert pace.take(99) == 8


@pytest.mark.parametrize("cost", [linear, affine, both, steps])
def test_a_lone_record_on_an_idle_system_waits_for_nothing(cost: Cost) -> None:
    clock = FakeClock()
    pace = at_rate(taught(cost, clock), 2, clock)
    assert pace.decide()[:2] == (1, 0.0)
    assert pace.wait_s(1) == 0


@pytest.mark.parametrize("rate", [1, 100, 300, 1000, 10_000])
def test_where_a_batch_takes_as_long_as_its_records_nothing_ever_waits(rate: int) -> None:
    clock = FakeClock()
    pace = Pace(size=8, target_s=TARGET_S, clock=clock)
    for count in (1, 2, 4, 8) * 10:
        pace.computed(count, 0.003 * count)
    at_rate(pace, rate, clock)
    assert pace.wait_s(1) == 0
    assert pace.take(8) == 1, "its answer would come later, and no other one earlier"


def test_a_process_that_would_always_compute_waits_for_as_many_as_leave_it_a_tenth_of_its_time() -> None:
    clock = FakeClock()
    pace = at_rate(taught(affine, clock), 200, clock)
    aim, wait_s, *_ = pace.decide()
    assert aim / affine(aim) * 0.9 > 200 >= (aim - 1) / affine(aim - 1) * 0.85
    assert wait_s == pytest.approx((aim - 1) / 200, rel=0.2)
    assert pace.wait_s(aim - 1) == wait_s
    assert pace.wait_s(aim) == 0


def test_waiting_and_computing_take_at_most_half_the_latency_target() -> None:
    clock = FakeClock()
    pace = Pace(size=BOUND, target_s=0.025, clock=clock)
    for count in (1, 2, 4, 8, 16, 32):
        pace.computed(count, affine(count))
    aim, wait_s, *_ = at_rate(pace, 150, clock).decide()
    assert aim > 1
    assert wait_s + affine(aim) == pytest.approx(0.0125, rel=0.1)


def test_with_a_target_that_cannot_be_met_nothing_waits_besides() -> None:
    clock = FakeClock()
    pace = at_rate(taught(lambda count: 10 * affine(count), clock), 50, clock)
    assert pace.decide().wait_s == 0


def test_of_what_waits_all_is_taken_that_saves_compute() -> None:
    assert taught(affine).take(8) == 8
    assert taught(affine).take(500) >= 0.9 * BOUND
    assert taught(linear).take(8) <= 3


def test_now_and_then_a_large_batch_is_tried() -> None:
    pace = taught(linear)
    sizes = [pace.take(20) for _ in range(200)]
    assert sizes.count(20) == 3
    assert max(size for size in sizes if size < 20) <= 4


@pytest.mark.parametrize("waiting", [1, 7, 8, 40])
def test_a_fixed_pace_learns_and_does_not_change(waiting: int) -> None:
    clock = FakeClock()
    fixed = FixedPace(size=8, wait_s=0.010, clock=clock)
    for count in (1, 2, 4, 8):
        fixed.computed(count, linear(count))
    at_rate(fixed, 100, clock)
    assert fixed.take(waiting) == min(waiting, 8)
    assert fixed.wait_s(waiting) == (0.010 if waiting < 8 else 0)
    assert fixed.decide()[:2] == (8, 0.010)
    assert fixed.decide().record_s == pytest.approx(0.003, rel=0.1)


class Run(NamedTuple):
    """What a simulation gave."""

    latencies: list[float]
    computed_s: float

    def took(self, share: float) -> float:
        """Answer the time that this share of the records took at most."""
        return self.latencies[int(share * len(self.latencies))]


def simulate(pace: Pace, clock: FakeClock, cost: Cost, *, rate: float, records: int = 2500) -> Run:
    """Let records come at random to one process, in simulated time."""
    gaps = np.random.default_rng(11).exponential(1 / rate, records)
    batcher = Batcher[float](pace, clock=clock)
    coming = deque((clock() + gaps.cumsum()).tolist())
    took: list[float] = []
    computed_s = 0.0
    while coming or len(batcher):
        while coming and coming[0] <= clock():
            batcher.add([coming[0]], since=coming[0])
            coming.popleft()
        due_s = batcher.due_in_s()
        if due_s == 0:
            batch = batcher.take()
            seconds = cost(len(batch))
            computed_s += seconds
            clock.advance(seconds)
            pace.computed(len(batch), seconds)
            took += [clock() - came for came in batch]
        else:
            until_next_s = coming[0] - clock() if coming else math.inf
            clock.advance(min(math.inf if due_s is None else due_s, until_next_s) + 1e-9)
    return Run(sorted(took), computed_s)


@pytest.mark.parametrize("load", [0.02, 0.1, 0.25, 0.5, 0.75, 0.9])
@pytest.mark.parametrize("cost", [linear, affine, both, steps])
def test_at_no_load_is_any_fixed_size_better(cost: Cost, load: float) -> None:
    rate = load * BOUND / cost(BOUND)
    clock = FakeClock()
    fixed = [
        simulate(FixedPace(size=size, wait_s=0.010, clock=clock), clock, cost, rate=rate) for size in (1, 8, BOUND)
    ]
    adaptive = simulate(taught(cost, clock), clock, cost, rate=rate)
    # A curve of two numbers has no steps: close to the capacity that costs up to a third.
    allowance = 1.33 if cost is steps else 1.12
    for share in (0.5, 0.95, 0.99):
        assert adaptive.took(share) <= allowance * min(run.took(share) for run in fixed), share


@pytest.mark.parametrize("cost", [linear, affine, both, steps])
def test_what_is_learnt_on_the_way_is_as_good(cost: Cost) -> None:
    rate = 0.5 * BOUND / cost(BOUND)
    clock = FakeClock()
    untaught = simulate(Pace(size=BOUND, target_s=TARGET_S, clock=clock), clock, cost, rate=rate)
    known = simulate(taught(cost, clock), clock, cost, rate=rate)
    assert untaught.took(0.99) <= 1.1 * known.took(0.99)


def test_waiting_spares_compute_and_costs_the_slowest_nothing() -> None:
    clock = FakeClock()
    greedy = simulate(FixedPace(size=BOUND, wait_s=0, clock=clock), clock, affine, rate=400)
    patient = simulate(taught(affine, clock), clock, affine, rate=400)
    assert patient.computed_s < 0.93 * greedy.computed_s
    assert patient.took(0.99) < 1.05 * greedy.took(0.99)
