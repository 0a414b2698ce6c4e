"""How an autoscaler follows what is needed: up at once, down with care, never for want of a metric."""

import pytest

from velox.core.scaling import DOWN, UP, Autoscaler, Behaviour, Limit, Policy, Seen, by_lag, by_rate, shipped

NOTHING = Seen(lag=0, done_per_s=0)


def policy(*, most: int = 100, up: Behaviour = UP, down: Behaviour = DOWN, least: int = 1) -> Policy:
    return Policy("test", (by_lag(10),), least, most, up=up, down=down)


def lag(records: float) -> Seen:
    return Seen(lag=records, done_per_s=None)


def test_up_it_goes_by_four_or_double_whichever_is_more() -> None:
    assert Autoscaler(policy()).decide(0, 1, lag(1000)) == 5
    assert Autoscaler(policy()).decide(0, 20, lag(1000)) == 40


def test_within_a_period_it_goes_no_further_than_the_limit() -> None:
    scaler = Autoscaler(policy(up=Behaviour(0, (Limit(60, replicas=2),))))
    assert scaler.decide(0, 1, lag(1000)) == 3
    assert scaler.decide(15, 3, lag(1000)) == 3
    assert scaler.decide(61, 3, lag(1000)) == 5


def test_down_it_goes_when_the_most_of_the_window_allows_it() -> None:
    scaler = Autoscaler(policy(down=Behaviour(180, (Limit(60, share=0.5),))))
    assert scaler.decide(0, 8, lag(80)) == 8
    assert [scaler.decide(now, 8, lag(10)) for now in (15, 90, 180)] == [8, 8, 8]
    assert scaler.decide(195, 8, lag(10)) == 4
    assert scaler.decide(210, 4, lag(10)) == 4
    assert scaler.decide(256, 4, lag(10)) == 2


def test_a_small_difference_changes_nothing() -> None:
    assert Autoscaler(policy()).decide(0, 10, lag(109)) == 10
    assert Autoscaler(policy()).decide(0, 10, lag(111)) == 12


def test_it_stays_within_its_bounds() -> None:
    assert Autoscaler(policy(least=2)).decide(0, 2, lag(0)) == 2
    assert Autoscaler(policy(most=3)).decide(0, 1, lag(1000)) == 3


def test_without_a_metric_nothing_is_taken_away_and_the_fallback_is_there() -> None:
    silent = Seen(lag=0, done_per_s=None)
    scaler = Autoscaler(shipped(100, least=1, most=12, fallback=3))
    assert scaler.decide(0, 1, silent) == 3
    assert [scaler.decide(now, 6, silent) for now in range(15, 1200, 15)] == [6] * 79


def test_the_other_metric_still_counts_meanwhile() -> None:
    backlog = Seen(lag=80 * 60 * 5, done_per_s=None)
    assert Autoscaler(shipped(100, least=1, most=12)).decide(0, 2, backlog) == 5


@pytest.mark.parametrize(
    ("seen", "replicas"), [(NOTHING, 0), (Seen(0, 80), 1), (Seen(0, 160), 2), (Seen(4800, 80), 2), (Seen(4800, 0), 1)]
)
def test_what_is_needed_is_what_is_done_and_what_waits_shared_out(seen: Seen, replicas: float) -> None:
    assert by_rate(100, drain_s=60)(seen) == pytest.approx(replicas)
