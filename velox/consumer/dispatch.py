"""Who predicts what: hands records to inference processes, and replaces processes that die or hang."""

import logging
import math
import threading
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from time import monotonic, time

from velox.consumer import observing
from velox.consumer.messages import Answers, Ready, Refused, Reply
from velox.consumer.oddities import Oddities
from velox.consumer.process import Heard, InferenceProcess
from velox.core.deadline import Deadline
from velox.core.freshness import Dropped, Freshness, Line
from velox.core.idleness import Cause, Idleness, Lack
from velox.core.suspicion import Suspicion
from velox.errors import BadRecordError, InferenceFailedError, ModelError, Reason, VeloxError
from velox.metrics.consumer import ConsumerMetrics
from velox.probes import Report
from velox.records import Answered, ModelInfo, Prediction, Record, Timings
from velox.settings import InferenceSettings

log = logging.getLogger(__name__)

_WATCH_S = 0.25
"""Time between two looks for processes that hang: short beside INFERENCE_TIMEOUT_S, and idle work costs little."""
_TURN_S = 2.0
"""A turn of the watching thread takes no longer, unless whoever hears the answers holds it."""
_STUCK_S = 60.0
"""What is killed, or turns, takes a few seconds at most: later it never will."""


class Dispatcher:
    """Keeps the inference processes busy, each with a few batches in hand.

    A process predicts in the order in which it was given records, at most BATCH_SIZE together. When it dies, so many of
    those not answered (or all: it may decode ahead) are suspects, the others wait again. Each suspect is tried alone.
    One that kills it by itself is accused: it is dead-lettered as soon as the next process has predicted a record that
    was fine before, the witness. So a model that fails for everything is blamed on no record, and ends the consumer.

    ``submit`` may be called by any thread.
    """

    def __init__(self, settings: InferenceSettings, devices: Sequence[str], metrics: ConsumerMetrics) -> None:
        """Make it for a process on each of the devices; none is started yet."""
        self._answered: Callable[[list[Answered]], None]
        self.failure: VeloxError | None = None
        """Why no more can be predicted, once that is so; the consumer should end."""
        self._settings = settings
        self._devices = devices
        self._metrics = metrics
        # Where only the newest counts, what a process has in hand is what grows old.
        self._low = settings.batch_size // 2 if settings.is_newest_only else 2 * settings.batch_size
        self._high = settings.batch_size if settings.is_newest_only else 4 * settings.batch_size
        self._oddities = Oddities(metrics)
        self._lock = threading.Lock()
        self._waiting = Line(
            Freshness.of(is_newest_only=settings.is_newest_only, stale_after_ms=settings.stale_after_ms)
        )
        self._suspicion = Suspicion()
        self._lack = Lack(Cause.FETCH, since=monotonic())
        self._closing = threading.Event()
        self._turned_at = monotonic()
        self._heard: Heard = SimpleQueue()
        self._processes: list[InferenceProcess] = []
        self._watcher = threading.Thread(target=self._watch, name="dispatch", daemon=True)

    @property
    def reads_objects(self) -> bool:
        """Payloads are downloaded before they come here."""
        return False

    @property
    def reports(self) -> dict[str, Report]:
        """Nothing but metrics."""
        return {}

    def start(self, answered: Callable[[list[Answered]], None]) -> None:
        """Start the processes; ``answered`` takes what they answer, and is called by the watching thread.

        Whatever this raises, ``close`` ends those that were started: they ignore signals.
        """
        self._answered = answered
        for device in self._devices:
            self._processes.append(InferenceProcess(self._settings, device, self._heard))
        observing.show_decisions(self._metrics, lambda: self._processes)
        self._turned_at = monotonic()
        self._watcher.start()

    @property
    def ready_processes(self) -> int:
        """Count the processes whose model is loaded and warm."""
        return sum(process.model is not None for process in self._processes)

    @property
    def is_warm(self) -> bool:
        """Say whether every process is ready."""
        return self.ready_processes == len(self._devices)

    def stuck(self) -> str | None:
        """Say what cannot go on and would after a restart of the consumer; None while all is well, or ends anyway."""
        if self.failure is not None or self._closing.is_set():
            return None
        now = monotonic()
        if now - self._turned_at > _STUCK_S:
            return f"the dispatcher has not turned for {now - self._turned_at:.0f} s"
        for process in self._processes:
            if process.killed_at is not None and now - process.killed_at > _STUCK_S:
                return f"inference process {process.pid} is still there, {now - process.killed_at:.0f} s after SIGKILL"
        return None

    def submit(self, records: Sequence[Record]) -> None:
        """Take records in; never blocks. How many may be in flight, the caller decides."""
        with self._lock:
            dropped = self._waiting.add(records)
            dropped += self._hand_over()
        self._drop(dropped)

    def is_behind(self) -> bool:
        """Say whether records wait that no process has room for: all will have work for a while."""
        return len(self._waiting) > 0

    @property
    def in_hand(self) -> int:
        """Count the records that wait for a process, or for a process's answer."""
        return len(self._waiting) + len(self._suspicion) + sum(len(process.in_flight) for process in self._processes)

    def lacks_because(self, cause: Cause) -> None:
        """Hear why no more is submitted from now on: processes without work are idle for it. For one thread."""
        if cause != self._lack.cause:
            with self._lock:
                self._lack.turn_to(cause, now=monotonic())

    def close(self, deadline: Deadline) -> bool:
        """End all processes, dropping what they have in flight; False when one, or the watching thread, did not end."""
        self._closing.set()
        if self._watcher.ident is not None:
            self._watcher.join(max(_TURN_S, deadline.left_s()))
        ended = [process.close(deadline.left_s()) for process in self._processes]
        return all(ended) and not self._watcher.is_alive()

    def _hand_over(self) -> Dropped:
        """Give processes what waits; answer what was found to be stale by that."""
        dropped: Dropped = []
        for process in self._processes:
            if process.for_suspects and process.model and not process.in_flight:
                if (record := self._alone(process)) is not None:
                    process.give([record], alone=True)
                else:
                    process.for_suspects = False
        while len(self._waiting):
            open_to_all = [p for p in self._processes if p.model and not p.for_suspects]
            idlest = min(open_to_all, key=lambda p: len(p.in_flight), default=None)
            if idlest is None or len(idlest.in_flight) > self._low:
                break
            # As many as the others that want some will have: none is to be idle while another has several.
            hungry = [len(p.in_flight) for p in open_to_all if len(p.in_flight) <= self._low]
            level = min(self._high, math.ceil((sum(hungry) + len(self._waiting)) / len(hungry)))
            taken, stale = self._waiting.take(level - len(idlest.in_flight), time())
            dropped += stale
            if taken:
                idlest.give(taken)
        return dropped

    def _drop(self, dropped: Dropped) -> None:
        if dropped:
            self._answered([Answered(record, why) for record, why in dropped])

    def _alone(self, process: InferenceProcess) -> Record | None:
        return self._suspicion.witness if process.accused else self._suspicion.next_alone(self._waiting)

    def _watch(self) -> None:
        try:
            while not self._closing.is_set() and self.failure is None:
                self._step()
        except Exception as error:
            log.exception("The dispatcher failed")
            self.failure = InferenceFailedError(f"the dispatcher failed: {error!r}")

    def _step(self) -> None:
        self._turned_at = monotonic()
        try:
            process, reply = self._heard.get(timeout=_WATCH_S)
        except Empty:
            pass
        else:
            self._hear(process, reply)
        self._note_idle()
        self._kill_the_hung()

    def _hear(self, process: InferenceProcess, reply: Reply | None) -> None:
        if isinstance(reply, Answers):
            self._take_back(process, reply)
        elif isinstance(reply, Ready):
            self._welcome(process, reply.model)
        elif isinstance(reply, Refused):
            self.failure = ModelError(reply.reason)
        elif not self._closing.is_set():
            self._replace(process)

    def _take_back(self, process: InferenceProcess, answers: Answers) -> None:
        with self._lock:
            remarked = [(process.in_flight[ticket], remark) for ticket, remark in answers.remarks]
            matched = process.take_back(answers)
            if process.accused:
                # The answer is the witness's, done long ago.
                matched, process.accused, remarked = [process.accused], None, []
            else:
                self._suspicion.predicted(record for record, answer in matched if isinstance(answer, Prediction))
            dropped = self._hand_over()
        self._drop(dropped)
        now = time()
        timings = Timings(answers.queue_s, answers.decode_s, answers.inference_s, len(answers.answers))
        self._answered([Answered(record, answer, process.model, now, timings) for record, answer in matched])
        batch_limit = min(process.batch_limit for process in self._processes)
        observing.observe(self._metrics, answers, process.model, batch_limit=batch_limit)
        self._oddities.hear(remarked)

    def _note_idle(self) -> None:
        with self._lock:
            now = monotonic()
            for process in self._processes:
                process.note_idle(now)

    def _idle(self, cause: Cause, seconds: float) -> None:
        self._metrics.idle.labels(cause.value).inc(seconds)

    def _welcome(self, process: InferenceProcess, model: ModelInfo) -> None:
        observing.announce(model, process, self._metrics)
        if not self.ready_processes:
            observing.warn_of_labels(model.labels, self._settings)
        with self._lock:
            process.model = model
            process.idleness = Idleness(self._lack, self._idle, since=monotonic())
            dropped = self._hand_over()
        self._drop(dropped)
        observing.count_ready(self._metrics, self._processes)

    def _replace(self, process: InferenceProcess) -> None:
        was_idle = process.model is not None and not process.in_flight
        with self._lock:
            process.model = None  # from here on it is given nothing that would be forgotten with it
        code = process.exit_code
        log.warning(
            "Inference process %s ended with code %s, %d records in flight; replacing it",
            process.pid,
            code,
            len(process.in_flight),
        )
        # What dies with nothing to do was killed by somebody: neither the model nor a record is to blame.
        deaths = process.deaths_in_a_row + (not was_idle)
        if deaths > self._settings.inference_restarts:
            self.failure = InferenceFailedError(
                f"{deaths} inference processes in a row died without a prediction "
                f"(INFERENCE_RESTARTS={self._settings.inference_restarts}); the log above says how"
            )
            return
        self._metrics.restarts.inc()
        with self._lock:
            accused = process.accused or self._accuse(process, code)
            for_suspects = bool(self._suspicion or accused)
            fresh = InferenceProcess(self._settings, process.device, self._heard, for_suspects=for_suspects)
            fresh.deaths_in_a_row = deaths
            fresh.accused = accused
            self._processes[self._processes.index(process)] = fresh
        process.close(0)
        observing.count_ready(self._metrics, self._processes)

    def _accuse(self, process: InferenceProcess, code: int | None) -> tuple[Record, BadRecordError] | None:
        """Name what killed a process, as far as that is certain; else sort its records into suspects and others."""
        in_flight = list(process.in_flight.values())
        if process.for_suspects and in_flight and self._suspicion.witness:
            return in_flight[0], BadRecordError(Reason.KILLED_INFERENCE, f"exit code {code}")
        size = len(in_flight) if self._settings.decode_threads > 1 else self._settings.batch_size  # it decodes ahead
        self._waiting.put_back(self._suspicion.died_with(in_flight, most=size))
        return None

    def _kill_the_hung(self) -> None:
        now = monotonic()
        for process in self._processes:
            loading = process.model is None
            limit_s = self._settings.inference_start_timeout_s if loading else self._settings.inference_timeout_s
            is_idle = not loading and not process.in_flight
            if not is_idle and process.killed_at is None and now - process.active_at > limit_s:
                log.warning("Inference process %s has not answered for %g s; killing it", process.pid, limit_s)
                process.kill()
