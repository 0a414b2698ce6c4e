"""What Live shows: a look at consumers and at the store twice a second, handed to all who wait for it."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict
from time import time
from typing import Any, Final

from velox.dashboard.queries import Results, Row
from velox.errors import VeloxError
from velox.metrics.consumer import ConsumerMetrics
from velox.tools.top.figures import figures
from velox.tools.top.history import History
from velox.tools.top.verdict import judge
from velox.tools.top.view import headline
from velox.tools.top.watch import Address, Watch
from velox.tools.up.scraping import quantile

log = logging.getLogger(__name__)

EVERY_S: Final = 0.5
TILES: Final = 48
_POINTS: Final = 240
"""Two minutes of the charts, for a page that is opened or loaded again."""
_LAG: Final = ConsumerMetrics.lag.name


class Feed:
    """The newest state. ``look`` blocks and is for one thread; the rest is for the loop that ``run`` runs in."""

    def __init__(self, watch: Watch, results: Results | None, *, clock: Callable[[], float] = time) -> None:
        """Know nothing yet."""
        self._watch = watch
        self._results = results
        self._clock = clock
        self._number = 0
        self._state: dict[str, Any] = {}
        self._points: deque[tuple[int, dict[str, Any]]] = deque(maxlen=_POINTS)
        self._changed = asyncio.Condition()

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            try:
                self.take(await asyncio.to_thread(self.look))
            except Exception:  # the page is to say what is wrong, and the next look may be better
                log.exception("A look at the pipeline failed")
            async with self._changed:
                self._changed.notify_all()
            await asyncio.sleep(EVERY_S)

    def look(self) -> dict[str, Any]:
        """Ask consumers and the store."""
        absent = self._watch.look()
        histories = self._watch.histories
        now = figures(histories)
        verdict = judge(now)
        latency = [_latency_s(histories, q) for q in (0.5, 0.95)]
        rows, problems = self._newest()
        return {
            "at": self._clock(),
            "headline": headline(now),
            "consumers": now.consumers,
            "in_flight": [now.in_flight_records, now.in_flight_limit_records],
            "verdict": asdict(verdict),
            "predicting": now.predicting,
            "idle": {cause.value: share for cause, share in now.idle.items() if share > 0},
            "stages": [asdict(stage) for stage in now.stages],
            "topics": [asdict(topic) for topic in now.topics[:20]],
            "lag": _lag_by_partition(histories),
            "rows": [row.shown() for row in rows],
            "store": self._results.name if self._results else None,
            "problems": [*_away(absent), *problems],
            "point": {"rate": now.records_per_s, "p50": latency[0], "p95": latency[1], "lag": now.lag_records},
        }

    def take(self, state: dict[str, Any]) -> None:
        """Make a look the newest state."""
        self._number += 1
        point = {"at": state["at"], **state.pop("point")}
        self._points.append((self._number, point))
        self._state = state

    def since(self, number: int) -> dict[str, Any]:
        """Answer the newest state, with the points of the charts after ``number``; all of them for a stranger to it."""
        known = number if number <= self._number else 0
        points = [point for at, point in self._points if at > known]
        return {**self._state, "number": self._number, "points": points}

    async def after(self, number: int, *, wait_s: float) -> dict[str, Any]:
        """Wait for a state newer than ``number``, not longer than that, and answer it."""
        async with self._changed:
            try:
                async with asyncio.timeout(wait_s):
                    await self._changed.wait_for(lambda: self._number != number)
            except TimeoutError:
                log.debug("No news of %d within %g s", number, wait_s)
        return self.since(number)

    def _newest(self) -> tuple[Sequence[Row], list[dict[str, str]]]:
        if self._results is None:
            remedy = "SINKS has neither sqlite nor postgres, whose results the dashboard reads; add one"
            return (), [{"part": "results", "says": "there is no store to read", "remedy": remedy}]
        try:
            return self._results.newest(TILES), []
        except VeloxError as error:
            return (), [{"part": "results", "says": str(error), "remedy": "the rest of the page goes on"}]


def addresses(said: Sequence[str], port: int) -> list[Address]:
    """Read where consumers serve their metrics; without any, this machine's port."""
    split = (text.rpartition(":") for text in said)
    return [Address(host, int(number)) for host, _, number in split] or [Address("127.0.0.1", port)]


def _away(absent: dict[str, str]) -> list[dict[str, str]]:
    """Say which consumers are not at work, and what to do about it."""
    found = []
    for address, why in absent.items():
        remedy = "its log says more; it goes on by itself when what it waits for is there"
        if why == "does not answer":
            remedy = "start one (velox consume), or name where it serves its metrics with DASHBOARD_CONSUMERS"
        found.append({"part": f"consumer {address}", "says": why, "remedy": remedy})
    return found


def _latency_s(histories: Sequence[History], q: float) -> float | None:
    """Estimate a quantile of the last seconds, from produced to stored, over all consumers."""
    buckets: dict[float, float] = {}
    for history in histories:
        for bound, grown in history.growth(f"{ConsumerMetrics.end_to_end.name}_bucket", "le").items():
            buckets[float(bound)] = buckets.get(float(bound), 0) + grown
    return quantile(q, buckets)


def _lag_by_partition(histories: Sequence[History]) -> list[dict[str, Any]]:
    """List the partitions that are furthest behind, the furthest first."""
    lags: dict[tuple[str, ...], float] = {}
    for history in histories:
        for of, value in history.latest(_LAG, "topic", "partition").items():
            lags[of] = lags.get(of, 0) + value
    worst = sorted(lags.items(), key=lambda item: (-item[1], item[0]))[:24]
    return [{"topic": of[0], "partition": of[1], "lag": int(lag)} for of, lag in worst]
