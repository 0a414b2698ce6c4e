"""How many texts a second each system judged, and how it is written. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.document import table
from benchmarks.figures import Spread, pairwise_ratios
from benchmarks.peers.window import Window

FIGURES = ("model", "tokens", "", "texts/s (min / median / max)", "of the synchronous one", "CPU ms a text")
TERMS = ("", "settings")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """All rounds of a system with a model and texts of a length."""

    model: str
    tokens: int
    system: str
    windows: Sequence[Window]

    def figures(self, peer: "Row | None") -> list[str]:
        """Write them beside the peer's of the same rounds."""
        rates = [one.per_s for one in self.windows]
        ratio = f"{median(pairwise_ratios(rates, [one.per_s for one in peer.windows])):.2f} ×" if peer else "–"
        cpu_ms = median(one.cpu_ms_each for one in self.windows)
        return [self.model, str(self.tokens), self.system, Spread.of(rates).text(), ratio, f"{cpu_ms:.2f}"]


def section(introduction: str, rows: Sequence[Row], terms: Sequence[Sequence[str]], *, peer: str) -> str:
    """Write the section of the document: by model and length, then on which terms; ``peer`` is what all are beside."""
    ordered = sorted(rows, key=lambda row: (row.model != "tiny", row.tokens))
    base = {(row.model, row.tokens): row for row in rows if row.system == peer}
    figures = table(FIGURES, (row.figures(base.get((row.model, row.tokens))) for row in ordered))
    return "\n".join([introduction, "", *figures, "", *table(TERMS, terms), ""])
