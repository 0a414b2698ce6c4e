"""PREDICTOR=serve: hands lists of records to deployments on Ray, in the place of the consumer's own processes."""

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from time import monotonic, time
from typing import Final, Protocol

from velox import __version__
from velox.cluster.frames import Frame, Kind, Reply, Said, Seen, Trouble
from velox.cluster.lots import Lot, Lots
from velox.consumer import observing
from velox.core.deadline import Deadline
from velox.core.freshness import Dropped, Freshness
from velox.core.idleness import Cause
from velox.core.retries import backoff_s
from velox.errors import BadRecordError, InferenceFailedError, Reason, VeloxError
from velox.loading import load_class
from velox.metrics.consumer import ConsumerMetrics
from velox.probes import Report
from velox.records import Answered, ModelInfo, Prediction, Record
from velox.settings import InferenceSettings

log = logging.getLogger(__name__)

_SERVICE: Final = "velox.cluster.handle:ServeHandle"
_MOST_CALLS: Final = 16
_END_S: Final = 2.0
"""A thread that waits for nothing but work ends within this time."""


class Service(Protocol):
    """What predicts frames for whoever asks. Any thread may ask, several at a time; all calls block."""

    def connect(self) -> tuple[ModelInfo, ...] | Trouble:
        """Find the deployments, and say which models they run; may be called again after trouble.

        Raises:
            VeloxError: they will not be found by waiting.
        """

    def ask(self, frames: Sequence[Frame]) -> Reply:
        """Have frames predicted by all models; returns in the end, and soon after ``close``."""

    def close(self) -> None:
        """Let go of what is being asked. Safe to call twice, and without ``connect``."""


class ServePredictor:
    """Keeps several calls on their way, each with a list of records: one record a call would cost ten times as much.

    What a call cannot be answered for, Lots decides. Full queues and what cannot be reached are waited for, with
    back-off; the records stay in flight, which in the end keeps more from being fetched. A frame that cannot be read
    costs its own record only.
    """

    def __init__(self, settings: InferenceSettings, metrics: ConsumerMetrics, service: Service | None = None) -> None:
        """Make it for the deployments on the Ray of this machine, or of RAY_ADDRESS, if no service is given."""
        self._answered: Callable[[list[Answered]], None]
        self.failure: VeloxError | None = None
        """Why no more can be predicted, once that is so."""
        self._settings = settings
        self._metrics = metrics
        self._service: Service = service or load_class(_SERVICE)(settings)
        size = hand_over_size(settings)
        rule = Freshness.of(is_newest_only=settings.is_newest_only, stale_after_ms=settings.stale_after_ms)
        self._lots = Lots(size=size, rule=rule)
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._models: tuple[ModelInfo, ...] = ()
        self._trouble: str | None = None
        """What cannot be reached now; None while all can."""
        calls = max(2, min(_MOST_CALLS, settings.queue_size // size))
        self._threads = [threading.Thread(target=self._run, args=(self._connect,), name="serve", daemon=True)] + [
            threading.Thread(target=self._run, args=(self._work,), name=f"serve-call-{number}", daemon=True)
            for number in range(calls)
        ]

    @property
    def reads_objects(self) -> bool:
        """The deployments read them."""
        return True

    @property
    def reports(self) -> dict[str, Report]:
        """Nothing but metrics."""
        return {}

    def start(self, answered: Callable[[list[Answered]], None]) -> None:
        """Look for the deployments; records are handed over once they are there."""
        self._answered = answered
        self._threads[0].start()

    @property
    def ready_processes(self) -> int:
        """Count the models that answer; how many replicas of each there are, Ray knows."""
        return 0 if self._trouble else len(self._models)

    @property
    def is_warm(self) -> bool:
        """Say whether the deployments have answered."""
        return bool(self._models)

    @property
    def in_hand(self) -> int:
        """Count the records that are not answered."""
        with self._changed:
            return len(self._lots)

    def stuck(self) -> str | None:
        """Nothing here is mended by a restart: Ray starts again what dies or hangs on its side."""
        return None

    def submit(self, records: Sequence[Record]) -> None:
        """Take records in; never blocks."""
        with self._changed:
            self._lots.add(records)
            dropped = self._lots.take_dropped()
            self._changed.notify_all()
        self._drop(dropped)

    def is_behind(self) -> bool:
        """Say whether records wait that are in no call yet."""
        return self._lots.waiting > 0

    def lacks_because(self, cause: Cause) -> None:
        """No device is ours, so that nothing of ours is idle."""

    def close(self, deadline: Deadline) -> bool:
        """Ask no more; False when a call did not end in time."""
        self._closing.set()
        with self._changed:
            self._changed.notify_all()
        self._service.close()
        until = Deadline(max(_END_S, deadline.left_s()))
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(until.left_s())
        return not any(thread.is_alive() for thread in self._threads)

    def _run(self, target: Callable[[], None]) -> None:
        try:
            target()
        except VeloxError as error:
            self.failure = error
        except Exception as error:
            log.exception("Predicting by Ray Serve failed")
            self.failure = InferenceFailedError(f"predicting by Ray Serve failed: {error!r}")

    def _connect(self) -> None:
        started = monotonic()
        waits = backoff_s()
        while isinstance(found := self._service.connect(), Trouble):
            self._note(found)
            if self._closing.wait(next(waits)):
                return
        self._note(None)
        for model in found:
            log.info("Ray Serve predicts with %s (%s, %s)", model.name, model.version, model.device)
            self._metrics.predicts_with(model.name)
            self._metrics.build.labels(__version__, model.name, model.version).set(1)
        self._metrics.model_load.set(monotonic() - started)
        observing.warn_of_labels([label for model in found for label in model.labels], self._settings)
        self._models = found
        for thread in self._threads[1:]:
            thread.start()

    def _work(self) -> None:
        waits = backoff_s()
        while (lot := self._next()) is not None and self.failure is None:
            reply = self._service.ask(
                [Frame(record.payload, record.pointer, record.produced_at) for record in lot.records]
            )
            if self._closing.is_set():
                return
            if isinstance(reply, Seen):
                waits = backoff_s()
                self._take(lot, reply)
            elif reply.kind is Kind.LOST:
                self._lose(lot, reply.why)
            else:
                self._put_off(lot, reply, waits)

    def _next(self) -> Lot | None:
        """Wait for a lot; None at the end."""
        while not self._closing.is_set():
            with self._changed:
                lot = self._lots.take()
                dropped = self._lots.take_dropped()
                if lot is None and not dropped:
                    self._changed.wait()
            self._drop(dropped)
            if lot is not None:
                return lot
        return None

    def _drop(self, dropped: Dropped) -> None:
        if dropped:
            self._answered([Answered(record, why) for record, why in dropped])

    def _take(self, lot: Lot, seen: Seen) -> None:
        self._note(None)
        predicted = [
            record
            for record, *said in zip(lot.records, *(column.said for column in seen.columns), strict=True)
            if any(isinstance(each, Prediction) for each in said)
        ]
        with self._changed:
            blamed = self._lots.answered(lot, predicted)
            self._changed.notify_all()
        if blamed is not None:
            why = BadRecordError(Reason.KILLED_INFERENCE, "what predicted it died or failed each time, alone as well")
            self._answered([Answered(blamed, why, at=time(), is_of_several=True)])
            return
        self._observe(seen)
        self._answered(list(answers(lot.records, self._excused(seen), time())))

    def _excused(self, seen: Seen) -> Seen:
        """Where only the newest counts, no record is bad because its frame was deleted meanwhile."""
        if not self._settings.is_newest_only:
            return seen
        return Seen([column._replace(said=[_excused(said) for said in column.said]) for column in seen.columns])

    def _lose(self, lot: Lot, why: str) -> None:
        log.warning("Ray Serve lost a call with %d records: %s", len(lot.records), why)
        self._metrics.restarts.inc()
        with self._changed:
            self._lots.lost(lot)
            losses = self._lots.losses_in_a_row
            self._changed.notify_all()
        if losses > self._settings.inference_restarts:
            msg = f"{losses} calls in a row failed with one record each, nothing predicted in between"
            raise InferenceFailedError(f"{msg} (INFERENCE_RESTARTS={self._settings.inference_restarts}): {why}")

    def _put_off(self, lot: Lot, trouble: Trouble, waits: Iterator[float]) -> None:
        if trouble.kind is Kind.DOWN:
            self._note(trouble)
        self._closing.wait(next(waits))
        with self._changed:
            self._lots.later(lot)
            self._changed.notify_all()

    def _note(self, trouble: Trouble | None) -> None:
        """Say once that something cannot be reached, and once that it can again."""
        why = trouble.why if trouble else None
        if why and not self._trouble:
            log.warning("Ray Serve: %s; trying again", why)
        elif self._trouble and not why:
            log.info("Ray Serve is back")
        self._trouble = why

    def _observe(self, seen: Seen) -> None:
        for column in seen.columns:
            name, timings = column.model.name, column.timings
            self._metrics.stages["queue", name].observe(timings.queued_s)
            self._metrics.stages["decode", name].observe(timings.decoded_s)
            self._metrics.stages["inference", name].observe(timings.inferred_s)
            self._metrics.batch_size.observe(timings.batch_size)
            if confidences := [said.confidence for said in column.said if isinstance(said, Prediction)]:
                self._metrics.confidence.set(sum(confidences) / len(confidences))


def _excused(said: Said) -> Said:
    if isinstance(said, BadRecordError) and said.reason is Reason.OBJECT_MISSING:
        return BadRecordError(Reason.OBJECT_GONE, said.detail)
    return said


def hand_over_size(settings: InferenceSettings) -> int:
    """Answer how many records a call takes at most: what the fetcher hands over at once, or all in flight."""
    return min(4 * settings.batch_size, settings.queue_size)


def answers(records: Sequence[Record], seen: Seen, now: float) -> Iterator[Answered]:
    """Put what each model says of a record together as its one answer."""
    for at, record in enumerate(records):
        first, *others = (
            Answered(record, column.said[at], column.model, now, column.timings, is_of_several=True)
            for column in seen.columns
        )
        yield first._replace(beside=tuple(others))
