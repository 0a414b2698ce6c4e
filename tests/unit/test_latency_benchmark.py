"""What the latency benchmark plans, computes and refuses to call a result."""

import struct
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import report, stamps
from benchmarks.latency import PLAN, VARIANTS, Plan, pool, steady_rate
from benchmarks.latency_table import Measured, comparisons, markdown, row
from benchmarks.open_loop import Run, Times, due_times, percentiles, problems
from velox.settings import Settings
from velox.tools.verify.numbered import Records

WHERE = report.Circumstances("2026-11-21", "abc", "a processor", 2, 0.0, "3.11", "2.15")


def times(*values: float) -> Times:
    return np.array(values, dtype=np.float64)


def measured(variant: str, p50: float, *, problems: tuple[str, ...] = ()) -> Measured:
    values: Mapping[str, float | None] = {"50": p50, "95": 2 * p50, "99": 3 * p50, "99.9": None}
    return Measured(variant, 50, 100.0, 1234, values, 2.5, 0.0, problems)


def test_a_plan_is_the_same_for_every_variant_and_keeps_its_rate() -> None:
    due = due_times(200.0, lasts_s=50.0, seed=3)
    assert np.array_equal(due, due_times(200.0, lasts_s=50.0, seed=3))
    assert not np.array_equal(due, due_times(200.0, lasts_s=50.0, seed=4))
    assert len(due) == 10_000
    assert due[-1] == pytest.approx(50.0, rel=0.05)
    gaps = np.diff(due)
    assert gaps.min() >= 0
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.1), "as spread as exponential gaps are"


def test_a_steady_plan_has_equal_gaps_and_at_least_one_record() -> None:
    assert due_times(4.0, lasts_s=1.0, seed=0, is_steady=True).tolist() == [0.0, 0.25, 0.5, 0.75]
    assert len(due_times(0.1, lasts_s=1.0, seed=0)) == 1


def test_a_latency_counts_from_when_a_record_was_due_though_the_generator_was_held_up() -> None:
    due = times(0.0, 1.0, 2.0, 3.0)
    stalled = Run(due, sent=times(0.0, 4.0, 4.0, 4.0), stored=times(0.5, 4.5, 4.5, 4.5))
    assert stalled.latencies_s.tolist() == [0.5, 3.5, 2.5, 1.5], "not 0.5 each, as from when they were sent"


def test_the_first_records_may_be_left_out() -> None:
    due = times(10.0, 10.9, 11.0, 12.0)
    run = Run(due, sent=due, stored=due + times(9.0, 9.0, 0.1, 0.2), warm_up_s=1.0)
    assert run.latencies_s.tolist() == pytest.approx([0.1, 0.2])


def test_what_was_never_stored_took_for_ever_and_makes_the_figures_invalid() -> None:
    due = times(0.0, 1.0)
    run = Run(due, sent=due, stored=times(0.5, np.nan))
    assert run.latencies_s.tolist() == [0.5, np.inf]
    assert problems([run]) == ["1 of 2 records not stored"]


@pytest.mark.parametrize(("late", "is_valid"), [(1, True), (2, False)])
def test_figures_are_invalid_when_more_than_one_record_in_a_hundred_was_sent_late(late: int, is_valid: bool) -> None:
    due = np.arange(100.0)
    sent = due.copy()
    sent[:late] += 0.006
    run = Run(due, sent, stored=due + 1)
    assert run.late_share == late / 100
    assert (problems([run]) == []) is is_valid


def test_a_record_that_was_never_sent_was_sent_late() -> None:
    due = times(0.0, 1.0)
    assert Run(due, sent=times(0.0, np.nan), stored=due).late_share == 0.5


def test_a_percentile_is_a_sample_that_as_many_reach() -> None:
    found = percentiles(np.arange(1, 1001) / 1000)
    assert found == {"50": 501.0, "95": 951.0, "99": 991.0, "99.9": 1000.0}
    assert percentiles(np.array([0.010, 0.020]))["50"] == 20.0, "not 15, which nobody saw"


def test_a_percentile_beyond_which_no_sample_can_lie_is_not_given() -> None:
    assert percentiles(np.ones(999))["99.9"] is None
    assert percentiles(np.ones(1000))["99.9"] == 1000.0
    assert percentiles(np.ones(19))["95"] is None


def test_a_capacity_is_what_was_stored_while_records_came_in() -> None:
    due = np.linspace(0.0, 8.0, 800)
    run = Run(due, sent=due, stored=np.arange(800) / 50.0)
    assert steady_rate(run, until_s=8.0) == pytest.approx(50.0)


def test_a_stamp_is_the_first_time_a_record_was_stored(tmp_path: Path) -> None:
    noted = [(2, 7.0), (0, 5.0), (0, 6.0), (2, 4.0)]
    (tmp_path / "stored.stamps").write_bytes(b"".join(struct.pack("<qd", *one) for one in noted))
    assert stamps.count(tmp_path) == 4
    stored = stamps.read(tmp_path, 3)
    assert stored[[0, 2]].tolist() == [5.0, 4.0]
    assert np.isnan(stored[1])


def test_nothing_is_counted_before_there_is_a_file(tmp_path: Path) -> None:
    assert stamps.count(tmp_path) == 0


def test_the_number_of_a_record_is_read_from_its_id() -> None:
    records = Records(run="load", codec=Settings.model_construct().codec, poison=0.0, source=None)
    assert stamps.number(records.id(1234)) == 1234


def test_a_line_says_why_it_is_not_valid() -> None:
    good = measured("batch 8", 10.0)
    assert row(good) == ["50 %", "100", "batch 8", "10.0", "20.0", "30.0", "–", "2.5", "1234", ""]
    assert row(replace(good, problems=["late"]))[-1] == "**invalid**: late"


def test_what_is_ours_is_compared_with_the_best_valid_one() -> None:
    rivals = [measured("batch 1", 20.0), measured("batch 8", 1.0, problems=("late",)), measured("adaptive", 10.0)]
    assert list(comparisons(rivals)) == [
        "- 50 %: adaptive has p50 0.50 × that of the best fixed one (batch 1), "
        "p99 0.50 × that of the best fixed one (batch 1)"
    ]
    assert list(comparisons(rivals[1:])) == ["- 50 %: nothing valid to compare"]


def test_the_section_names_circumstances_settings_and_overhead() -> None:
    figures = {
        "model": "a model",
        "variants": {"batch 8": {"BATCH_SIZE": "8"}, "adaptive": {"BATCH_TIMEOUT_MS": "auto"}},
        "plan": {"rounds": 2, "lasts_s": 14.0, "warm_up_s": 1.5},
        "capacity_per_s": 400.0,
        "idle": {"bare_ms": 4.0, "bare_in_a_row_ms": 3.0, "through_everything_ms": 9.0},
    }
    text = markdown(WHERE, figures, [measured("batch 8", 10.0), measured("adaptive", 5.0)])
    for part in (
        "a processor",
        "400 records/s",
        "batch 8: `BATCH_SIZE=8`",
        "5.0 ms for Kafka",
        "| 50 % | 100 | adaptive",
    ):
        assert part in text


def test_variants_differ_only_in_how_they_batch_and_one_adapts() -> None:
    assert VARIANTS["adaptive"] == {"BATCH_TIMEOUT_MS": "auto"}
    assert {name for settings in VARIANTS.values() for name in settings} == {"BATCH_SIZE", "BATCH_TIMEOUT_MS"}


def test_the_runs_of_a_variant_under_a_load_count_as_one() -> None:
    due = np.arange(4.0)
    quick = Run(due, sent=due, stored=due + 0.1)
    slow = Run(due, sent=due, stored=np.array([0.3, 1.3, 2.3, np.nan]))
    both = pool("adaptive", 90, 1.0, [(quick, 1.0), (slow, 3.0)])
    assert both.samples == 8
    assert both.percentiles_ms["50"] == pytest.approx(300)  # the upper of the two in the middle
    assert both.mean_batch == 2
    assert both.problems == ["1 of 8 records not stored"]


def test_all_loads_fit_into_ten_minutes() -> None:
    assert runs_s(PLAN) < 560


def runs_s(plan: Plan) -> float:
    """About 3 s go by around each run: a consumer starts and ends."""
    return (plan.lasts_s + 3) * plan.rounds * len(plan.loads) * len(VARIANTS) + 2 * plan.idle_s
