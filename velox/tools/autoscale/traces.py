"""Loads to simulate: drawn ones by their names, and recorded ones from files."""

import csv
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from velox.errors import SettingsError


@dataclass(frozen=True, slots=True)
class Trace:
    """What comes, second by second, and what happens meanwhile."""

    name: str
    arrivals: tuple[float, ...]
    """Records of each second."""
    start_s: int = 20
    """From a pod's creation until it predicts."""
    broker_away: tuple[range, ...] = field(default=())
    """Seconds in which nothing is taken from or by Kafka; producers keep what they have."""
    restarts: tuple[int, ...] = field(default=())
    """Seconds at which all consumers are gone and have to start."""

    @property
    def seconds(self) -> int:
        """How long it takes."""
        return len(self.arrivals)


def _step() -> Trace:
    return Trace("step", tuple([80.0] * 600 + [620.0] * 1800 + [80.0] * 1800))


def _burst() -> Trace:
    return Trace("burst", tuple(([1500.0] * 60 + [80.0] * 840) * 4))


def _waves() -> Trace:
    return Trace("waves", tuple(350 + 300 * math.sin(second / 1200 * math.tau) for second in range(4800)))


def _restart() -> Trace:
    return Trace("restart", tuple([300.0] * 3000), restarts=(900,))


def _broker_loss() -> Trace:
    return Trace("broker-loss", tuple([300.0] * 3000), broker_away=(range(900, 1080),))


def _slow_start() -> Trace:
    return Trace("slow-start", tuple([80.0] * 600 + [620.0] * 1800 + [80.0] * 1800), start_s=180)


DRAWN: Final[dict[str, Callable[[], Trace]]] = {
    "step": _step,
    "burst": _burst,
    "waves": _waves,
    "restart": _restart,
    "broker-loss": _broker_loss,
    "slow-start": _slow_start,
}


def named(name: str) -> Trace:
    """Draw a trace by its name, or read the file of that path: CSV, a line a second, records first.

    Raises:
        SettingsError: there is neither, or the file holds something else than numbers.
    """
    if name in DRAWN:
        return DRAWN[name]()
    path = Path(name)
    try:
        with path.open(newline="") as file:
            rows = [row for row in csv.reader(file) if row]
    except OSError as error:
        msg = f"{name}: neither a trace ({', '.join(DRAWN)}) nor a file that can be read: {error.strerror}"
        raise SettingsError(msg) from error
    return Trace(path.stem, tuple(_records(name, number, row[0]) for number, row in enumerate(rows, 1)))


def _records(name: str, number: int, text: str) -> float:
    try:
        records = float(text)
    except ValueError:
        records = math.nan
    if not 0 <= records < math.inf:
        msg = f"{name}, line {number}: {text!r} is no number of records; each line is one second's"
        raise SettingsError(msg)
    return records
