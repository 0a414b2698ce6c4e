"""What the gateway's benchmark found, as a section of the document. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks.document import table

MOST_MS: Final = 100.0
"""A rate is sustained when 99 of 100 requests are accepted within this time of when they were due."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One run of the load test."""

    store: str
    what: str
    rate: float
    accepted_per_s: float
    accept_ms: dict[str, float | None]
    result_ms: dict[str, float | None] | None
    cpu_ms: float
    """Of the gateway, a request."""
    load: float
    """Processes that wanted a core over the minute that ended with this run: its own, and neighbours'."""
    late_share: float = 0.0
    """Of the requests, sent late. Latencies count from when they were due: the gateway's own are less, never more."""
    problems: Sequence[str] = ()

    @property
    def is_sustained(self) -> bool:
        """Say whether everything was accepted, nearly all of it in time."""
        p99_ms = self.accept_ms["99"]
        return not self.problems and p99_ms is not None and p99_ms <= MOST_MS


def highest(taken: Sequence[Measured]) -> Measured | None:
    """Answer the run at the highest rate that was sustained; None when none was."""
    climbed = (one for one in taken if one.what == "accept" and one.is_sustained)
    return max(climbed, key=lambda one: one.rate, default=None)


def section(introduction: str, taken: Sequence[Measured]) -> str:
    """Write what the figures hold for, and the table."""
    return "\n".join([introduction, "", *rows(taken)])


def rows(taken: Sequence[Measured]) -> list[str]:
    """Write the table: for each store, the highest rate that was sustained, and results."""
    found = []
    for store in dict.fromkeys(one.store for one in taken):
        own = [one for one in taken if one.store == store]
        best = highest(own)
        results = [one for one in own if one.what != "accept"]
        found += [_row("accepts, p99 ≤ 100 ms", best)] if best else [[store, "accepts, p99 ≤ 100 ms", *["none"] * 6]]
        found += [_row({"idle": "results, idle", "half": "results, half of that"}[one.what], one) for one in results]
    titles = ["store", "what", "requests/s", "accept p50", "p99, ms", "result p50", "p99, ms", "CPU ms a request"]
    return table(titles, found)


def _row(what: str, one: Measured) -> list[str]:
    result = one.result_ms or {}
    times = [ms(one.accept_ms["50"]), ms(one.accept_ms["99"]), ms(result.get("50")), ms(result.get("99"))]
    return [
        one.store,
        what + (f" ({'; '.join(one.problems)})" if one.problems else ""),
        f"{one.rate:.0f}",
        *times,
        f"{one.cpu_ms:.2f}",
    ]


def ms(value: float | None) -> str:
    """Write milliseconds; nothing where there are none."""
    return "" if value is None else f"{value:.1f}"
