"""Where and when a benchmark ran, and where its figures are kept."""

import json
import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from velox import processor
from velox.consumer.topology import core_count

REPOSITORY = Path(__file__).resolve().parent.parent
RESULTS = REPOSITORY / "benchmarks" / "results"
RECORDED = REPOSITORY / "benchmarks" / "recorded"


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What a figure is worth nothing without."""

    date: str
    commit: str
    cpu: str
    cores: int
    load: float
    """Processes that wanted a core over the last minute, before this benchmark started: neighbours."""
    python: str
    torch: str
    capabilities: Sequence[str] = ()
    """What the processor has instructions for: see ``processor``."""

    @property
    def machine(self) -> str:
        """Name cores, processor and what that can compute with."""
        able = f" ({', '.join(self.capabilities)})" if self.capabilities else ""
        return f"{self.cores} cores of {self.cpu}{able}"

    def text(self) -> str:
        """Write them in one line."""
        return (
            f"{self.machine}, load {self.load:.1f} before the start; Python {self.python}, "
            f"torch {self.torch}; commit {self.commit}, {self.date}"
        )


def circumstances() -> Circumstances:
    """Look at the machine, the clock and the repository."""
    return Circumstances(
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        commit=_commit(),
        cpu=processor.name(),
        cores=core_count(),
        load=os.getloadavg()[0],
        python=platform.python_version(),
        torch=version("torch"),
        capabilities=processor.capabilities(),
    )


def save(name: str, where: Circumstances, figures: dict[str, Any]) -> Path:
    """Write the figures as JSON into ``benchmarks/results`` and answer the file's path."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}-{where.date.replace(':', '')[:17]}.json"
    path.write_text(json.dumps({"circumstances": asdict(where), **figures}, indent=2) + "\n")
    return path


def record(name: str, where: Circumstances, figures: dict[str, Any], *, folder: Path = RECORDED) -> Path:
    """Make these the figures that documents show and later runs are compared with, and answer the file's path.

    They are committed, so they are few: medians and settings, nothing per record or per sample.
    """
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.json"
    path.write_text(json.dumps({"circumstances": asdict(where), **figures}, indent=1, ensure_ascii=False) + "\n")
    return path


def recorded(name: str, *, folder: Path = RECORDED) -> dict[str, Any] | None:
    """Answer the figures recorded last, with ``circumstances`` as a dictionary; None when there are none."""
    path = folder / f"{name}.json"
    if not path.exists():
        return None
    figures: dict[str, Any] = json.loads(path.read_text())
    return figures


def _commit() -> str:
    """Name the commit; a trailing ``+`` says that tracked files differ from it. ``unknown`` outside a clone."""
    command = ["git", "-C", str(REPOSITORY), "describe", "--always", "--exclude=*", "--dirty=+"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
