"""The consumers under test: real processes, started again when they die, as an orchestrator does."""

import logging
import os
import random
import re
import signal
from pathlib import Path
from typing import Any, Final, TextIO

from velox.children import Child
from velox.tools.up.environment import as_environment, free_port
from velox.tools.up.scraping import Scrape, Scraper
from velox.tools.up.tally import Lives

log = logging.getLogger(__name__)

_MAX_RESTARTS: Final = 5
"""Unasked for, of one consumer."""
_PROC: Final = Path("/proc")
_LAST_WORDS: Final = re.compile(r": (?P<predicted>\d+) predicted, \d+ detections, (?P<dead_lettered>\d+) dead-lettered")


class Member:
    """One ``velox consume``."""

    def __init__(self, changed: dict[str, Any], log_file: TextIO) -> None:
        """Plan it, with a port for its metrics; these settings differ from the user's."""
        port = free_port()
        self._child = Child("consume", as_environment(changed | {"metrics_port": port}), log_file, _no_trouble)
        self._scraper = Scraper(port)
        self._lives = Lives()
        self._last = Scrape()
        self._full = 0
        """Inference processes it has when nothing is wrong."""
        self._was_ready = False
        self.restarts = 0
        """Unasked for."""
        self._is_leaving = False
        self._held: list[int] = []
        """Processes that are stopped."""
        self.unready_because: str | None = "starting"

    @property
    def is_healthy(self) -> bool:
        """Say whether it is ready with all its inference processes."""
        return self.unready_because is None and self._last.inference_processes >= self._full > 0

    @property
    def counted(self) -> Scrape:
        """What it counted over all its lives, as far as it could be asked."""
        return self._lives.total

    @property
    def inference_restarts(self) -> int:
        """Inference processes replaced in its present life."""
        return self._last.inference_restarts

    @property
    def exit_code(self) -> int | None:
        """What it ended with; None while it runs."""
        return self._child.exit_code

    def start(self) -> None:
        """Begin a life."""
        self.unready_because, self._last = "starting", Scrape()
        self._child.start()

    def look(self) -> None:
        """Ask how it is; start it again when it has ended and nobody told it to.

        Raises:
            VeloxError: it ends again and again, or before it was ever ready.
        """
        if self._child.exit_code is not None:
            if not self._is_leaving:
                self._revive(self._child.exit_code)
            return
        self.unready_because = self._scraper.unready_because()
        if scrape := self._scraper.scrape():
            self._last = scrape
            self._lives.saw(scrape)
            if self.unready_because is None:
                self._was_ready = True
                self._full = max(self._full, scrape.inference_processes)

    def hold(self) -> None:
        """Stop its inference processes (SIGSTOP) until it or one of them is killed: records wait for them meanwhile."""
        for pid in _inference_pids(self._child.pid):
            if _signal(pid, signal.SIGSTOP):
                self._held.append(pid)

    def release(self) -> None:
        """Let go on what was held."""
        for pid in self._held:
            _signal(pid, signal.SIGCONT)
        self._held.clear()

    def kill(self) -> None:
        """Kill it (SIGKILL), and start it again."""
        self._child.kill()
        self.release()  # what is stopped does not notice that the consumer is dead
        self._child.close()
        self._begin_again()

    def kill_inference(self) -> bool:
        """Kill one of its inference processes; False when it has none just now."""
        pids = _inference_pids(self._child.pid)
        was_killed = bool(pids) and _signal(random.choice(pids), signal.SIGKILL)  # noqa: S311 - guards no secret
        self.release()
        return was_killed

    def leave(self) -> None:
        """Tell it to drain and end (SIGTERM), for good."""
        self._is_leaving = True
        self._child.terminate()

    def close(self) -> None:
        """Leave nothing of it behind, and take its last words for what it counted."""
        self._is_leaving = True
        self.release()
        self._child.close()
        if counted := next((found for line in self._child.tail if (found := _LAST_WORDS.search(line))), None):
            self._lives.saw(Scrape(predicted=int(counted["predicted"]), dead_lettered=int(counted["dead_lettered"])))

    def _revive(self, code: int) -> None:
        if not self._was_ready or self.restarts == _MAX_RESTARTS:
            why = "before it was ready" if not self._was_ready else f"after {_MAX_RESTARTS} restarts"
            self._child.close()
            raise self._child.ended(why)
        self.restarts += 1
        log.warning("A consumer ended by itself with exit code %s; starting it again", code)
        self.release()
        self._child.close()
        self._begin_again()

    def _begin_again(self) -> None:
        self._lives.ended()
        self.start()


class Members:
    """All consumers under test."""

    def __init__(self, changed: dict[str, Any], log_file: TextIO) -> None:
        """Plan them; ``join`` starts one."""
        self._changed = changed
        self._log_file = log_file
        self._present: list[Member] = []
        self._gone: list[Member] = []

    @property
    def are_healthy(self) -> bool:
        """Say whether each is ready with all its inference processes; true when there is none."""
        return all(member.is_healthy for member in self._present)

    @property
    def counted(self) -> int:
        """Results and dead letters that all of them counted, over all their lives."""
        counted = (member.counted for member in [*self._present, *self._gone])
        return sum(count.predicted + count.dead_lettered for count in counted)

    @property
    def restarts(self) -> int:
        """Consumers that ended by themselves and were started again."""
        return sum(member.restarts for member in [*self._present, *self._gone])

    def unready_because(self) -> str | None:
        """Say what the first of those that are not ready waits for."""
        return next((why for member in self._present if (why := member.unready_because) is not None), None)

    def any(self) -> Member:
        """Choose one."""
        return random.choice(self._present)  # noqa: S311 - guards no secret

    def join(self) -> Member:
        """Start one more."""
        name = self._changed.get("group_instance_id")
        number = len(self._present) + len(self._gone)
        member = Member(self._changed | ({"group_instance_id": f"{name}-{number}"} if name else {}), self._log_file)
        self._present.append(member)
        member.start()
        return member

    def gone(self, member: Member) -> None:
        """Look after one that has left no longer; what it counted stays."""
        member.close()
        self._present.remove(member)
        self._gone.append(member)

    def look(self) -> None:
        """Ask each how it is, and start those again that died.

        Raises:
            VeloxError: one cannot be kept alive.
        """
        for member in self._present:
            member.look()

    def leave(self) -> None:
        """Have all drain and end."""
        for member in self._present:
            member.leave()

    @property
    def have_ended(self) -> bool:
        """Say whether no process is left."""
        return all(member.exit_code is not None for member in self._present)

    def ended_badly(self) -> list[str]:
        """Name those that did not drain and end as they should, of those that left earlier too."""
        codes = [member.exit_code for member in [*self._gone, *self._present]]
        return [f"a consumer ended with exit code {code} when told to drain" for code in codes if code]

    def close(self) -> None:
        """End whatever still runs, at once."""
        for member in self._present:
            member.close()


def _no_trouble(_name: str, _message: str) -> None:
    """Leave it in the log: under faults, warnings are to be expected."""


def _signal(pid: int, number: signal.Signals) -> bool:
    """Send a signal; False when the process has ended meanwhile."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def _inference_pids(parent_pid: int) -> list[int]:
    """Find the inference processes of a consumer: its children that were spawned to work."""
    found = []
    for stat in _PROC.glob("[0-9]*/stat"):
        try:
            # pid (name) state ppid …; the name may contain spaces and brackets itself.
            ppid = int(stat.read_text().rpartition(")")[2].split()[1])
            if ppid == parent_pid and b"spawn_main" in stat.with_name("cmdline").read_bytes():
                found.append(int(stat.parent.name))
        except OSError:  # it has ended meanwhile
            continue
    return found
