"""What is measured of frames on Ray, and how it is written into the document."""

from threading import Semaphore

import pytest

from benchmarks import report
from benchmarks.cluster.__main__ import NAMES, PAGE, section
from benchmarks.cluster.window import family_cpu_s, measure
from benchmarks.document import read_section


def test_the_page_shows_what_was_recorded() -> None:
    found = report.recorded("cluster")
    expected = "Not recorded yet." if found is None else section(found["introduction"], found["windows"]).strip()
    assert read_section("cluster", page=PAGE) == expected, "run `make bench-cluster ARGS=--record`"


def test_the_page_says_how_many_replicas_there_were_under_the_load_script() -> None:
    found = report.recorded("elastic")
    assert found is not None
    steps = found["steps"]
    assert f"there were {', '.join(map(str, steps))} replicas" in PAGE.read_text()
    turn = steps.index(max(steps))
    assert steps == sorted(steps[:turn]) + sorted(steps[turn:], reverse=True), "up once, and down once"


def test_each_way_is_compared_with_the_plain_one() -> None:
    found = {
        "http_naive_16": {"frames": 300, "lasted_s": 10.0, "cpu_s": 15.0},
        "handle_list": {"frames": 4500, "lasted_s": 10.0, "cpu_s": 18.0},
    }
    assert section("Here.", found).splitlines()[4:] == [
        f"| {NAMES['http_naive_16']} | 30 | 1.0 × | 50.0 |",
        f"| {NAMES['handle_list']} | 450 | 15.0 × | 4.0 |",
    ]


def test_all_threads_steps_are_counted_and_what_they_compute() -> None:
    asked: list[float] = []
    steps = Semaphore(0)

    def step() -> int:
        sum(range(10_000))
        steps.release()
        return 3

    def pause(seconds: float) -> None:
        asked.append(seconds)
        for _ in range(40):
            steps.acquire()

    window = measure(step, lasts_s=2.0, at_a_time=2, pause=pause)
    assert window.frames >= 3 * 30
    assert window.frames % 3 == 0
    assert asked == [pytest.approx(0.6), 2.0]
    assert 0 <= window.cpu_s <= family_cpu_s()
