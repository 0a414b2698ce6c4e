"""What gateways accepted, and how it is written. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.document import table
from benchmarks.figures import Spread, pairwise_ratios

FIGURES = ("", "accepted/s (min / median / max)", "of aiokafka's", "p50, ms", "p99, ms", "CPU ms a request")


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """One gateway in one round; times are those of a request, of a whole batch for batches."""

    per_s: float
    p50_ms: float
    p99_ms: float | None
    """None where there were too few to know."""
    cpu_ms: float
    """Of the gateway's processes, a request."""


@dataclass(frozen=True, slots=True)
class Row:
    """All rounds of one gateway, asked in one way."""

    name: str
    rounds: Sequence[Taken]

    def figures(self, peer: "Row") -> list[str]:
        """Write them beside the peer's of the same rounds."""
        ratios = pairwise_ratios([one.per_s for one in self.rounds], [one.per_s for one in peer.rounds])
        slowest = [one.p99_ms for one in self.rounds if one.p99_ms is not None]
        return [
            self.name,
            Spread.of([one.per_s for one in self.rounds]).text(),
            f"{median(ratios):.2f} ×",
            f"{median(one.p50_ms for one in self.rounds):.1f}",
            f"{median(slowest):.1f}" if slowest else "–",
            f"{median(one.cpu_ms for one in self.rounds):.2f}",
        ]


def section(introduction: str, rows: Sequence[Row]) -> str:
    """Write the section of the document. The first row is the peer."""
    return "\n".join([introduction, "", *table(FIGURES, (row.figures(rows[0]) for row in rows)), ""])
