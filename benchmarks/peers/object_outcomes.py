"""How many objects a second each system got through, and how it is written. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.document import table
from benchmarks.figures import Spread, pairwise_ratios
from benchmarks.peers.window import Window


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """All rounds of a system at a distance from S3."""

    what: str
    delay_ms: int
    system: str
    windows: Sequence[Window]

    def figures(self, base: "Row") -> list[str]:
        """Write them beside the system that all are compared with, of the same rounds."""
        rates = [one.per_s for one in self.windows]
        ratio = median(pairwise_ratios(rates, [one.per_s for one in base.windows]))
        cpu_ms = median(one.cpu_ms_each for one in self.windows)
        return [self.what, f"{self.delay_ms}", self.system, Spread.of(rates).text(), f"{ratio:.2f} ×", f"{cpu_ms:.2f}"]


TITLES = ("", "added delay, ms", "system", "objects/s (min / median / max)", "of one at a time", "CPU ms an object")


def section(introduction: str, rows: Sequence[Row], *, base: str) -> str:
    """Write the section of the document."""
    bases = {(row.what, row.delay_ms): row for row in rows if row.system == base}
    lines = table(TITLES, (row.figures(bases[row.what, row.delay_ms]) for row in rows))
    return "\n".join([introduction, "", *lines, ""])
