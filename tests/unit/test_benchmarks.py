"""What the benchmarks compute and check, on figures made up here."""

from math import ceil
from pathlib import Path
from typing import Any

import pytest

from benchmarks import latency_table, report, scale_table, soak
from benchmarks.document import PERFORMANCE, read_section, table, write_section
from benchmarks.figures import Growth, Spread, agreement, pairwise_ratios
from benchmarks.peers import outcomes
from benchmarks.report import Circumstances
from benchmarks.throughput.variants import VELOX
from velox import processor


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


def test_a_soak_names_what_grew_and_forgives_a_single_file() -> None:
    series = {"memory, MiB": [100.0] * 4 + [120.0] * 4, "open files": [5.0] * 4 + [6.0] * 4, "threads": [9.0] * 8}
    assert soak.grown(series, limit=0.1) == ["memory, MiB grew from 100.0 to 120.0"]


def test_a_table_has_its_titles_a_line_below_them_and_a_line_for_each_row() -> None:
    assert table(["what", ""], [["a", "1"], ["b", ""]]) == ["| what |  |", "|---|---|", "| a | 1 |", "| b |  |"]


def test_a_section_is_replaced_and_all_around_it_stays(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# Page\n<!-- a: begin -->\nold\n<!-- a: end -->\ntext\n<!-- b: begin -->\nother\n<!-- b: end -->\n"
    )
    write_section("a", "\n| new |\n\n", page=page)
    assert read_section("a", page=page) == "| new |"
    assert read_section("b", page=page) == "other"
    assert page.read_text().startswith("# Page\n<!-- a: begin -->\n| new |\n<!-- a: end -->\ntext\n")


@pytest.mark.parametrize(
    "text", ["", "<!-- a: begin -->", "<!-- a: end --><!-- a: begin -->", 2 * "<!-- a: begin --><!-- a: end -->"]
)
def test_a_page_without_exactly_that_section_is_left_as_it_was(tmp_path: Path, text: str) -> None:
    page = tmp_path / "page.md"
    page.write_text(text)
    with pytest.raises(ValueError, match="one section a is expected"):
        write_section("a", "new", page=page)
    assert page.read_text() == text


@pytest.mark.parametrize("name", ["throughput", "latency", "scale", "peers", "kills", "accepts", "texts"])
def test_the_performance_page_has_a_section_for_each_benchmark(name: str) -> None:
    assert read_section(name)


def test_what_is_recorded_is_read_again(tmp_path: Path) -> None:
    where = report.Circumstances("2026-11-21", "abc", "a processor", 2, 0.0, "3.11", "2.15")
    assert report.recorded("speed", folder=tmp_path) is None
    report.record("speed", where, {"images_per_s": 5}, folder=tmp_path)
    found = report.recorded("speed", folder=tmp_path)
    assert found is not None
    assert (found["images_per_s"], found["circumstances"]["cpu"]) == (5, "a processor")


def test_a_new_record_says_what_the_processor_can_compute_with(tmp_path: Path) -> None:
    where = report.circumstances()
    report.record("speed", where, {}, folder=tmp_path)
    found = report.recorded("speed", folder=tmp_path)
    assert found is not None
    assert found["circumstances"]["capabilities"] == list(processor.capabilities())
    assert f"{where.cores} cores of {where.cpu}" in where.text()
    assert all(capability in where.text() for capability in where.capabilities)


@pytest.mark.parametrize("name", ["throughput", "latency", "scale", "peers"])
def test_every_record_says_what_its_processor_can_compute_with_and_its_page_too(name: str) -> None:
    where = recorded(name)["circumstances"]
    assert where["capabilities"]
    assert f"({', '.join(where['capabilities'])})" in read_section(name)


def recorded(name: str) -> dict[str, Any]:
    found = report.recorded(name)
    assert found is not None
    return found


def test_the_page_shows_the_recorded_latencies() -> None:
    found = recorded("latency")
    measured = [latency_table.Measured(**one) for one in found["measured"]]
    where = Circumstances(**found["circumstances"])
    assert read_section("latency") == latency_table.markdown(where, found, measured), "run `make bench-latency`"


def test_the_page_shows_what_was_recorded_of_growth() -> None:
    found = recorded("scale")
    points = [
        scale_table.Point(**{**point, "rounds": [scale_table.Cost(**cost) for cost in point["rounds"]]})
        for point in found["points"]
    ]
    where = Circumstances(**found["circumstances"])
    assert read_section("scale") == scale_table.markdown(where, found, points, plot="scale.svg"), "make bench-scale"


def test_the_page_shows_the_recorded_peers() -> None:
    found = recorded("peers")
    rows = [outcomes.Row(**{**row, "runs": tuple(outcomes.Run(**run) for run in row["runs"])}) for row in found["rows"]]
    assert read_section("peers") == outcomes.section(found["introduction"], rows).strip(), "run `make bench-peers`"


def test_the_page_calculates_a_large_rate_from_the_recorded_costs() -> None:
    scene = recorded("throughput")["scenes"][0]
    cost, use, per_s, replicas = scene["designs"][VELOX.name]["cpu_ms"], 0.7, 10_000, 3
    cores = {name: per_s * ms / 1000 / use for name, ms in cost.items()}
    produced_mb = per_s * scene["image_bytes"] / 1e6
    rows = table(
        ["for 10,000 shapes a second", ""],
        [
            ["cores of consumers", f"{cores['fetcher'] + cores['inference']:.0f}"],
            ["consumers, and so partitions, at least", str(ceil(cores["fetcher"]))],
            ["from producers, and to consumers", f"{produced_mb:.0f} MB/s"],
            ["into brokers with three replicas", f"{produced_mb * replicas:.0f} MB/s"],
            ["on brokers' disks, an hour", f"{produced_mb * replicas * 3600 / 1e6:.2f} TB"],
        ],
    )
    assert "\n".join(rows) in PERFORMANCE.read_text(), "\n".join(rows)
