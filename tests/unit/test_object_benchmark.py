"""What is measured of downloads, and how it is written into the documents."""

from dataclasses import asdict
from typing import Any

from benchmarks import report
from benchmarks.document import read_section
from benchmarks.peers.object_outcomes import Row, section
from benchmarks.peers.objects import DELAYS_MS, ONE, THREADS
from benchmarks.peers.window import Window
from velox.settings import Settings


def _section(found: dict[str, Any]) -> str:
    rows = [Row(**{**row, "windows": [Window(**one) for one in row["windows"]]}) for row in found["rows"]]
    return section(found["introduction"], rows, base=ONE)


def test_the_page_shows_what_was_recorded_of_objects() -> None:
    found = report.recorded("objects")
    expected = "Not recorded yet." if found is None else _section(found).strip()
    assert read_section("objects") == expected, "run `make bench-objects ARGS=--record`"


def test_each_system_is_compared_with_one_at_a_time_at_the_same_distance_in_the_same_round() -> None:
    def row(system: str, delay_ms: int, *objects: int) -> Row:
        windows = [Window(count=count, lasted_s=2.0, cpu_s=1.0) for count in objects]
        return Row(what="download", delay_ms=delay_ms, system=system, windows=windows)

    rows = [row(ONE, 0, 200, 100), row("own", 0, 1000, 1000), row(ONE, 20, 40, 40), row("own", 20, 800, 800)]
    lines = _section({"introduction": "Here.", "rows": [asdict(each) for each in rows]}).splitlines()
    assert lines[4:] == [
        f"| download | 0 | {ONE} | 50.0 / 75.0 / 100.0 | 1.00 × | 7.50 |",
        "| download | 0 | own | 500.0 / 500.0 / 500.0 | 7.50 × | 1.00 |",
        f"| download | 20 | {ONE} | 20.0 / 20.0 / 20.0 | 1.00 × | 25.00 |",
        "| download | 20 | own | 400.0 / 400.0 / 400.0 | 20.00 × | 1.25 |",
    ]


def test_as_many_are_downloaded_at_a_time_as_by_default_near_and_far() -> None:
    assert Settings.model_fields["downloads"].default == THREADS
    assert DELAYS_MS == (0, 5, 20)
