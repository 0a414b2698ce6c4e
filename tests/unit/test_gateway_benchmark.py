"""What the gateway's benchmark takes for a rate that is sustained, and what it writes."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import pytest

from benchmarks import report
from benchmarks.document import read_section
from benchmarks.gateway import PLAN, QUICK, Plan, introduction, measured
from benchmarks.gateway_table import Measured, highest, rows, section
from scripts.load_test import Plan as LoadPlan
from scripts.load_test import Sample, summary


def run(rate: float, p99_ms: float | None, *, what: str = "accept", store: str = "SQLite", **more: Any) -> Measured:  # noqa: ANN401
    times: Mapping[str, float | None] = {"50": 5.0, "99": p99_ms}
    given = {"result_ms": None, "cpu_ms": 1.25, "load": 3.0, **more}
    return Measured(store=store, what=what, rate=rate, accepted_per_s=rate, accept_ms=dict(times), **given)


@pytest.mark.parametrize(
    ("one", "is_sustained"),
    [
        (run(100, 100.0), True),
        (run(100, 100.1), False),
        (run(100, None), False),
        (run(100, 10.0, problems=["3 × HTTP 503"]), False),
    ],
)
def test_a_rate_is_sustained_when_all_is_accepted_nearly_all_of_it_in_time(one: Measured, is_sustained: bool) -> None:
    assert one.is_sustained is is_sustained


def test_the_highest_rate_that_is_sustained_counts() -> None:
    assert highest([run(50, 9.0), run(100, 300.0), run(100, 90.0), run(200, 300.0)]) == run(100, 90.0)
    assert highest([run(50, 300.0), run(5, 9.0, what="idle")]) is None


def test_what_the_load_test_writes_is_read() -> None:
    samples = [Sample(number / 100, number / 100, number / 100 + 0.01) for number in range(200)]
    samples[0] = Sample(0, 0, problem="HTTP 503")
    told = summary(LoadPlan(url="http://api", requests=200, rate=100.0), samples)
    one = measured("SQLite", "accept", told, cpu_s=0.199, load=1.0)
    assert one.cpu_ms == pytest.approx(1.0)
    assert one.accept_ms["99"] == pytest.approx(10.0)
    assert one.problems == ["1 × HTTP 503"]


def test_what_the_load_test_sends_late_is_told_and_counts_against_the_gateway() -> None:
    told = summary(LoadPlan(url="u", requests=9, rate=1.0), [Sample(at, at + 0.1, at + 0.2) for at in range(9)])
    one = measured("SQLite", "accept", told, cpu_s=0, load=1.0)
    assert one.late_share == 1
    assert one.accept_ms["50"] == pytest.approx(200)


def test_the_table_has_for_each_store_its_best_rate_and_its_results() -> None:
    results: dict[str, float | None] = {"50": 40.0, "99": 80.0}
    taken = [run(50, 9.0), run(100, 20.0), run(200, 300.0), run(5, 8.0, what="idle", result_ms=results)]
    taken.append(run(50, 300.0, store="PostgreSQL"))
    assert rows(taken)[2:] == [
        "| SQLite | accepts, p99 ≤ 100 ms | 100 | 5.0 | 20.0 |  |  | 1.25 |",
        "| SQLite | results, idle | 5 | 5.0 | 8.0 | 40.0 | 80.0 | 1.25 |",
        "| PostgreSQL | accepts, p99 ≤ 100 ms | none | none | none | none | none | none |",
    ]


def test_what_is_kept_of_a_run_is_read_again() -> None:
    taken = [run(50, 9.0), run(5, 8.0, what="idle", result_ms={"50": 40.0, "99": None}, problems=["1 × HTTP 503"])]
    kept = json.loads(json.dumps([asdict(one) for one in taken]))
    read = [Measured(**one) for one in kept]
    assert section("Here.", read) == section("Here.", taken)
    assert "1 × HTTP 503" in section("Here.", read)


def test_the_page_shows_what_was_recorded_of_the_gateway() -> None:
    found = report.recorded("gateway")
    expected = (
        "Not recorded yet."
        if found is None
        else section(found["introduction"], [Measured(**one) for one in found["measured"]])
    )
    assert read_section("gateway") == expected, "run `make bench-gateway ARGS=--record`"


@pytest.mark.parametrize(("plan", "tries"), [(PLAN, "in one of 2 tries"), (QUICK, "within 100 ms.")])
def test_the_page_says_what_the_figures_hold_for(plan: Plan, tries: str) -> None:
    told = introduction(report.circumstances(), plan)
    assert tries in told
    assert f"each rate {plan.factor:g} times the one before" in told
