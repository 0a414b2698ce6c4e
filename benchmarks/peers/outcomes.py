"""What the comparison computes from what it measured, and how it is written. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.document import table
from benchmarks.figures import Spread, pairwise_ratios


@dataclass(frozen=True, slots=True)
class Run:
    """One program over all records: when it had stored the first that were seen, and the last."""

    documents: int
    files: int
    before: int
    """Documents stored when the first were seen."""
    first_s: float
    """From the start of the process to the first stored document."""
    total_s: float
    """From the start of the process to the last stored document."""
    cpu_s: float
    """CPU that all its processes used between the two."""
    agreement: float
    """Share of the records with the same label as Velox gave in the same round."""

    @property
    def per_s(self) -> float:
        """Images a second from the first to the last stored one: what starting up costs is left out."""
        return (self.documents - self.before) / (self.total_s - self.first_s)

    @property
    def end_to_end_per_s(self) -> float:
        """Images a second from the start of the process on."""
        return self.documents / self.total_s

    @property
    def cpu_ms_each(self) -> float:
        """CPU milliseconds an image, in all processes together."""
        return 1000 * self.cpu_s / (self.documents - self.before)


@dataclass(frozen=True, slots=True)
class Row:
    """All runs of one program, or why there are none."""

    name: str
    versions: Mapping[str, str]
    settings: str
    guarantee: str
    runs: tuple[Run, ...] = ()
    failure: str = ""

    def figures(self, velox: "Row") -> list[str]:
        """Write the figures beside Velox's of the same rounds."""
        if self.failure or not self.runs:
            return [self.name, self.failure or "not measured", *["–"] * (len(FIGURES) - 2)]
        ratios = pairwise_ratios([run.per_s for run in velox.runs], [run.per_s for run in self.runs])
        return [
            self.name,
            Spread.of([run.per_s for run in self.runs]).text(),
            f"{median(ratios):.2f} ×",
            f"{median(run.end_to_end_per_s for run in self.runs):.1f}",
            f"{median(run.first_s for run in self.runs):.1f}",
            f"{median(run.cpu_ms_each for run in self.runs):.1f}",
            f"{100 * min(run.agreement for run in self.runs):.1f} %",
        ]


FIGURES = (
    "",
    "images/s, first to last stored (min / median / max)",
    "Velox is faster by",
    "images/s from process start",
    "s to the first stored",
    "CPU ms/image",
    "same label as Velox",
)
TERMS = ("", "versions", "settings", "guarantee")


def section(introduction: str, rows: Sequence[Row]) -> str:
    """Write the section of the document: the figures, then on which terms. The first row is Velox."""
    terms = [
        [row.name, ", ".join(f"{name} {number}" for name, number in row.versions.items()), row.settings, row.guarantee]
        for row in rows
    ]
    figures = table(FIGURES, (row.figures(rows[0]) for row in rows))
    return "\n".join([introduction, "", *figures, "", *table(TERMS, terms), ""])
