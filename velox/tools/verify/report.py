"""What came of a run: a table for people, JSON for programs."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from velox.errors import VeloxError
from velox.tools.verify.ledger import Ledger
from velox.tools.verify.watch import Watch


@dataclass(frozen=True, slots=True)
class Report:
    """The account, and how the run went."""

    ledger: Ledger
    watch: Watch
    circumstances: dict[str, Any]
    """Where, with what, for how long."""
    absorbed: int | None
    """How often a record was done again and is seen once, at least; None when nobody counted."""
    restarts: int | None
    """Consumers that ended by themselves and were started again; None when they are not ours."""
    unchecked: list[str]
    """What could not be checked, the ledger's doubts included."""
    problems: list[str]
    """All that is wrong, the ledger's problems included."""

    def show(self) -> None:
        """Print the table, and what is wrong."""
        console = Console(highlight=False, soft_wrap=True)
        console.print(self._table())
        for what in self.unchecked:
            console.print(f"Not checked: {what}", style="yellow", markup=False)
        for problem in self.problems:
            console.print(problem, style="red", markup=False)
        console.print(
            "NOT every record is accounted for"
            if self.problems
            else "Every record is accounted for: none lost, none doubled",
            style="bold red" if self.problems else "bold green",
        )

    def save(self, path: Path) -> None:
        """Write it all as JSON.

        Raises:
            VeloxError: the file cannot be written.
        """
        figures = {
            **self.circumstances,
            **asdict(self.ledger),
            "duplicates_absorbed_at_least": self.absorbed,
            "unasked_restarts": self.restarts,
            "longest_stall_s": round(self.watch.longest_stall_s, 3),
            "recovery_s": {kind: [round(s, 3) for s in times] for kind, times in self.watch.recoveries.items()},
            "unchecked": self.unchecked,
            "problems": self.problems,
            "ok": not self.problems,
        }
        try:
            path.write_text(json.dumps(figures, indent=2) + "\n")
        except OSError as error:
            msg = f"--json {path}: {error.strerror}"
            raise VeloxError(msg) from error

    def _table(self) -> Table:
        ledger = self.ledger
        about = ", ".join(f"{name} {value}" for name, value in self.circumstances.items())
        table = Table("ledger", "records", title=about, title_justify="left", title_style="dim")
        table.columns[1].justify = "right"
        rows: list[tuple[str, object]] = [
            ("produced", ledger.produced),
            ("  of which bad on purpose", ledger.poisoned),
            ("acknowledged", ledger.acknowledged),
        ]
        rows += [(f"stored in {sink}", count) for sink, count in ledger.stored.items()]
        if ledger.detections is not None:
            rows.append(("  of which detections", ledger.detections))
        rows.append(("dead-lettered", sum(ledger.dead_lettered.values())))
        rows += [(f"  {reason}", count) for reason, count in sorted(ledger.dead_lettered.items())]
        rows += [
            ("not committed", ledger.uncommitted),
            ("missing", _count(ledger.missing)),
            ("visible duplicates", _count(ledger.doubled)),
            ("unknown ids", _count(ledger.strangers)),
            ("wrong results", _count(ledger.mistaken)),
            ("altered", _count(ledger.altered)),
            ("good, but dead-lettered", _count(ledger.good_dead_lettered)),
            ("bad, but stored", _count(ledger.bad_stored)),
            ("dead-lettered for a wrong reason", _count(ledger.wrong_reasons)),
            ("duplicates absorbed, at least", "–" if self.absorbed is None else self.absorbed),
            ("dead letters written again", ledger.dead_lettered_again),
            ("order inversions per key", ledger.order_inversions),
            ("restarts that were not asked for", "–" if self.restarts is None else self.restarts),
        ]
        for name, value in rows:
            table.add_row(name, f"{value:,}" if isinstance(value, int) else str(value))
        table.add_section()
        table.add_row("longest stall", f"{self.watch.longest_stall_s:.1f} s")
        for kind, times in self.watch.recoveries.items():
            table.add_row(f"recovery, {kind} ({len(times)})", f"p50 {median(times):.1f} s, max {max(times):.1f} s")
        return table


def _count(places: dict[str, list[str]]) -> int:
    return len({identity for ids in places.values() for identity in ids})
