"""What is measured of cameras is what the document shows."""

from benchmarks import report
from benchmarks.cameras import section
from benchmarks.document import read_section


def test_the_page_shows_what_was_recorded() -> None:
    found = report.recorded("cameras")
    expected = "Not recorded yet." if found is None else section(found["introduction"], found["windows"]).strip()
    assert read_section("cameras") == expected, "run `make bench-cameras ARGS=--record`"


def test_a_window_is_shown_by_the_second() -> None:
    window = {
        "lasted_s": 20.0, "decoded": 8000, "published": 7000, "predicted": 6000, "fairness": 0.98765,
        "dropped": {"superseded": 1000, "stale": 20}, "age_p50_ms": 61.4, "age_p95_ms": 204.9, "cpu_s": 36.0,
    }  # fmt: skip
    row = section("Here.", {"with a model": window}).splitlines()[-1]
    assert row == (
        "| with a small model behind them | 400 | 350 | 300 | superseded 50, stale 1 | 61 / 205 | 0.988 | 6.0 |"
    )
