"""What the scale benchmark found, as a section of the document and as panels of a plot. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Final, Self

from benchmarks.document import table
from benchmarks.figures import Spread
from benchmarks.plot import Panel
from benchmarks.report import Circumstances

_TITLES: Final = ("what grows", "", "records/s", "fetcher, CPU ms", "inference, CPU ms", "CPU ms/record", "× first")


@dataclass(frozen=True, slots=True)
class Cost:
    """What a record cost in one measurement, or in the middle of several."""

    records_per_s: float
    fetcher_ms: float
    """CPU of all fetchers, per record."""
    inference_ms: float
    """CPU of all inference processes, per record."""

    @property
    def cpu_ms(self) -> float:
        """CPU of both."""
        return self.fetcher_ms + self.inference_ms

    @classmethod
    def middle(cls, costs: Sequence[Self]) -> Self:
        """Take the median of each figure."""
        return cls(
            median(one.records_per_s for one in costs),
            median(one.fetcher_ms for one in costs),
            median(one.inference_ms for one in costs),
        )


@dataclass(frozen=True, slots=True)
class Point:
    """One value of what grows, with what was measured in each round."""

    group: str
    """What grows."""
    value: int
    rounds: Sequence[Cost]

    @property
    def cost(self) -> Cost:
        """The median of the rounds."""
        return Cost.middle(self.rounds)


def groups(points: Iterable[Point]) -> dict[str, list[Point]]:
    """Sort points by what grows, in the order of their first appearance."""
    found: dict[str, list[Point]] = {}
    for point in points:
        found.setdefault(point.group, []).append(point)
    return found


def markdown(where: Circumstances, figures: Mapping[str, Any], points: Sequence[Point], *, plot: str) -> str:
    """Write the table under the plot, with what it holds for."""
    return "\n".join(
        [
            f"{where.text()}.",
            "",
            f"![CPU per record as things grow]({plot})",
            "",
            f"Each line: median of {figures['rounds']} rounds of {figures['lasts_s']:g} s. *Inference processes* work "
            f"on shape images with {figures['model']}. All else is about what a record costs *around* the model, so "
            "the model answers at once (that of `velox verify`), a record has about 900 bytes and every record becomes "
            "a document: an effect of growth that a real model would hide shows here. Broker, database and Velox share "
            "the cores, which bounds records/s; the cost is the CPU time of Velox's own processes. Lag 0: records come "
            "at half the rate at which a backlog is worked off, hence in small hand-overs. The documents are in a "
            "server that speaks MongoDB's protocol from memory, which says what Velox asks of it and not how MongoDB "
            "grows; in some rounds records/s are a fraction of the others', and Velox waits. SQLite's rows are in a "
            "file.",
            "",
            *table(_TITLES, (row for group in groups(points).values() for row in rows(group))),
        ]
    )


def rows(group: Sequence[Point]) -> list[list[str]]:
    """Write the rows of one group; ``× first`` compares round by round with its first one."""
    found = []
    for point in group:
        cost = point.cost
        pairs = zip(point.rounds, group[0].rounds, strict=True)
        ratios = Spread.of([one.cpu_ms / first.cpu_ms for one, first in pairs])
        costs = (f"{ms:.3f}" for ms in (cost.fetcher_ms, cost.inference_ms, cost.cpu_ms))
        beside = ratios.text(2) if point is not group[0] else "1"
        found.append([point.group, f"{point.value:,}", f"{cost.records_per_s:,.0f}", *costs, beside])
    return found


def panels(points: Sequence[Point]) -> list[Panel]:
    """Prepare a plot: a panel for each group."""
    return [
        Panel(
            x_label=name,
            y_label="CPU ms per record",
            categories=[short(point.value) for point in group],
            stacks={
                "fetcher": [point.cost.fetcher_ms for point in group],
                "inference processes": [point.cost.inference_ms for point in group],
            },
            notes=[f"{short(round(point.cost.records_per_s))}/s" for point in group],
        )
        for name, group in groups(points).items()
    ]


def short(number: int) -> str:
    """Write a number as on an axis: 300, 8.1k, 1M."""
    for size, letter in ((1_000_000, "M"), (1000, "k")):
        if number >= size:
            return f"{number / size:.3g}{letter}"
    return str(number)
