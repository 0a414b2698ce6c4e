"""One run from the first record to the account: consumers, load, faults, reading the rest, reconciliation."""

import logging
import secrets
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from time import monotonic
from typing import Final, TextIO

from velox import logs
from velox.core.deadline import Deadline
from velox.errors import BrokerUnavailableError, VeloxError
from velox.kafka.embedded import EmbeddedBroker
from velox.kafka.lag import Observer
from velox.progress import Progress
from velox.records import Partition
from velox.settings import Settings
from velox.signals import StopRequest
from velox.sinks.kafka import results_topic
from velox.tools.verify.evidence import inspect
from velox.tools.verify.faults import Faults
from velox.tools.verify.ledger import reconcile
from velox.tools.verify.members import Members
from velox.tools.verify.objects import FromBucket
from velox.tools.verify.plan import Plan
from velox.tools.verify.premises import Premises, establish
from velox.tools.verify.report import Report
from velox.tools.verify.watch import Watch
from velox.tools.verify.way import Straight, Way

log = logging.getLogger(__name__)

_POLL_S: Final = 0.01
_LOOK_S: Final = 0.1
_READY_MARGIN_S: Final = 60.0
_PATIENCE_S: Final = 60.0
"""Nothing committed or acknowledged for so long, with no fault in progress, means that nothing will be."""
_EXIT_MARGIN_S: Final = 10.0


class _Stopped(Exception):  # noqa: N818 - not an error: somebody asked for it
    """Stop at once."""


def run(settings: Settings, plan: Plan) -> int:
    """Produce, disturb, wait, reconcile, report. The first signal ends producing, the second everything.

    Returns:
        0 when every acknowledged record is accounted for exactly once, 1 when not, 130 when it was stopped before.

    Raises:
        VeloxError: it cannot run: wrong arguments, no broker, a consumer that does not start, a command that fails.
    """
    logs.configure(level=settings.log_level, form=settings.log_format)
    plan.check(settings)
    run_id = secrets.token_hex(4)
    with StopRequest() as stop, ExitStack() as stack:
        log_file = stack.enter_context(_open_log(plan.log_path))
        bootstrap = None
        if plan.embedded:
            own = establish(settings, plan, run_id, "none")
            topics = [*own.topics, own.letters_topic, results_topic(own.settings)]
            bootstrap = stack.enter_context(EmbeddedBroker(topics)).start()
        premises = establish(settings, plan, run_id, bootstrap)
        way = _way(premises, run_id, log_file)
        premises.prepare()
        try:
            with way, _Run(premises, way, log_file, stop) as one:
                report = one.go()
        except _Stopped:
            log.warning("Stopped at once: nothing was checked")
            return 130
        finally:
            if plan.keep:
                log.info("Kept: topic %s, ids that begin with %s", premises.settings.kafka_topic, way.records.prefix)
            else:
                premises.clear(way.records.prefix)
        report.show()
        if plan.json_path:
            report.save(plan.json_path)
        return 1 if report.problems else 0


def _open_log(path: Path) -> TextIO:
    try:
        return path.open("w")
    except OSError as error:
        msg = f"--log {path}: {error.strerror}; name a file that can be written"
        raise VeloxError(msg) from error


def _way(premises: Premises, run_id: str, log_file: TextIO) -> Way:
    if not premises.plan.through_gateway:
        return FromBucket(premises, run_id) if premises.settings.is_apart else Straight(premises, run_id)
    try:
        from velox.tools.verify.gateway import ThroughGateway  # noqa: PLC0415 - needs libraries that others do without
    except ImportError as error:
        msg = f"--through gateway needs packages that are not installed ({error}): pip install 'velox[gateway,client]'"
        raise VeloxError(msg) from error
    return ThroughGateway(premises, run_id, log_file)


class _Run:
    """The phases, in the direction of flow; one thread, a look at everything several times a second."""

    def __init__(self, premises: Premises, way: Way, log_file: TextIO, stop: StopRequest) -> None:
        settings, self._plan = premises.settings, premises.plan
        self._premises = premises
        self._settings = settings
        self._stop = stop
        self._way = way
        self._watch = Watch()
        self._observer = Observer(settings)
        self._load = way.load(lambda: self._watch.committed, self._observer)
        self._members = Members(premises.changed, log_file, way.services)
        self._faults = Faults(
            self._plan.faults(), self._members, self._watch, commit_interval_s=settings.commit_interval_s
        )
        self._progress = Progress(self._plan.count, what="done")
        self._look = Deadline(0)
        self._heard = (0, 0)
        """How much is acknowledged, and how much is still to arrive elsewhere, at the last look."""
        self._answer = Deadline(_PATIENCE_S)
        """By when Kafka has to acknowledge the next record, if one is on its way."""
        self._problems: list[str] = []
        self._took_s = 0.0

    def __enter__(self) -> "_Run":
        return self

    def __exit__(self, *_: object) -> None:
        self._members.close()
        self._observer.close()

    def go(self) -> Report:
        """Take every step; say what came of it."""
        log.info("Run %s, model %s", self._load.records.run, self._premises.model)
        log.info("Consumers log to %s", self._plan.log_path)
        self._start_consumers()
        letters_since = self._ends_of_dead_letters()
        began = monotonic()
        with self._progress:
            logs.configure(level=self._settings.log_level, form="human")  # to where a bar lets lines appear
            self._produce()
            self._read_the_rest()
        logs.configure(level=self._settings.log_level, form="human")
        self._took_s = monotonic() - began
        self._stop_consumers()
        return self._reconcile(letters_since)

    def _start_consumers(self) -> None:
        self._members.serve()
        for _ in range(self._plan.consumers):
            self._members.join()
        limit_s = self._settings.inference_start_timeout_s + _READY_MARGIN_S
        deadline = Deadline(limit_s)
        while not self._members.are_healthy:
            if deadline.has_passed():
                why = f"({self._members.unready_because()}); see {self._plan.log_path}"
                raise VeloxError(f"the consumers were not ready within {limit_s:.0f} s {why}")
            if self._stop.is_made():
                raise _Stopped
            self._step()

    def _produce(self) -> None:
        load, faults = self._load, self._faults
        while load.published < self._plan.count and not self._stop.is_made() and not self._is_stuck():
            load.publish(int(min(faults.next_at, self._plan.count)))
            self._step()
        faults.skip()

    def _read_the_rest(self) -> None:
        while self._load.publisher.waiting or self._watch.unread or self._way.outstanding or not self._faults.are_over:
            if self._is_stuck():
                why = self._members.unready_because() or "consumers say that all is well"
                what = "acknowledged by Kafka" if self._answer.has_passed() else "committed"
                self._problems.append(f"nothing {what} for {_PATIENCE_S:.0f} s: {why}; see {self._plan.log_path}")
                return
            self._step()

    def _is_stuck(self) -> bool:
        """Say whether all stands still although no fault is in progress."""
        return not self._faults.now and (self._answer.has_passed() or self._watch.still_for_s > _PATIENCE_S)

    def _stop_consumers(self) -> None:
        self._members.leave()
        deadline = Deadline(self._settings.drain_s + _EXIT_MARGIN_S)
        while not self._members.have_ended:
            if deadline.has_passed():
                self._problems.append("a consumer did not drain in time")
                break
            self._step()
        self._problems += self._members.ended_badly()

    def _step(self) -> None:
        """Take a look when it is time to, and go on with the faults."""
        if self._stop.is_urgent():
            raise _Stopped
        self._load.publisher.poll(_POLL_S)
        self._watch.ends = self._load.ends
        if not self._look.has_passed():
            return
        self._members.look()
        healthy = self._members.are_healthy
        took_s = self._watch.saw(self._committed(), self._load.ends, healthy=healthy)
        if took_s is not None:
            self._faults.recovered(took_s)
        self._faults.step(self._load.published, healthy=healthy)
        heard = (len(self._load.acknowledged), self._way.outstanding)
        is_quiet = not (self._load.publisher.waiting or self._way.outstanding)
        if heard != self._heard or is_quiet or self._faults.now:
            # A receiver that was down is left alone for as long again: the waits of its circuit double.
            self._heard, self._answer = heard, Deadline(_PATIENCE_S + 2 * self._plan.receiver_down_s)
        self._progress.show(max(0, len(self._load.acknowledged) - self._watch.unread), self._load.publisher)
        self._look = Deadline(_LOOK_S)

    def _committed(self) -> Mapping[Partition, int]:
        try:
            return self._observer.committed(list(self._load.ends))
        except BrokerUnavailableError as error:
            log.debug("%s", error)
            return {}

    def _ends_of_dead_letters(self) -> dict[Partition, int]:
        extents = self._observer.extents(self._premises.letters_topic)
        return {partition: extent.high for partition, extent in extents.items()}

    def _reconcile(self, letters_since: Mapping[Partition, int]) -> Report:
        self._watch.saw(self._committed(), self._load.ends, healthy=True)
        found = inspect(
            self._premises,
            self._load,
            self._observer,
            uncommitted=self._watch.unread,
            dead_letters_since=letters_since,
        )
        ledger = reconcile(found.evidence, self._load.records)
        own = bool(self._plan.consumers)
        outcomes = ledger.acknowledged - self._watch.unread
        circumstances = {
            "run": self._load.records.run,
            "topic": self._settings.kafka_topic,
            "model": self._premises.model,
            "consumers": self._plan.consumers or "not ours",
            "faults": self._faults.injected,
            "seconds": round(self._took_s, 1),
            **self._way.facts(),
        }
        return Report(
            ledger=ledger,
            watch=self._watch,
            circumstances=circumstances,
            absorbed=max(0, self._members.counted - outcomes) if own else None,
            restarts=self._members.restarts if own else None,
            unchecked=[*(f"{name}, which has no method `stored`" for name in found.unchecked), *ledger.unchecked()],
            problems=[
                *self._problems,
                *found.problems,
                *ledger.problems(),
                *self._way.problems(self._load),
                *self._faults.not_recovered,
            ],
        )
