"""How long a program takes by itself, on a machine where others compute too."""

import time
from pathlib import Path

import psutil

Waits = dict[tuple[int, str], float]


class OwnTime:
    """Seconds that pass, without those for which one of a program's threads waited while others had the cores."""

    def __init__(self, process: psutil.Process) -> None:
        self._process = process
        self._waits = self._waited()
        self._others_s = self._computed_by_others_s()
        self._started = self._looked = time.monotonic()
        self._waited_s = 0.0

    def look(self) -> None:
        """Take note of who has waited since the last look; to be called often, as threads end and take it with them."""
        waits, now = self._waited(), time.monotonic()
        longest = max(waited - self._waits.get(thread, 0.0) for thread, waited in waits.items())
        self._waited_s += min(longest, now - self._looked)
        self._waits, self._looked = waits, now

    def passed_s(self) -> float:
        """What has passed until the last look; nothing is left out where nobody else computes."""
        others_s = self._computed_by_others_s() - self._others_s
        return self._looked - self._started - min(self._waited_s, others_s)

    def _processes(self) -> list[psutil.Process]:
        return [self._process, *self._process.children(recursive=True)]

    def _waited(self) -> Waits:
        """For how long each thread could have run and had no core."""
        found: Waits = {}
        for process in self._processes():
            for thread in Path(f"/proc/{process.pid}/task").glob("*"):
                try:
                    found[process.pid, thread.name] = int((thread / "schedstat").read_text().split()[1]) / 1e9
                except OSError:
                    continue  # it has just ended
        return found

    def _computed_by_others_s(self) -> float:
        busy = psutil.cpu_times()
        all_s = busy.user + busy.nice + busy.system + busy.irq + busy.softirq + busy.steal
        own = [process.cpu_times()[:4] for process in self._processes()]  # with those of children that have ended
        return float(all_s - sum(map(sum, own)))
