"""What the benchmarks compute and check, on figures made up here."""

import pytest

from benchmarks import soak
from benchmarks.figures import Growth, Spread, agreement, pairwise_ratios
from benchmarks.memory import grown
from benchmarks.throughput import Outcome


def test_a_spread_is_least_median_and_most() -> None:
    assert Spread.of([5.0, 1.0, 3.0]) == Spread(1.0, 3.0, 5.0)
    assert Spread.of([1234.5, 2000.0]).text() == "1,234.5 / 1,617.2 / 2,000.0"


def test_ratios_are_taken_between_runs_of_the_same_round() -> None:
    assert pairwise_ratios([10.0, 30.0], [5.0, 10.0]) == [2.0, 3.0]
    with pytest.raises(ValueError, match="shorter"):
        pairwise_ratios([1.0, 2.0], [1.0])


def test_growth_compares_the_last_quarter_with_the_first() -> None:
    growth = Growth.of([100.0, 100.0, 500.0, 500.0, 500.0, 500.0, 105.0, 115.0])
    assert (growth.first, growth.last) == (100.0, 110.0)
    assert growth.share == pytest.approx(0.1)


def test_growth_of_one_sample_is_none() -> None:
    assert Growth.of([7.0]).share == 0


def test_agreement_counts_only_records_that_both_predicted() -> None:
    assert agreement({1: "a", 2: "b", 3: "c"}, {2: "b", 3: "x", 4: "d"}) == 0.5
    assert agreement({1: "a"}, {2: "a"}) == 0


def test_a_process_seen_too_few_times_is_not_said_to_grow() -> None:
    series = {"main 1": [1.0] * 4 + [2.0] * 4, "inference 2": [1.0, 2.0], "inference 3": [1.0] * 8}
    assert grown(series, limit=0.1) == ["main 1"]


def test_an_outcome_counts_cpu_time_per_document_stored_in_the_steady_part() -> None:
    outcome = Outcome(
        design="velox",
        documents=150,
        files=150,
        first_s=5.0,
        total_s=15.0,
        steady_per_s=10.0,
        cpu_s={"main": 1.0, "inference": 9.0},
        labels={},
    )
    assert outcome.cpu_ms_each == {"main": 10.0, "inference": 90.0}
    assert outcome.end_to_end_per_s == 10.0


def test_a_soak_names_what_grew_and_forgives_a_single_file() -> None:
    series = {"memory, MiB": [100.0] * 4 + [120.0] * 4, "open files": [5.0] * 4 + [6.0] * 4, "threads": [9.0] * 8}
    assert soak.grown(series, limit=0.1) == ["memory, MiB grew from 100.0 to 120.0"]
