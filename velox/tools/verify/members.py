"""The processes under test, consumers first; each is started again when it dies, as an orchestrator does."""

import os
import random
import re
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, TextIO

from velox.tools.up.environment import as_environment, free_port
from velox.tools.up.scraping import Scrape
from velox.tools.up.tally import Lives
from velox.tools.verify.services import Service

_PROC: Final = Path("/proc")
_LAST_WORDS: Final = re.compile(r": (?P<predicted>\d+) predicted, \d+ detections, (?P<dead_lettered>\d+) dead-lettered")


class Member(Service):
    """One ``velox consume``."""

    def __init__(self, changed: dict[str, Any], log_file: TextIO) -> None:
        """Plan it, with a port for its metrics; these settings differ from the user's."""
        port = free_port()
        environment = as_environment(changed | {"metrics_port": port})
        super().__init__("consume", environment, log_file, port=port, title="a consumer")
        self._lives = Lives()
        self._last = Scrape()
        self._full = 0
        """Inference processes it has when nothing is wrong."""
        self._held: list[int] = []
        """Processes that are stopped."""

    @property
    def is_healthy(self) -> bool:
        """Say whether it is ready with all its inference processes."""
        return super().is_healthy and self._last.inference_processes >= self._full > 0

    @property
    def counted(self) -> Scrape:
        """What it counted over all its lives, as far as it could be asked."""
        return self._lives.total

    @property
    def inference_restarts(self) -> int:
        """Inference processes replaced in its present life."""
        return self._last.inference_restarts

    def start(self) -> None:
        """Begin a life."""
        self._last = Scrape()
        super().start()

    def look(self) -> None:
        """Ask how it is, and what it has counted; start it again when it has ended and nobody told it to.

        Raises:
            VeloxError: it ends again and again, or before it was ever ready.
        """
        super().look()
        if self.exit_code is None and (scrape := self._scraper.scrape()):
            self._last = scrape
            self._lives.saw(scrape)
            if self.unready_because is None:
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

    def kill_inference(self) -> bool:
        """Kill one of its inference processes; False when it has none just now."""
        pids = _inference_pids(self._child.pid)
        was_killed = bool(pids) and _signal(random.choice(pids), signal.SIGKILL)  # noqa: S311 - guards no secret
        self.release()
        return was_killed

    def close(self) -> None:
        """Leave nothing of it behind, and take its last words for what it counted."""
        self.release()
        super().close()
        if counted := next((found for line in self._child.tail if (found := _LAST_WORDS.search(line))), None):
            self._lives.saw(Scrape(predicted=int(counted["predicted"]), dead_lettered=int(counted["dead_lettered"])))

    def _clear(self) -> None:
        self.release()  # what is stopped does not notice that the consumer is dead
        super()._clear()
        self._lives.ended()


class Members:
    """All processes under test: consumers, and the services through which records come to them."""

    def __init__(self, changed: dict[str, Any], log_file: TextIO, services: Sequence[Service] = ()) -> None:
        """Plan them; ``serve`` starts the services, ``join`` a consumer."""
        self._changed = changed
        self._log_file = log_file
        self._services = services
        self._present: list[Member] = []
        self._gone: list[Member] = []

    @property
    def are_healthy(self) -> bool:
        """Say whether each is ready, with all its inference processes; true when there is none."""
        return all(each.is_healthy for each in self._all)

    @property
    def counted(self) -> int:
        """Results and dead letters that all of them counted, over all their lives."""
        counted = (member.counted for member in [*self._present, *self._gone])
        return sum(count.predicted + count.dead_lettered for count in counted)

    @property
    def restarts(self) -> int:
        """Processes that ended by themselves and were started again."""
        return sum(each.restarts for each in [*self._all, *self._gone])

    @property
    def _all(self) -> list[Service]:
        return [*self._services, *self._present]

    def unready_because(self) -> str | None:
        """Say what the first of those that are not ready waits for."""
        return next((why for each in self._all if (why := each.unready_because) is not None), None)

    def serve(self) -> None:
        """Start the services."""
        for service in self._services:
            service.start()

    def service(self, title: str) -> Service:
        """Answer the service of that title."""
        return next(service for service in self._services if service.title == title)

    def any(self) -> Member:
        """Choose a consumer."""
        return random.choice(self._present)  # noqa: S311 - guards no secret

    def join(self) -> Member:
        """Start one more consumer."""
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
        for each in self._all:
            each.look()

    def leave(self) -> None:
        """Have all drain and end."""
        for each in self._all:
            each.leave()

    @property
    def have_ended(self) -> bool:
        """Say whether no process is left."""
        return all(each.exit_code is not None for each in self._all)

    def ended_badly(self) -> list[str]:
        """Name those that did not drain and end as they should, of those that left earlier too."""
        ended = [(each.title, each.exit_code) for each in [*self._gone, *self._all]]
        return [f"{title} ended with exit code {code} when told to drain" for title, code in ended if code]

    def close(self) -> None:
        """End whatever still runs, at once."""
        for each in self._all:
            each.close()


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
