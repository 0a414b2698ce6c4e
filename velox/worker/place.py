"""One model's place: the member that serves it, the one that is to take over, and those that drain."""

import logging
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from time import monotonic, time
from typing import Final

from velox.core.retries import backoff_s
from velox.model_reports import ModelReport, State
from velox.worker.catalogue import Wanted
from velox.worker.member import Running, Start

log = logging.getLogger(__name__)

_FIRST_WAIT_S: Final = 1.0
_LONGEST_WAIT_S: Final = 60.0
_SOUND_S: Final = 60.0
"""Who was ready for so long and ends, is started again at once; others wait longer each time."""
_EXIT_MARGIN_S: Final = 10.0


@dataclass(slots=True)
class _Seat:
    """A member, and what is known of it."""

    running: Running
    wanted: Wanted
    since: float
    """When it was started, or asked to end."""
    ready_since: float | None = None
    unready_because: str | None = "starting"


class Place:
    """Keeps one model served, whatever becomes of its members. ``step`` is called again and again, by one thread."""

    def __init__(
        self,
        name: str,
        start: Start,
        *,
        ready_within_s: float,
        drain_s: float,
        clock: Callable[[], float] = monotonic,
        rng: random.Random | None = None,
    ) -> None:
        """Start nothing yet."""
        self.name = name
        self._start = start
        self._ready_within_s = ready_within_s
        self._drain_s = drain_s
        self._clock = clock
        self._rng = rng
        self._waits = self._new_waits()
        self._current: _Seat | None = None
        self._next: _Seat | None = None
        self._draining: list[_Seat] = []
        self._refused = ""
        """Fingerprint of what did not become ready, and is not tried again while another one serves."""
        self._due_at = 0.0
        self._cause = ""
        self._has_served = False
        """The member before the present one was ready; it was no model that cannot be loaded."""
        self._state: tuple[State, float] = ("starting", time())
        self.ended_badly = False
        """A member that was asked to drain ended with another exit code than 0, or had to be killed."""

    @property
    def is_empty(self) -> bool:
        """Say whether no process is left."""
        return not (self._current or self._next or self._draining)

    @property
    def ports(self) -> set[int]:
        """Ports of its members."""
        return {seat.running.port for seat in (self._current, self._next, *self._draining) if seat}

    def step(self, wanted: Wanted | None) -> None:
        """Do what is to be done now for this model to be served as ``wanted``; None = by nobody any more."""
        self._bury()
        if wanted is None:
            self.drain()
        else:
            self._look_after_current(wanted)
            self._look_after_next(wanted)
        self._note()

    def drain(self) -> None:
        """Have all members finish what they have, and end."""
        for seat in (self._current, self._next):
            if seat:
                self._let_go(seat)
        self._current = self._next = None

    def close(self) -> None:
        """End all members at once."""
        for seat in (self._current, self._next, *self._draining):
            if seat:
                seat.running.close()
        self._current, self._next, self._draining = None, None, []

    def report(self) -> ModelReport:
        """Say how it is."""
        state, since = self._state
        port = self._current.running.port if self._current else 0
        return ModelReport(self.name, state, self._cause, port, since)

    def _look_after_current(self, wanted: Wanted) -> None:
        seat = self._current
        if seat and seat.running.exit_code is not None:
            self._has_died(seat)
            seat = self._current
        if seat:
            self._ask(seat)
        elif wanted.problem:
            self._cause = wanted.problem
        elif self._clock() >= self._due_at:
            self._current = self._begin(wanted)

    def _look_after_next(self, wanted: Wanted) -> None:
        """Have another member take over when what is wanted has changed, once it is ready."""
        current = self._current
        if current is None:
            return
        if wanted.problem:
            self._cause = f"not changed: {wanted.problem}"
            return
        if self._next and self._next.wanted.fingerprint != wanted.fingerprint:
            self._let_go(self._next)
            self._next = None
        if self._next:
            self._judge(current, self._next)
        elif wanted.fingerprint not in {current.wanted.fingerprint, self._refused}:
            log.info("Model %s has changed: starting it anew beside the one that serves", self.name)
            self._next = self._begin(wanted)

    def _judge(self, current: _Seat, successor: _Seat) -> None:
        """Let the new one take over when it is ready; give it up when it ends, or takes too long."""
        if successor.running.exit_code is not None:
            self._refuse(successor, successor.running.last_words)
        elif self._ask(successor) is None:
            log.info("Model %s: the new one is ready, the old one drains", self.name)
            self._let_go(current)
            self._current, self._next, self._refused, self._cause = successor, None, "", ""
        elif self._clock() - successor.since > self._ready_within_s:
            self._refuse(successor, f"not ready within {self._ready_within_s:.0f} s: {successor.unready_because}")

    def _begin(self, wanted: Wanted) -> _Seat:
        return _Seat(self._start(wanted.entry), wanted, self._clock())

    def _has_died(self, seat: _Seat) -> None:
        """Plan when to start it again; if another is to take over anyway, it does so now."""
        self._cause = seat.running.last_words
        self._has_served = seat.ready_since is not None
        log.error("Model %s ended with exit code %s: %s", self.name, seat.running.exit_code, self._cause)
        seat.running.close()
        self._current, self._next = self._next, None
        self._refused = ""
        if self._current:
            return
        now = self._clock()
        if seat.ready_since is not None and now - seat.ready_since >= _SOUND_S:
            self._waits = self._new_waits()
            self._due_at = now
        else:
            wait_s = next(self._waits)
            self._due_at = now + wait_s
            log.info("Model %s: started again in %.1f s", self.name, wait_s)

    def _refuse(self, successor: _Seat, why: str) -> None:
        log.error("Model %s: the change cannot be made, the one before serves on: %s", self.name, why)
        self._cause = f"not changed: {why}"
        self._refused = successor.wanted.fingerprint
        successor.running.close()
        self._next = None

    def _ask(self, seat: _Seat) -> str | None:
        seat.unready_because = seat.running.unready_because()
        if seat.unready_because is None and seat.ready_since is None:
            seat.ready_since = self._clock()
            if seat is self._current:
                log.info("Model %s is ready; metrics on port %d", self.name, seat.running.port)
                self._cause = ""
        return seat.unready_because

    def _let_go(self, seat: _Seat) -> None:
        seat.running.terminate()
        seat.since = self._clock()
        self._draining.append(seat)

    def _bury(self) -> None:
        left = []
        for seat in self._draining:
            is_late = self._clock() - seat.since > self._drain_s + _EXIT_MARGIN_S
            if seat.running.exit_code is None and not is_late:
                left.append(seat)
                continue
            if seat.running.exit_code != 0:
                self.ended_badly = True
                why = seat.running.last_words if seat.running.exit_code is not None else "it did not end"
                log.error("Model %s: a member was not drained: %s", self.name, why)
            seat.running.close()
        self._draining = left

    def _note(self) -> None:
        state = self._judged()
        if state != self._state[0]:
            self._state = (state, time())

    def _judged(self) -> State:
        seat = self._current
        if seat and seat.unready_because is None:
            return "ready"
        if seat and seat.ready_since is not None:
            self._cause = str(seat.unready_because)
            return "unready"
        if self._cause:  # of an end before: by now it may be mended, or not
            return "unready" if self._has_served else "failing"
        if seat:
            return "starting"
        return "draining" if self._draining else "starting"

    def _new_waits(self) -> Iterator[float]:
        return backoff_s(first_s=_FIRST_WAIT_S, cap_s=_LONGEST_WAIT_S, rng=self._rng)
