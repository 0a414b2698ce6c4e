"""One look at everything: each family of checks in its turn, none for longer than its bound."""

import threading
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Final

from velox import settings
from velox.core.deadline import Deadline
from velox.errors import SettingsError, VeloxError
from velox.settings import Settings
from velox.tools.doctor import bucket, kafka, keys, machine, model, sinks, timing
from velox.tools.doctor.findings import Check, Finding, Level, error, ok, refusal
from velox.tools.doctor.report import Report

CHECKS: Final[Mapping[str, Check]] = {
    "settings": timing.find,
    "model": model.find,
    "machine": machine.find,
    "bucket": bucket.find,
    "keys": keys.find,
    "sinks": sinks.find,
    "kafka": kafka.find,
}
"""What answers at once comes first."""
LIMIT_S: Final = 30.0
"""A family that takes longer is left alone; every question in it has a shorter bound of its own."""
_MOST_ERRORS: Final = 100


def run(*, as_json: bool = False) -> int:
    """Look at everything, show what is found, and return the number of errors, at most 100."""
    with Report(as_json=as_json) as report:
        try:
            loaded = settings.load()
        except SettingsError as problem:
            report.add("settings", refusal("values", problem))
        else:
            report.add("settings", ok("values", "all are known and valid"))
            for family, check in CHECKS.items():
                for finding in bounded(check, loaded, LIMIT_S):
                    report.add(family, finding)
    return min(report.count(Level.ERROR), _MOST_ERRORS)


def bounded(check: Check, loaded: Settings, limit_s: float) -> Iterator[Finding]:
    """Answer what a check finds as it finds it; one that hangs or breaks off is a finding as well."""
    found: SimpleQueue[Finding | None] = SimpleQueue()

    def work() -> None:
        try:
            for finding in check(loaded):
                found.put(finding)
        except VeloxError as problem:
            found.put(refusal("check", problem))
        except Exception as defect:  # noqa: BLE001 - the top of a thread; the other checks go on
            found.put(error("check", f"broke off: {_where(defect)}", "report it: this is a defect of Velox"))
        finally:
            found.put(None)

    # A thread that hangs in a driver is left behind, and ends with the process.
    threading.Thread(target=work, name="check", daemon=True).start()
    deadline = Deadline(limit_s)
    while True:
        try:
            finding = found.get(timeout=deadline.left_s())
        except Empty:
            yield error("check", f"no answer within {limit_s:g} s", "see what it waits for: network, disk or driver")
            return
        if finding is None:
            return
        yield finding


def _where(defect: Exception) -> str:
    """Name the kind of a defect and its place; its text may hold anything, also a secret."""
    frame = traceback.extract_tb(defect.__traceback__)[-1]
    return f"{type(defect).__name__} in {Path(frame.filename).name}, line {frame.lineno}"
