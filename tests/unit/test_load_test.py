"""scripts/load_test.py: how it asks, what it counts as what, and what it computes."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import httpx2
import numpy as np
import pytest
from httpx2 import ASGITransport, MockTransport, Request, Response

from benchmarks import open_loop
from scripts.load_test import Load, Plan, Sample, arguments, lines, percentiles_ms, plot, summary
from tests.gateways import Running

ROOT = Path(__file__).parents[2]
ACCEPTED = {"request_id": "r-1", "status": "pending"}


def run(plan: Plan, transport: httpx2.AsyncBaseTransport) -> Load:
    load = Load(plan, httpx2, lambda done: done)
    asyncio.run(load.run(transport))
    return load


def told(plan: Plan, handler: Callable[[Request], Response]) -> dict[str, object]:
    load = run(plan, MockTransport(handler))
    return summary(plan, load.samples)


@pytest.mark.parametrize("rate", [None, 5000.0])
def test_everything_is_asked_and_its_result_waited_for(rate: float | None) -> None:
    running = Running()
    running.asker.when_asked = running.store.answer
    plan = Plan(url="http://api", requests=25, concurrency=4, rate=rate, waits=True)
    load = run(plan, ASGITransport(running.app))
    figures = summary(plan, load.samples)
    assert (figures["accepted"], figures["results"], figures["errors"]) == (25, 25, {})
    assert len(running.asker.asked) == 25
    assert load.done == 25
    assert all(each.ended_s and each.accepted_s and each.ended_s >= each.accepted_s for each in load.samples)


def test_so_many_ask_at_a_time_and_no_more() -> None:
    at_once: list[int] = [0]
    most: list[int] = []

    async def slow(_: Request) -> Response:
        at_once[0] += 1
        most.append(at_once[0])
        for _turn in range(5):
            await asyncio.sleep(0)
        at_once[0] -= 1
        return Response(202, json=ACCEPTED)

    run(Plan(url="http://api", requests=20, concurrency=3), MockTransport(slow))
    assert max(most) == 3
    assert len(most) == 20


def test_a_latency_of_an_open_loop_counts_from_when_it_was_due() -> None:
    started = perf_counter()
    plan = Plan(url="http://api", requests=50, rate=1e6)
    load = run(plan, MockTransport(lambda _: Response(202, json=ACCEPTED)))
    assert all(each.due_s >= started for each in load.samples)
    assert all(each.due_s <= each.sent_s <= (each.accepted_s or 0) for each in load.samples)


def _raise(error: Exception) -> Callable[[Request], Response]:
    def handler(_: Request) -> Response:
        raise error

    return handler


@pytest.mark.parametrize(
    ("handler", "kind"),
    [
        (lambda _: Response(429, json={}), "HTTP 429"),
        (lambda _: Response(503, text="x"), "HTTP 503"),
        (lambda _: Response(302, headers={"Location": "/"}), "HTTP 302"),
        (lambda _: Response(202, text="<html>"), "an answer that makes no sense"),
        (_raise(httpx2.ConnectError("refused")), "ConnectError"),
        (_raise(httpx2.ReadTimeout("slow")), "no answer in time"),
    ],
)
def test_errors_are_counted_by_kind(handler: Callable[[Request], Response], kind: str) -> None:
    assert told(Plan(url="http://api", requests=3), handler)["errors"] == {kind: 3}


@pytest.mark.parametrize("body", [[], {}, {"id": "r-1"}])
def test_an_answer_that_makes_no_sense_is_an_error(body: object) -> None:
    figures = told(Plan(url="http://api", requests=1), lambda _: Response(202, json=body))
    assert figures["errors"] == {"an answer that makes no sense": 1}


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (Response(200, json={"state": "failed"}), "result: failed"),
        (Response(404, json={}), "result: HTTP 404"),
        (Response(200, json={}), "an answer that makes no sense"),
    ],
)
def test_so_are_results_that_do_not_come(answer: Response, kind: str) -> None:
    def handler(request: Request) -> Response:
        return Response(202, json=ACCEPTED) if request.method == "POST" else answer

    figures = told(Plan(url="http://api", requests=2, waits=True), handler)
    assert (figures["accepted"], figures["results"], figures["errors"]) == (2, 0, {kind: 2})


def test_percentiles_are_those_of_the_benchmarks() -> None:
    seconds = [((number * 7919) % 1000) / 1000 for number in range(1000)]
    found, theirs = percentiles_ms(seconds), open_loop.percentiles(np.array(seconds))
    assert {name: found[name] for name in theirs} == theirs
    assert percentiles_ms([0.1] * 50)["99"] is None


def test_what_the_script_itself_has_added_is_told() -> None:
    samples = [Sample(float(at), at + (0.006 if at < 2 else 0.0), at + 0.01) for at in range(100)]
    figures = summary(Plan(url="http://api", requests=100, rate=1.0), samples)
    assert figures["late_share"] == 0.02
    assert [line for line in lines(figures) if line.startswith("LATE       2.0 % were sent late")]
    assert not [line for line in lines(figures | {"late_share": 0.01}) if line.startswith("LATE")]


def test_figures_read_as_a_table() -> None:
    samples = [Sample(float(at), float(at), at + 0.01, at + 0.5) for at in range(99)]
    samples.append(Sample(99.0, 99.0, problem="HTTP 503"))
    figures = summary(Plan(url="http://api", requests=100, waits=True), samples)
    assert list(lines(figures)) == [
        "100 requests to http://api, 10 at a time",
        "accepted   99 in 99.00 s, 1.0 a second",
        "           p50 10.0 ms  p90 10.0 ms  p95 10.0 ms",
        "results    99",
        "           p50 500.0 ms  p90 500.0 ms  p95 500.0 ms",
        "errors     HTTP 503: 1",
    ]
    assert json.loads(json.dumps(figures)) == figures


def test_a_plot_is_drawn(tmp_path: Path) -> None:
    plot([Sample(float(at), float(at), at + 0.01, at + 0.5) for at in range(9)], tmp_path / "plot.svg")
    assert "<svg" in (tmp_path / "plot.svg").read_text()


@pytest.mark.parametrize("words", [["--requests", "0"], ["--rate", "nan"], ["--rate", "-1"], ["--concurrency", "x"]])
def test_numbers_that_are_none_are_refused(words: list[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        arguments(words)
    assert stopped.value.code == 2


def test_the_script_can_be_read() -> None:
    assert len((ROOT / "scripts" / "load_test.py").read_text().splitlines()) <= 300
