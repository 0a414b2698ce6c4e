"""What a consumer of several models says of each: a file beside ``models.toml``, for gateways and for people.

One file a consumer, ``models.state/HOST-PORT.json``, written again every few seconds. Whoever shares the folder can
read it; where it cannot be written, nobody knows more than Kafka shows.
"""

import json
import logging
import socket
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from time import time
from typing import Any, Final, Literal

from velox.core.seldom import Seldom

log = logging.getLogger(__name__)

FRESH_S: Final = 15.0
"""Older reports say nothing: who wrote them is gone."""
_KEPT_S: Final = 3600.0
_SELDOM_S: Final = 600.0

State = Literal["ready", "unready", "starting", "failing", "draining"]
"""``unready``: it is loaded, and waits for something; ``failing``: it cannot be loaded."""
_BEST_FIRST: Final[tuple[State, ...]] = ("ready", "unready", "starting", "draining", "failing")


@dataclass(frozen=True, slots=True)
class ModelReport:
    """How one model is doing in one consumer."""

    name: str
    state: State
    cause: str
    """Why it is not ready, or what came of its last change; empty when there is nothing to say."""
    port: int
    """Of its metrics and probes; 0 while it has no process."""
    since: float
    """Unix seconds from which it is in this state."""
    host: str = ""


class Reporter:
    """Writes one consumer's file. Not thread-safe."""

    def __init__(self, models_path: Path, port: int) -> None:
        """Name the file; write nothing yet."""
        self._folder = _folder(models_path)
        self._host = socket.gethostname()
        self._path = self._folder / f"{self._host}-{port}.json"
        self._warned = Seldom(_SELDOM_S)

    def write(self, reports: Sequence[ModelReport]) -> None:
        """Replace the file, and remove those that nobody writes any more; where that cannot be, warn now and then."""
        content = json.dumps([{**asdict(report), "host": self._host} for report in reports], indent=2)
        new = self._path.with_suffix(".tmp")
        try:
            self._folder.mkdir(exist_ok=True)
            new.write_text(content + "\n")
            new.replace(self._path)
        except OSError as error:
            if self._warned.is_due(self._path):
                log.warning("%s cannot be written (%s): gateways do not learn how models are", self._path, error)
            return
        for path in self._folder.glob("*.json"):
            with suppress(OSError):
                if time() - path.stat().st_mtime > _KEPT_S:
                    path.unlink()

    def remove(self) -> None:
        """Remove it: this consumer ends."""
        with suppress(OSError):
            self._path.unlink()


def read_reports(models_path: Path) -> dict[str, list[ModelReport]]:
    """Read what all consumers report now: for each model the best state first. Nothing where nobody reports."""
    found: dict[str, list[ModelReport]] = {}
    for path in sorted(_folder(models_path).glob("*.json")):
        with suppress(OSError, ValueError, TypeError):
            if time() - path.stat().st_mtime > FRESH_S:
                continue
            for fields in _list(path):
                report = ModelReport(**fields)
                found.setdefault(report.name, []).append(report)
    return {name: sorted(reports, key=lambda each: _BEST_FIRST.index(each.state)) for name, reports in found.items()}


def _list(path: Path) -> list[dict[str, Any]]:
    content = json.loads(path.read_bytes())
    return content if isinstance(content, list) else []


def _folder(models_path: Path) -> Path:
    return models_path.with_name(f"{models_path.stem}.state")
