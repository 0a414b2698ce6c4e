"""How findings are shown: a line each as they come, or JSON at the end."""

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict
from types import TracebackType
from typing import Final, Self

from rich.console import Console
from rich.text import Text

from velox.tools.doctor.findings import Finding, Level

_STYLES: Final[Mapping[Level, str]] = {
    Level.OK: "green",
    Level.WARNING: "yellow",
    Level.ERROR: "bold red",
    Level.SKIPPED: "dim",
}
_INDENT: Final = " " * 19
_PLAIN_WIDTH: Final = 1000


class Report:
    """Takes findings and shows them."""

    def __init__(self, *, as_json: bool) -> None:
        """Print a line a finding, or one JSON object at the end."""
        self._as_json = as_json
        self._findings: list[tuple[str, Finding]] = []
        console = Console(highlight=False)
        self._console = console if console.is_terminal else Console(highlight=False, width=_PLAIN_WIDTH)

    def add(self, family: str, finding: Finding) -> None:
        """Show a finding."""
        self._findings.append((family, finding))
        if self._as_json:
            return
        line = Text.assemble((f"{finding.level:8}", _STYLES[finding.level]), f" {family:9} ")
        line.append(f"{finding.what}: {finding.value}")
        if finding.fix:
            line.append(f"\n{_INDENT}→ {finding.fix}")
        self._console.print(line, soft_wrap=True)

    def count(self, level: Level) -> int:
        """Count the findings of a level."""
        return sum(finding.level == level for _, finding in self._findings)

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Say how it stands."""
        if error is not None:
            return
        counts = {level: self.count(level) for level in Level}
        if self._as_json:
            findings = [{"family": family, **asdict(finding)} for family, finding in self._findings]
            sys.stdout.write(json.dumps({**counts, "findings": findings}, indent=2, ensure_ascii=False) + "\n")
        else:
            self._console.print(", ".join(f"{count} {level}" for level, count in counts.items()))
