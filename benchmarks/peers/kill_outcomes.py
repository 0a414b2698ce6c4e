"""What the kill test found, and how it is written. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.document import table

FIGURES = (
    "",
    "ids given out",
    "never answered to the client that polls",
    "only after a pause of 30 s",
    "no answer at the end",
    "answered twice",
    "s in all",
)
TERMS = ("", "versions", "settings")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One system, with every process of it killed under load."""

    name: str
    versions: Mapping[str, str]
    settings: str
    accepted: int
    """Requests for which a client was given an id."""
    missing: int | None
    """Of these, those whose result their client never saw; None where only the end was looked at."""
    late: int | None
    """Of these, those whose result came after 30 s in which no other came."""
    gone: int
    """Of these, those whose result cannot be had at the end."""
    doubled: int | None
    """Of these, those with more than one result; None where that cannot be seen."""
    lasted_s: float
    faults: Mapping[str, int]
    """How often what was killed."""

    def figures(self) -> list[str]:
        """Write a row of the first table."""
        counts = (self.accepted, self.missing, self.late, self.gone, self.doubled)
        return [self.name, *("–" if count is None else f"{count:,}" for count in counts), f"{self.lasted_s:.0f}"]

    def terms(self) -> list[str]:
        """Write a row of the second one."""
        return [self.name, ", ".join(f"{name} {number}" for name, number in self.versions.items()), self.settings]


def section(introduction: str, outcomes: Sequence[Outcome]) -> str:
    """Write the section of the document: the figures, then on which terms."""
    figures = table(FIGURES, (one.figures() for one in outcomes))
    return "\n".join([introduction, "", *figures, "", *table(TERMS, (one.terms() for one in outcomes)), ""])
