"""Who predicts what: hands records to inference processes, and replaces processes that die or hang."""

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from multiprocessing import connection
from time import monotonic
from typing import NamedTuple

from velox import __version__
from velox.consumer.messages import Answers, Ready, Refused
from velox.consumer.process import InferenceProcess
from velox.core.deadline import Deadline
from velox.errors import BadRecordError, InferenceFailedError, ModelError, Reason, VeloxError
from velox.metrics import Metrics
from velox.records import ModelInfo, Prediction, Record
from velox.settings import Settings

log = logging.getLogger(__name__)

_WATCH_S = 0.25


class Answered(NamedTuple):
    """A record with what came of it; without a model when it never reached one."""

    record: Record
    answer: Prediction | BadRecordError
    model: ModelInfo | None


class Dispatcher:
    """Keeps the inference processes busy, each with a few batches in hand.

    Records in flight in a process that dies become suspects: each is tried again alone in a process, and the one
    that kills a process by itself is dead-lettered. Nothing else is lost. Not in halves: that takes fewer turns but
    more deaths, and a few such records among the many in flight would look like a model that always fails.

    ``submit`` may be called by any thread; ``answered`` is called by the watching thread.
    """

    def __init__(
        self, settings: Settings, devices: Sequence[str], metrics: Metrics, answered: Callable[[list[Answered]], None]
    ) -> None:
        self.failure: VeloxError | None = None
        """Why no more can be predicted, once that is so; the consumer should end."""
        self._settings = settings
        self._metrics = metrics
        self._answered = answered
        self._low = 2 * settings.batch_size
        self._high = 4 * settings.batch_size
        self._lock = threading.Lock()
        self._waiting: deque[Record] = deque()
        self._suspects: deque[Record] = deque()
        self._closing = threading.Event()
        self._processes = [InferenceProcess(settings, device) for device in devices]
        self._watcher = threading.Thread(target=self._watch, name="dispatch", daemon=True)
        self._watcher.start()

    @property
    def ready_processes(self) -> int:
        """Count the processes whose model is loaded and warm."""
        return sum(process.model is not None for process in self._processes)

    @property
    def is_warm(self) -> bool:
        """Say whether every process is ready."""
        return self.ready_processes == len(self._processes)

    def submit(self, records: Sequence[Record]) -> None:
        """Take records in; never blocks. How many may be in flight, the caller decides."""
        with self._lock:
            self._waiting.extend(records)
            self._hand_over()

    def close(self, deadline: Deadline) -> None:
        """End all processes; what they have in flight is dropped."""
        self._closing.set()
        self._watcher.join()
        for process in self._processes:
            process.close(deadline.left_s())

    def _hand_over(self) -> None:
        for process in self._processes:
            if process.for_suspects and process.model and not process.in_flight:
                if self._suspects:
                    process.give([self._suspects.popleft()])
                else:
                    process.for_suspects = False
        while self._waiting:
            open_to_all = [p for p in self._processes if p.model and not p.for_suspects]
            idlest = min(open_to_all, key=lambda p: len(p.in_flight), default=None)
            if idlest is None or len(idlest.in_flight) > self._low:
                return
            room = self._high - len(idlest.in_flight)
            idlest.give([self._waiting.popleft() for _ in range(min(room, len(self._waiting)))])

    def _watch(self) -> None:
        try:
            while not self._closing.is_set() and self.failure is None:
                self._turn()
        except Exception as error:
            log.exception("The dispatcher failed")
            self.failure = InferenceFailedError(f"the dispatcher failed: {error!r}")

    def _turn(self) -> None:
        pipes = {process.pipe: process for process in self._processes}
        ends = {process.sentinel: process for process in self._processes}
        signalled = connection.wait([*pipes, *ends], timeout=_WATCH_S)
        for pipe, process in pipes.items():
            if pipe in signalled or process.sentinel in signalled:
                self._read(process)
        for sentinel, process in ends.items():
            if sentinel in signalled and not self._closing.is_set():
                self._replace(process)
        self._kill_the_hung()

    def _read(self, process: InferenceProcess) -> None:
        """Take in all that a process has said, also when it has died since."""
        try:
            while process.pipe.poll():
                reply = process.pipe.recv()
                if isinstance(reply, Answers):
                    self._take_back(process, reply)
                elif isinstance(reply, Ready):
                    self._welcome(process, reply.model)
                elif isinstance(reply, Refused):
                    self.failure = ModelError(reply.reason)
        except (EOFError, OSError):
            process.kill()  # its end of the pipe is gone, so it is ending: the sentinel says when

    def _take_back(self, process: InferenceProcess, answers: Answers) -> None:
        with self._lock:
            matched = process.take_back(answers)
            self._hand_over()
        self._answered([Answered(record, answer, process.model) for record, answer in matched])
        self._observe(answers)

    def _observe(self, answers: Answers) -> None:
        stage = self._metrics.stage
        stage.labels("queue").observe(answers.queue_s)
        stage.labels("decode").observe(answers.decode_s)
        stage.labels("inference").observe(answers.inference_s)
        self._metrics.batch_size.observe(len(answers.answers))
        confidences = [a.confidence for _, a in answers.answers if isinstance(a, Prediction)]
        if confidences:
            self._metrics.confidence.set(sum(confidences) / len(confidences))

    def _welcome(self, process: InferenceProcess, model: ModelInfo) -> None:
        device = "GPU" if model.device.startswith("cuda") else "CPU"
        log.info(
            "%s Inference Started (%s %s, process %s, %s)", device, model.name, model.version, process.pid, model.device
        )
        self._metrics.build.labels(__version__, model.name, model.version).set(1)
        with self._lock:
            process.model = model
            self._hand_over()
        self._count_processes()

    def _replace(self, process: InferenceProcess) -> None:
        if self.failure is not None:
            return
        with self._lock:
            process.model = None  # from here on it is given nothing that would be forgotten with it
            stuck = list(process.in_flight.values())
        log.warning(
            "Inference process %s ended with code %s, %d records in flight; replacing it",
            process.pid,
            process.exit_code,
            len(stuck),
        )
        deaths = process.deaths_in_a_row + 1
        if deaths > self._settings.inference_restarts:
            self.failure = InferenceFailedError(
                f"{deaths} inference processes in a row died without a prediction "
                f"(INFERENCE_RESTARTS={self._settings.inference_restarts}); the log above says how"
            )
            return
        self._metrics.restarts.inc()
        blamed = stuck if process.for_suspects and len(stuck) == 1 else []
        with self._lock:
            self._suspects.extend([] if blamed else stuck)
            fresh = InferenceProcess(self._settings, process.device, for_suspects=bool(self._suspects))
            fresh.deaths_in_a_row = deaths
            self._processes[self._processes.index(process)] = fresh
        code = process.exit_code
        process.close(0)
        self._count_processes()
        self._answered(
            [Answered(r, BadRecordError(Reason.KILLED_INFERENCE, f"exit code {code}"), None) for r in blamed]
        )

    def _kill_the_hung(self) -> None:
        now = monotonic()
        for process in self._processes:
            loading = process.model is None
            limit_s = self._settings.inference_start_timeout_s if loading else self._settings.inference_timeout_s
            if (loading or process.in_flight) and now - process.active_at > limit_s:
                log.warning("Inference process %s has not answered for %g s; killing it", process.pid, limit_s)
                process.kill()

    def _count_processes(self) -> None:
        self._metrics.processes.clear()
        for process in self._processes:
            if process.model is not None:
                self._metrics.processes.labels(process.device).inc()
