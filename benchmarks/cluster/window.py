"""What a way to predict got through in a time, and what all its processes computed for it."""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

_TICKS_S: Final = os.sysconf("SC_CLK_TCK")
_WARM_SHARE: Final = 0.3
"""Of the window, so much goes by before it begins."""


class Window(NamedTuple):
    """Frames predicted by both models, in seconds, and the CPU seconds of this process and all below it."""

    frames: int
    lasted_s: float
    cpu_s: float


def measure(
    step: Callable[[], int], *, lasts_s: float, at_a_time: int, pause: Callable[[float], None] = time.sleep
) -> Window:
    """Repeat a step on so many threads; it answers how many frames it got through."""
    done = [0] * at_a_time
    ending = threading.Event()

    def repeat(number: int) -> None:
        while not ending.is_set():
            done[number] += step()

    threads = [threading.Thread(target=repeat, args=(number,), daemon=True) for number in range(at_a_time)]
    for thread in threads:
        thread.start()
    pause(_WARM_SHARE * lasts_s)
    began, before, cpu_before = time.monotonic(), sum(done), family_cpu_s()
    pause(lasts_s)
    window = Window(sum(done) - before, time.monotonic() - began, family_cpu_s() - cpu_before)
    ending.set()
    for thread in threads:
        thread.join()
    return window


def family_cpu_s() -> float:
    """Add up what this process and all that descend from it have computed, those that have ended left out."""
    parents: dict[int, int] = {}
    seconds: dict[int, float] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        pid = int(path.parent.name)
        parents[pid] = int(fields[1])
        seconds[pid] = (int(fields[11]) + int(fields[12])) / _TICKS_S
    own = os.getpid()

    def descends(pid: int) -> bool:
        while pid not in {own, 0, 1}:
            pid = parents.get(pid, 0)
        return pid == own

    return sum(used for pid, used in seconds.items() if descends(pid))
