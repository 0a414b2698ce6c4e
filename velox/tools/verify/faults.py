"""Injects the faults, one after the other: the next only when consuming has recovered from the last."""

import logging
import shlex
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from time import monotonic
from typing import Final

from velox.core.deadline import Deadline
from velox.errors import VeloxError
from velox.tools.verify.members import Member, Members
from velox.tools.verify.plan import Fault, Kind
from velox.tools.verify.watch import Watch

log = logging.getLogger(__name__)

LIMIT_S: Final = 120.0
"""A fault that is not over after this time, or a command that runs longer, is waited for no more."""

_GATHER_S: Final = 0.3
"""Inference processes that are held for so long have records in hand."""
_COMMIT_S: Final = 5.0
"""The next commit is waited for no longer, whatever COMMIT_INTERVAL_S says."""

SERVICES: Final = {Kind.KILL_GATEWAY: "the gateway", Kind.KILL_WEBHOOKS: "the webhook worker"}
"""The titles of what is killed."""

_OVER: Final = object()

Step = Iterator[None]
"""A fault in progress; it goes on each time it is asked for the next step."""


class Faults:
    """The faults of a run, in the order they are due."""

    def __init__(
        self,
        faults: list[Fault],
        members: Members,
        watch: Watch,
        *,
        commit_interval_s: float,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """Plan them, for consumers that commit as often."""
        self.not_recovered: list[str] = []
        self.injected = 0
        self._left = list(faults)
        self._all = len(faults)
        self._members = members
        self._watch = watch
        self._step: Step | None = None
        self._commit_interval_s = commit_interval_s
        self._kills: Counter[Kind] = Counter()
        self._clock = clock
        self._deadline = Deadline(LIMIT_S, clock=clock)
        self._doing: dict[Kind, Callable[[Fault], Step]] = {
            Kind.KILL_CONSUMER: self._kill_consumer,
            Kind.KILL_INFERENCE: self._kill_inference,
            Kind.KILL_GATEWAY: self._kill_service,
            Kind.KILL_WEBHOOKS: self._kill_service,
            Kind.JOIN: self._join_and_leave,
            Kind.BROKER_RESTART: self._run_command,
            Kind.SINK_OUTAGE: self._run_command,
        }

    @property
    def are_over(self) -> bool:
        """Say whether none is left and the last one is over."""
        return not self._left and not self._is_busy

    @property
    def next_at(self) -> float:
        """The number of the record that has to wait for the next fault."""
        return self._left[0].at if self._left else float("inf")

    @property
    def now(self) -> str:
        """Say which fault is in progress, for showing; empty when none is."""
        return f"fault {self.injected} of {self._all}" if self._is_busy else ""

    @property
    def _is_busy(self) -> bool:
        return self._step is not None or self._watch.is_recovering

    def skip(self) -> None:
        """Inject no more."""
        self._left.clear()

    def step(self, published: int, *, healthy: bool) -> None:
        """Go on with the fault in progress, or begin the next one when it is due and all is well.

        Raises:
            VeloxError: the user's command failed.
        """
        if self._is_busy:
            if self._deadline.has_passed():
                self._give_up()
            elif self._step is not None and next(self._step, _OVER) is _OVER:
                self._step = None
            return
        if self._left and published >= self._left[0].at and healthy:
            fault = self._left.pop(0)
            self.injected += 1
            self._deadline = Deadline(LIMIT_S, clock=self._clock)
            self._step = self._doing[fault.kind](fault)

    def recovered(self, took_s: float) -> None:
        """Hear that consuming has recovered from the fault in progress."""
        log.info("Fault %d of %d: recovered in %.1f s", self.injected, self._all, took_s)

    def _give_up(self) -> None:
        log.warning("Fault %d of %d: not recovered within %g s", self.injected, self._all, LIMIT_S)
        self.not_recovered.append(f"fault {self.injected} was not recovered from within {LIMIT_S:g} s")
        self._step = None
        self._watch.give_up()

    def _kill_consumer(self, _fault: Fault) -> Step:
        log.info("Fault %d of %d: killing a consumer", self.injected, self._all)
        member = self._members.any()
        # Whatever has been committed too early by then is lost with the consumer.
        yield from self._hold(Kind.KILL_CONSUMER, member, min(self._commit_interval_s, _COMMIT_S) + _GATHER_S)
        member.look()  # what it has counted goes with it
        began = self._clock()
        member.kill()
        self._watch.fault(Kind.KILL_CONSUMER, seconds_ago=self._clock() - began)
        yield

    def _kill_inference(self, _fault: Fault) -> Step:
        member = self._members.any()
        before = member.inference_restarts
        log.info("Fault %d of %d: killing an inference process", self.injected, self._all)
        yield from self._hold(Kind.KILL_INFERENCE, member, _GATHER_S)
        while not member.kill_inference():
            yield
        began = self._clock()
        while member.inference_restarts == before:  # until then it does not know that it is not well
            yield
        self._watch.fault(Kind.KILL_INFERENCE, seconds_ago=self._clock() - began)

    def _kill_service(self, fault: Fault) -> Step:
        title = SERVICES[fault.kind]
        log.info("Fault %d of %d: killing %s", self.injected, self._all, title)
        began = self._clock()
        self._members.service(title).kill()
        self._watch.fault(fault.kind, seconds_ago=self._clock() - began)
        yield

    def _hold(self, kind: Kind, member: Member, hold_s: float) -> Step:
        """Let records pile up before every other kill of a kind, and the first: by chance few kills would meet any."""
        self._kills[kind] += 1
        if self._kills[kind] % 2 == 0:
            return
        member.hold()
        until = Deadline(hold_s, clock=self._clock)
        try:
            while not until.has_passed():
                self._watch.stands_still_on_purpose()
                yield
        except GeneratorExit:  # it is given up
            member.release()
            raise

    def _join_and_leave(self, _fault: Fault) -> Step:
        log.info("Fault %d of %d: a consumer joins, then leaves", self.injected, self._all)
        member = self._members.join()
        self._watch.fault(Kind.JOIN)
        while self._watch.is_recovering:
            yield
        member.leave()
        self._watch.fault(Kind.LEAVE)
        while member.exit_code is None:
            yield
        self._members.gone(member)

    def _run_command(self, fault: Fault) -> Step:
        log.info("Fault %d of %d: %s: %s", self.injected, self._all, fault.kind, fault.command)
        with subprocess.Popen(["/bin/sh", "-c", fault.command], stdin=subprocess.DEVNULL) as process:  # noqa: S603 - the user's own command
            try:
                while process.poll() is None:
                    yield
            finally:
                process.kill()
        if process.returncode:
            raise VeloxError(f"{shlex.quote(fault.command)} ended with exit code {process.returncode}")
        self._watch.fault(fault.kind)
