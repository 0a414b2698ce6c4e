"""What the scale benchmark plans, computes and draws, on figures made up here."""

import math
import xml.etree.ElementTree as ET
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest

from benchmarks import report
from benchmarks.plot import draw
from benchmarks.preload import results
from benchmarks.programs import BenchmarkError
from benchmarks.scale_plan import (
    BACKLOG,
    CONSUMERS,
    DOCUMENTS,
    IMAGES,
    LAG,
    LIVE,
    PARTITIONS,
    PROCESSES,
    ROWS,
    Case,
    Plan,
    Snapshot,
    cases,
    full_plan,
    quick_plan,
)
from benchmarks.scale_table import Cost, Point, markdown, panels, rows, short

WHERE = report.Circumstances("2026-11-21", "abc", "a processor", 2, 0.0, "3.11", "2.15")
POINTS = [
    Point("partitions", 1, [Cost(8000.0, 0.08, 0.02), Cost(6000.0, 0.10, 0.02)]),
    Point("partitions", 300, [Cost(7000.0, 0.09, 0.02), Cost(6000.0, 0.076, 0.02)]),
    Point("consumers", 1, [Cost(900.0, 1.0, 4.0), Cost(900.0, 1.0, 4.0)]),
]


def test_a_cost_is_what_was_used_between_two_moments_divided_by_what_was_done() -> None:
    before = Snapshot(10.0, 500.0, {"main 1": 1.0, "inference 2": 5.0})
    after = Snapshot(14.0, 2500.0, {"main 1": 1.5, "inference 2": 6.0, "inference 3": 1.0})
    assert after.cost_since(before) == Cost(records_per_s=500.0, fetcher_ms=0.25, inference_ms=1.0)
    with pytest.raises(BenchmarkError, match="nothing was predicted"):
        replace(before, at=11.0).cost_since(before)


def test_the_cost_of_a_point_is_the_median_of_each_figure() -> None:
    costs = [Cost(1.0, 5.0, 9.0), Cost(2.0, 7.0, 8.0), Cost(3.0, 6.0, 1.0)]
    assert Point("partitions", 1, costs).cost == Cost(2.0, 6.0, 8.0)
    assert Cost(1.0, 2.0, 3.0).cpu_ms == 5.0


def test_a_line_is_compared_with_the_first_of_its_group_round_by_round() -> None:
    first, second = rows(POINTS[:2])
    assert first == ["partitions", "1", "7,000", "0.090", "0.020", "0.110", "1"]
    assert second == ["partitions", "300", "6,500", "0.083", "0.020", "0.103", "0.80 / 0.95 / 1.10"]


def test_the_section_names_circumstances_plot_and_every_point() -> None:
    text = markdown(WHERE, {"rounds": 2, "lasts_s": 4.0, "model": "a model"}, POINTS, plot="scale.svg")
    for part in ("a processor", "](scale.svg)", "2 rounds of 4 s", "| partitions | 300 |", "| consumers | 1 |"):
        assert part in text


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0"), (300, "300"), (8123, "8.12k"), (100_000, "100k"), (1_000_000, "1M")]
)
def test_a_number_on_an_axis_is_short(number: int, text: str) -> None:
    assert short(number) == text


def test_the_plot_has_axes_with_units_a_bar_for_each_value_and_no_background(tmp_path: Path) -> None:
    path = tmp_path / "plot.svg"
    draw(panels(POINTS), path)
    texts = ["".join(element.itertext()).strip() for element in ET.fromstring(path.read_text()).iter()]  # noqa: S314 - our own
    for expected in ("CPU ms per record", "partitions", "consumers", "300", "6.5k/s", "fetcher", "inference processes"):
        assert expected in texts
    assert "fill: #ffffff" not in path.read_text()
    assert path.stat().st_size < 200_000


def test_the_same_figures_give_the_same_plot(tmp_path: Path) -> None:
    for name in ("one", "other"):
        draw(panels(POINTS), tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()


@pytest.mark.parametrize("plan", [full_plan(2, rounds=2), quick_plan()])
def test_every_case_has_a_name_of_its_own_and_a_topic_that_is_filled(plan: Plan) -> None:
    every = list(cases(plan))
    assert len({case.name for case in every}) == len(every) == sum(map(len, plan.values.values()))
    assert {case.topic for case in every} == {IMAGES, LIVE, *plan.filled()}
    first_live = next(index for index, case in enumerate(every) if case.topic == LIVE)
    assert any(case.topic == BACKLOG for case in every[:first_live]), "whose rate the live one gets half of"


def test_a_measurement_is_cut_short_where_records_would_run_out() -> None:
    plan = full_plan(2, rounds=1)
    before = Snapshot(0.0, 10_000.0, {})
    assert plan.warm_up_s == 1.0
    assert plan.window_s(before, math.inf) == plan.window_s(before, 1_000_000) == plan.lasts_s
    assert plan.window_s(before, 30_000) == pytest.approx(0.8 * 2.0), "20,000 left, 10,000 a second"
    assert plan.window_s(before, 10_000) == 0


@pytest.mark.parametrize(
    ("topic", "records"), [(BACKLOG, 200_000), ("lag-300000", 300_000), (IMAGES, 16_000), (LIVE, math.inf)]
)
def test_a_case_has_the_records_of_its_topic(topic: str, records: float) -> None:
    assert full_plan(2, rounds=1).records(Case(LAG, 1, topic)) == records


def test_what_grows_grows_as_far_as_was_promised() -> None:
    values = full_plan(6, rounds=1).values
    assert values[PROCESSES] == [1, 2, 4, 6]
    assert values[CONSUMERS] == [1, 2, 4]
    assert (min(values[PARTITIONS]), max(values[PARTITIONS])) == (1, 300)
    for name in (LAG, DOCUMENTS, ROWS):
        assert (min(values[name]), max(values[name])) == (0, 1_000_000)


def test_what_was_stored_before_has_ids_and_labels_like_results_of_the_model() -> None:
    made = list(islice(results(10), 10))
    assert len({result.id for result in made}) == 10
    assert {result.prediction.label for result in made} == {"numbered_detection", "numbered_other"}
    assert not any(result.id.startswith("verify-") for result in made)
