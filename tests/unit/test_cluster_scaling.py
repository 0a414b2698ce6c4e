"""How many replicas there should be: enough for what comes and what waits, and no up and down."""

from types import SimpleNamespace

import pytest

from velox.cluster.policy import BUSY, CALLS_PER_S, DrainTime
from velox.cluster.scaling import Load, Pulse, Rule, wanted

RULE = Rule(drain_s=10, least=1, most=8)


def load(replicas: int, *, waiting: float = 0, busy: float = 1.0, calls_per_s: float = 5.0) -> Load:
    return Load(replicas, waiting, busy, calls_per_s)


def test_there_are_as_many_more_as_what_waits_takes_to_be_done_in_time() -> None:
    assert wanted(RULE, load(1, waiting=100)) == 3, "one for what comes, two for 100 calls in 10 s at 5 a second"
    assert wanted(RULE, load(1, waiting=100, busy=0.0)) == 2, "nothing comes any more"


def test_never_fewer_or_more_than_allowed() -> None:
    assert wanted(RULE, load(2, waiting=100_000)) == 8
    assert wanted(Rule(10, 3, 8), load(3, busy=0)) == 3
    assert wanted(Rule(10, 0, 8), load(1, busy=0)) == 0


def test_a_little_that_waits_needs_no_other() -> None:
    assert wanted(RULE, load(2, waiting=10)) == 2


def test_there_is_one_fewer_only_where_those_left_have_time_to_spare() -> None:
    assert wanted(RULE, load(4, busy=0.7)) == 4, "three would be busy for 93 % of their time"
    assert wanted(RULE, load(4, busy=0.6)) == 3
    assert wanted(RULE, load(4, busy=0.6, waiting=40)) == 4, "what waits would take too long"
    assert wanted(RULE, load(8, busy=0.0)) == 7, "one at a time"


def test_before_anybody_knows_how_fast_one_is_there_is_one_more_for_what_waits() -> None:
    assert wanted(RULE, load(1, waiting=50, calls_per_s=0)) == 2
    assert wanted(RULE, load(1, waiting=1, calls_per_s=0)) == 1


@pytest.mark.parametrize("arriving", [1.0, 4.0, 4.9, 9.5, 14.0, 22.0])
def test_a_steady_load_settles_on_one_number(arriving: float) -> None:
    """Calls a second come for ten minutes; each replica does five. Decisions are taken every ten seconds."""
    replicas, waiting, seen = 1, 0.0, []
    for _ in range(60):
        capacity = 5.0 * replicas * 10
        work = waiting + 10 * arriving
        waiting = max(0.0, work - capacity)
        replicas = wanted(RULE, load(replicas, waiting=waiting, busy=min(1.0, work / capacity)))
        seen.append(replicas)
    assert len(set(seen[20:])) == 1, seen
    assert waiting == 0
    assert arriving <= 5 * seen[-1]
    assert seen[-1] <= arriving / 5 / 0.8 + 1, "and no more than are needed"


def test_a_pulse_tells_how_busy_it_was_and_how_fast() -> None:
    pulse = Pulse(over_s=10, now=0)
    assert (pulse.busy(0), pulse.calls_per_s(0)) == (0, 0)
    pulse.begins(0)
    pulse.ends(8, 2)
    assert (pulse.busy(4), pulse.calls_per_s(4)) == (0.5, 4)
    pulse.begins(9)
    assert pulse.busy(10) == pytest.approx(0.3), "what goes on counts as well"
    pulse.ends(2, 11)
    assert pulse.busy(14) == pytest.approx(0.2), "the first is long past"
    assert pulse.calls_per_s(14) == 1
    assert (pulse.busy(40), pulse.calls_per_s(40)) == (0, 1), "how fast it is, is remembered"


def test_ray_is_answered_from_what_replicas_report() -> None:
    context = SimpleNamespace(
        capacity_adjusted_min_replicas=1,
        capacity_adjusted_max_replicas=8,
        current_num_replicas=2,
        total_num_requests=102.0,
        aggregated_metrics={BUSY: {"a": 1.0, "b": 1.0}, CALLS_PER_S: {"a": 5.0, "b": 0.0}},
    )
    assert DrainTime(drain_s=10)(context) == (4, {})
    context.aggregated_metrics = None
    assert DrainTime(drain_s=10)(context)[0] == 3
