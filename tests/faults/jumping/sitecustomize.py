"""A wall clock that jumps: Python loads this at its start when the folder is on PYTHONPATH."""

import time
from pathlib import Path

CLOCK = Path("clock")
"""How many seconds this process's clock is off, now."""
true_time, true_time_ns = time.time, time.time_ns


def _off_s() -> int:
    return int(CLOCK.read_text()) if CLOCK.exists() else 0


time.time = lambda: true_time() + _off_s()
time.time_ns = lambda: true_time_ns() + _off_s() * 1_000_000_000
