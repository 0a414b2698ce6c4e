"""Asks a gateway a lot and says how that went: ``python scripts/load_test.py --help``. Needs only httpx2, or httpx.

With ``--concurrency`` so many users ask one after the other (a closed loop: a slow gateway is asked less). With
``--rate`` questions come when they are due, whatever the gateway does (an open loop), and latencies count from then.
"""

import argparse
import asyncio
import json
import random
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from importlib import import_module
from math import ceil
from pathlib import Path
from typing import Any, Final

QUANTILES: Final[Mapping[str, int]] = {"50": 2, "90": 10, "95": 20, "99": 100, "99.9": 1000}
"""Percentiles as they are written, and how many samples it takes to know one."""
LATE_S: Final = 0.005
"""A question sent later than this after it was due was sent late."""
LATE_SHARE: Final = 0.01
"""More late ones than this, and a part of the latencies is this script's."""
_WAIT_S: Final = 20
_MOST_CONNECTIONS: Final = 1000
_TEXTS: Final = (
    "I love this product!",
    "This is horrible, I want my money back.",
    "The weather was fine and the food was great.",
    "Not what I had hoped for.",
)


@dataclass(slots=True)
class Sample:
    """What became of one question; seconds on one clock, None = never."""

    due_s: float
    sent_s: float
    accepted_s: float | None = None
    ended_s: float | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is asked, and how."""

    url: str
    requests: int
    concurrency: int = 10
    rate: float | None = None
    """Questions a second; None = a closed loop."""
    waits: bool = False
    """Whether to wait for results."""
    timeout_s: float = 30.0
    api_key: str | None = None
    text: str | None = None


Bar = Callable[[int], object]
"""Shows how many questions are done."""


@dataclass(slots=True)
class Load:
    """The questions of one run, being asked."""

    plan: Plan
    http: Any
    """httpx2, or httpx."""
    show: Bar
    samples: list[Sample] = field(default_factory=list)
    done: int = 0

    async def run(self, transport: object = None) -> None:
        """Ask everything; ``transport`` is for tests."""
        async with self._client(transport) as client:
            if self.plan.rate is None:
                numbers = iter(range(self.plan.requests))
                users = (self._user(client, numbers) for _ in range(min(self.plan.concurrency, self.plan.requests)))
                await asyncio.gather(*users)
            else:
                await self._on_time(client, self.plan.rate)

    @asynccontextmanager
    async def _client(self, transport: object) -> AsyncIterator[Any]:
        most = self.plan.concurrency if self.plan.rate is None else _MOST_CONNECTIONS
        headers = {} if self.plan.api_key is None else {"Authorization": f"Bearer {self.plan.api_key}"}
        async with self.http.AsyncClient(
            base_url=self.plan.url,
            timeout=self.plan.timeout_s,
            limits=self.http.Limits(max_connections=most, max_keepalive_connections=most),
            headers=headers,
            **({} if transport is None else {"transport": transport}),
        ) as client:
            yield client

    async def _user(self, client: Any, numbers: Iterator[int]) -> None:  # noqa: ANN401 - of either library
        for number in numbers:
            await self._one(client, number, time.perf_counter())

    async def _on_time(self, client: Any, rate: float) -> None:  # noqa: ANN401 - of either library
        """Ask as many users would who know nothing of each other: with exponential gaps, the same in each run."""
        gaps, due_s = random.Random(1), time.perf_counter()  # noqa: S311 - no secret
        async with asyncio.TaskGroup() as group:
            for number in range(self.plan.requests):
                due_s += gaps.expovariate(rate)
                await asyncio.sleep(max(0.0, due_s - time.perf_counter()))
                group.create_task(self._one(client, number, due_s))

    async def _one(self, client: Any, number: int, due_s: float) -> None:  # noqa: ANN401 - of either library
        sample = Sample(due_s, time.perf_counter())
        self.samples.append(sample)
        try:
            text = self.plan.text or _TEXTS[number % len(_TEXTS)]
            answer = await client.post("/predict", json={"text": text})
            if not answer.is_success:
                sample.problem = f"HTTP {answer.status_code}"
                return
            identity = answer.json()["request_id"]
            sample.accepted_s = time.perf_counter()
            if self.plan.waits:
                await self._wait(client, identity, sample)
        except self.http.TimeoutException:
            sample.problem = "no answer in time"
        except self.http.HTTPError as error:
            sample.problem = type(error).__name__
        except (ValueError, LookupError, TypeError):
            sample.problem = "an answer that makes no sense"
        finally:
            self.done += 1
            self.show(self.done)

    async def _wait(self, client: Any, identity: str, sample: Sample) -> None:  # noqa: ANN401 - of either library
        until_s = time.perf_counter() + self.plan.timeout_s
        while (left_s := until_s - time.perf_counter()) > 0:
            wait_s = min(_WAIT_S, left_s)
            answer = await client.get(
                f"/v1/requests/{identity}", params={"wait": f"{ceil(1000 * wait_s)}ms"}, timeout=wait_s + 10
            )
            state = answer.json()["state"] if answer.is_success else f"HTTP {answer.status_code}"
            if state == "completed":
                sample.ended_s = time.perf_counter()
                return
            if state != "pending":
                sample.problem = f"result: {state}"
                return
        sample.problem = "no result in time"


def percentiles_ms(seconds: Sequence[float]) -> dict[str, float | None]:
    """Answer percentiles, exact: each is one of the samples, never better than its rank asks for; None = too few."""
    ranked = sorted(seconds)
    return {
        name: 1000 * ranked[ceil(float(name) / 100 * (len(ranked) - 1))] if len(ranked) >= enough else None
        for name, enough in QUANTILES.items()
    }


def summary(plan: Plan, samples: Sequence[Sample]) -> dict[str, Any]:
    """Put together what is told of a run."""
    accepted = [each for each in samples if each.accepted_s is not None]
    ended = [each for each in samples if each.ended_s is not None]
    ends = [max(each.accepted_s or each.sent_s, each.ended_s or 0.0) for each in samples]
    lasted_s = max(ends) - min(each.due_s for each in samples)
    late = sum(each.sent_s - each.due_s > LATE_S for each in samples) / len(samples)
    return {
        "url": plan.url,
        "loop": "closed" if plan.rate is None else "open",
        "requests": len(samples),
        "concurrency": plan.concurrency if plan.rate is None else None,
        "rate": plan.rate,
        "lasted_s": lasted_s,
        "accepted": len(accepted),
        "accepted_per_s": len(accepted) / lasted_s if lasted_s > 0 else None,
        "accept_ms": percentiles_ms([(each.accepted_s or 0.0) - each.due_s for each in accepted]),
        "results": len(ended) if plan.waits else None,
        "result_ms": percentiles_ms([(each.ended_s or 0.0) - each.due_s for each in ended]) if plan.waits else None,
        "errors": dict(Counter(each.problem for each in samples if each.problem).most_common()),
        "late_share": late,
    }


def lines(told: Mapping[str, Any]) -> Iterator[str]:
    """Write a summary for people."""
    how = f"{told['concurrency']} at a time" if told["rate"] is None else f"{told['rate']:g} a second, due at random"
    yield f"{told['requests']} requests to {told['url']}, {how}"
    rate = f", {told['accepted_per_s']:.1f} a second" if told["accepted_per_s"] else ""
    yield f"accepted   {told['accepted']} in {told['lasted_s']:.2f} s{rate}"
    yield f"           {_row(told['accept_ms'])}"
    if told["results"] is not None:
        yield f"results    {told['results']}"
        yield f"           {_row(told['result_ms'])}"
    yield "errors     " + (", ".join(f"{kind}: {count}" for kind, count in told["errors"].items()) or "none")
    if told["late_share"] > LATE_SHARE:
        yield f"LATE       {100 * told['late_share']:.1f} % were sent late by this script; latencies contain that"


def _row(found: Mapping[str, float | None]) -> str:
    return "  ".join(f"p{name} {value:.1f} ms" for name, value in found.items() if value is not None) or "-"


@contextmanager
def progress(total: int) -> Iterator[Bar]:
    """Show a bar on a terminal: rich's where it is installed."""
    if not sys.stderr.isatty():
        yield lambda done: None
        return
    try:
        rich = import_module("rich.progress")
    except ImportError:
        yield lambda done: print(f"\r{done}/{total}", end="\n" if done == total else "", file=sys.stderr, flush=True)
        return
    with rich.Progress(console=import_module("rich.console").Console(stderr=True), transient=True) as bar:
        task = bar.add_task("asked", total=total)
        yield lambda done: bar.update(task, completed=done)


def plot(samples: Sequence[Sample], path: Path) -> None:
    """Draw latencies over time; needs matplotlib."""
    figure = import_module("matplotlib.figure").Figure(figsize=(9, 4), layout="constrained")
    axes, start_s = figure.subplots(), min(each.due_s for each in samples)
    for name, of in (("accepted", "accepted_s"), ("result", "ended_s")):
        points = [(each.due_s, getattr(each, of)) for each in samples if getattr(each, of) is not None]
        if points:
            at, took_ms = zip(*((due - start_s, 1000 * (end - due)) for due, end in points), strict=True)
            axes.plot(at, took_ms, ".", markersize=3, label=name)
    axes.set(xlabel="seconds", ylabel="milliseconds", yscale="log")
    axes.legend()
    figure.savefig(path)


def library() -> Any:  # noqa: ANN401 - one of two
    """Import httpx2, or httpx."""
    for name in ("httpx2", "httpx"):
        with suppress(ImportError):
            return import_module(name)
    raise SystemExit("load_test.py asks over HTTP with httpx2: pip install httpx2")


def arguments(words: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition(":")[0])
    parser.add_argument("--url", default="http://localhost:8000", help="of the gateway (default: %(default)s)")
    parser.add_argument("--requests", type=_positive(int), default=100, metavar="N", help="default: %(default)s")
    parser.add_argument("--concurrency", type=_positive(int), default=10, metavar="N", help="default: %(default)s")
    parser.add_argument("--rate", type=_positive(float), metavar="PER_S", help="an open loop at this rate")
    parser.add_argument("--wait", action="store_true", help="wait for each result, and measure that too")
    parser.add_argument("--timeout", type=_positive(float), default=30.0, metavar="S", help="default: %(default)s")
    parser.add_argument("--text", help="what is asked about (default: one of a few sentences)")
    parser.add_argument("--api-key", help="where the gateway asks for one")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there; - = standard output")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw them there (.png, .svg); needs matplotlib")
    return parser.parse_args(words)


def _positive(kind: type[int] | type[float]) -> Any:  # noqa: ANN401 - argparse takes any callable
    def number(text: str) -> float:
        value = kind(text)
        if not 0 < value < float("inf"):
            raise ValueError(text)
        return value

    return number


def main(words: Sequence[str] | None = None) -> int:
    """Run it: 0 = everything was accepted, and answered where that was waited for."""
    given = arguments(words)
    plan = Plan(
        url=given.url.rstrip("/"),
        requests=given.requests,
        concurrency=given.concurrency,
        rate=given.rate,
        waits=given.wait,
        timeout_s=given.timeout,
        api_key=given.api_key,
        text=given.text,
    )
    with progress(plan.requests) as show:
        load = Load(plan, library(), show)
        asyncio.run(load.run())
    told = summary(plan, load.samples)
    is_alone = str(given.json) == "-"
    print(json.dumps(told, indent=1) if is_alone else "\n".join(lines(told)))
    if given.json is not None and not is_alone:
        given.json.write_text(json.dumps(told, indent=1) + "\n")
    if given.plot is not None:
        plot(load.samples, given.plot)
    return 1 if told["errors"] else 0


if __name__ == "__main__":
    sys.exit(main())
