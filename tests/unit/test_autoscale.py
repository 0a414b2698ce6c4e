"""Policies under loads: the one that the chart ships is beaten by none, and the command says what was simulated."""

from pathlib import Path

import pytest

from velox.cli import main
from velox.core.scaling import Policy, by_lag, others, shipped
from velox.errors import SettingsError
from velox.tools.autoscale.simulation import Outcome, simulate
from velox.tools.autoscale.traces import DRAWN, Trace, named

RATE = 100.0
PAGE = Path(__file__).parents[2] / "docs/production.md"


def still(replicas: int) -> Policy:
    return Policy("still", (by_lag(1e9),), replicas, replicas)


def outcome(*, reversals: int = 0, age_s: int = 0, minutes: float = 0) -> Outcome:
    return Outcome("p", "t", reversals, age_s, 0, minutes, 0, (), ())


@pytest.mark.parametrize("name", DRAWN)
def test_the_shipped_policy_is_beaten_by_none_in_any_trace(name: str) -> None:
    trace = named(name)
    ours = simulate(shipped(RATE, least=1, most=12), trace, RATE)
    theirs = [simulate(policy, trace, RATE) for policy in others(RATE, least=1, most=12)]
    assert [other.policy for other in theirs if ours.is_beaten_by(other)] == []
    # And it turns round less often than what looks at the lag alone, as KEDA is set by default.
    assert all(ours.reversals <= other.reversals for other in theirs[1:])


def test_to_be_beaten_is_to_be_worse_in_something_and_better_in_nothing() -> None:
    ours = outcome(reversals=2, age_s=10, minutes=100)
    assert ours.is_beaten_by(outcome(reversals=2, age_s=9, minutes=100))
    assert not ours.is_beaten_by(outcome(reversals=2, age_s=10, minutes=100))
    assert not ours.is_beaten_by(outcome(reversals=0, age_s=0, minutes=101))


def test_enough_replicas_have_no_lag_and_too_few_get_ever_older() -> None:
    load = Trace("load", (200.0,) * 600)
    enough = simulate(still(3), load, RATE)
    assert (enough.worst_age_s, enough.late_share, enough.replica_minutes) == (0, 0, 30)
    few = simulate(still(1), load, RATE)
    assert few.worst_age_s == pytest.approx(300, abs=2)
    assert few.lag[-1] == pytest.approx(600 * 100)


def test_a_broker_that_is_away_makes_records_as_old_as_it_was_away() -> None:
    away = Trace("away", (100.0,) * 600, broker_away=(range(100, 160),))
    assert simulate(still(4), away, RATE).worst_age_s == 60 - 1


def test_after_a_restart_nothing_is_done_until_they_have_started() -> None:
    restarted = Trace("restart", (100.0,) * 600, start_s=30, restarts=(100,))
    assert simulate(still(4), restarted, RATE).worst_age_s == pytest.approx(30 + 3, abs=1)


def test_a_file_is_a_trace_and_one_that_is_wrong_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "monday.csv"
    file.write_text("10\n20,ignored\n\n0.5\n")
    assert named(str(file)) == Trace("monday", (10.0, 20.0, 0.5))
    file.write_text("10\n-1\n")
    with pytest.raises(SettingsError, match="line 2: '-1' is no number of records"):
        named(str(file))
    with pytest.raises(SettingsError, match="neither a trace"):
        named("nothing.csv")


def test_the_page_shows_what_the_command_prints(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["autoscale", "simulate"]) == 0
    assert capsys.readouterr().out in PAGE.read_text()


def test_a_picture_is_drawn_and_bounds_that_make_no_sense_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "step.svg"
    assert main(["autoscale", "simulate", "step", "--plot", str(picture)]) == 0
    assert "<svg" in picture.read_text()
    assert main(["autoscale", "simulate", "--least", "5", "--most", "2"]) == 2
    assert "--least 5 --most 2" in capsys.readouterr().err
