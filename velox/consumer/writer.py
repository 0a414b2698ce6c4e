"""What becomes of answers: dead letters to their topic, results and outcomes to every sink; only then they are done."""

import logging
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from queue import Empty, SimpleQueue
from time import monotonic, time
from typing import Any, TypeVar

from velox import failpoints
from velox.consumer.bulk import Bulk, failures
from velox.core.deadline import Deadline
from velox.core.retries import backoff_s
from velox.core.seldom import Seldom
from velox.core.targets import TargetRule
from velox.errors import BadRecordError, RefusedResultsError, SystemUnavailableError
from velox.kafka.dead_letters import DeadLetters
from velox.metrics.consumer import ConsumerMetrics
from velox.records import Answered, Failure, ModelInfo, Outcome, Prediction, Record, Result
from velox.settings import WriterSettings
from velox.sinks.images import image_path
from velox.sinks.sink import Sink

log = logging.getLogger(__name__)

BULK = 500
"""A bulk with this many records takes no further answers in; while it is written, the next one gathers."""
LINGER_S = 0.05
"""While records queue for inference, a bulk waits so long for more: what it costs is shared by more then."""
_OPENING = "opening the sinks"
_LONGEST_S = 30 * 86400.0
"""A latency beyond is no latency: the record was dated by a clock that is wrong."""
_LETTERS_EVERY_S = 5.0
"""One dead letter of each reason is logged in this time: `velox dlq` shows them all."""
_MOST_LABELS, _OTHER_LABELS = 1000, "other"
Answer = TypeVar("Answer")


class _AbandonedError(Exception):
    """The writer was told to give up while a sink was down."""


class Writer:
    """A thread that writes in bulk. A sink that is down is tried again, with back-off, until it takes the bulk.

    At least once: after a crash the same records come again, and sinks absorb them by their ids.
    """

    def __init__(
        self,
        settings: WriterSettings,
        sinks: Sequence[Sink],
        dead_letters: DeadLetters,
        metrics: ConsumerMetrics,
        locate: Callable[[str], str] | None = None,
    ) -> None:
        self._locate = locate
        self._done: Callable[[Sequence[Record], Sequence[Record]], None]
        self.failure: Exception | None = None
        """Why nothing more can be written, once that is so: a defect, not an outage."""
        self.blocked_by: str | None = _OPENING
        """Why nothing can be written now; None while all is well."""
        self._sinks = sinks
        self._dead_letters = dead_letters
        self._metrics = metrics
        self._by_model = settings.result_id == "model"
        self._rule = TargetRule(settings.target_labels, settings.confidence_threshold)
        self._images_in = settings.storage_place if "disk" in settings.sinks else None
        self._has_database = any(sink.name not in {"disk", "kafka"} for sink in sinks)
        self._is_behind: Callable[[], bool]
        self._answered: SimpleQueue[list[Answered] | None] = SimpleQueue()
        self._gathered = max(1, settings.queue_size // 4)
        """A bulk with so many records waits for no more."""
        self._labels: set[tuple[str, str]] = set()
        self._seldom = Seldom(_LETTERS_EVERY_S)
        self._abandon = threading.Event()
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)

    def start(
        self,
        *,
        done: Callable[[Sequence[Record], Sequence[Record]], None],
        is_behind: Callable[[], bool] = lambda: False,
    ) -> None:
        """Open the sinks and begin to write.

        Args:
            done: takes records that every sink has, and bad ones that the dead-letter topic has.
            is_behind: says whether records queue for inference: only then does a bulk wait for more answers, as its
                records are late by more than that, and what a small bulk costs is taken from inference.
        """
        self._done, self._is_behind = done, is_behind
        self._thread.start()

    def submit(self, answered: list[Answered]) -> None:
        """Take answers in; never blocks. How many may be in flight, the fetcher decides."""
        self._answered.put(answered)

    def close(self, timeout_s: float) -> bool:
        """Write what was submitted, close the sinks; False when that did not end in time."""
        self._answered.put(None)
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        self._abandon.set()
        return not self._thread.is_alive()

    def abandon(self) -> None:
        """Stop trying to reach a sink that is down; what it has not taken stays undone."""
        self._abandon.set()

    def _run(self) -> None:
        try:
            for sink in self._sinks:
                self.blocked_by = _OPENING
                self._until_it_works(sink.name, sink.open)
                log.info("Sink %s open, takes %s", sink.name, sink.takes)
            while (bulk := self._next_bulk()) is not None:
                self._write(bulk)
        except _AbandonedError:
            log.warning("Gave up on %s; records not stored will be read again", self.blocked_by)
        except Exception as error:
            self.failure = error
            log.exception("The writer failed")
        finally:
            for sink in self._sinks:
                _close(sink.name, sink.close)
            _close(self._dead_letters.name, self._dead_letters.close)

    def _next_bulk(self) -> list[Answered] | None:
        """Wait for answers, then take all that are here, up to the size of a bulk; None at the end.

        While inference is behind, they gather for a while; not too many, as what waits here is in flight and keeps
        others from being fetched.
        """
        bulk = self._answered.get()
        deadline = Deadline(LINGER_S)
        while bulk is not None and len(bulk) < BULK:
            try:
                more = self._answered.get(
                    timeout=deadline.left_s() if len(bulk) < self._gathered and self._is_behind() else 0
                )
            except Empty:
                break
            if more is None:
                self._answered.put(None)
                break
            bulk = bulk + more
        return bulk

    def _write(self, answered: Sequence[Answered]) -> None:
        bulk = Bulk(answered, self._result)
        for result in bulk.results:
            if result.is_detection:
                log.info("TARGET MATCH: %s (Conf: %.2f)", result.prediction.label, result.prediction.confidence)
        self._bury(bulk.bad)
        started = monotonic()
        refused = self._store(bulk.results)
        took_s = monotonic() - started
        self._bury(bulk.refuse(refused))
        started = monotonic()
        self._tell(bulk)
        self._metrics.stages["sink", ""].observe(took_s + monotonic() - started)
        self._count(bulk.results, bulk.bad)
        for record, why in bulk.dropped:
            self._metrics.drop(why.reason.value, record.position.topic)
        failpoints.reach("after_sinks")
        self._done(bulk.fine, [record for record, _ in bulk.bad])

    def _store(self, results: Sequence[Result]) -> dict[str, str]:
        """Write to every sink that takes results alone; answer what one of them will never take, and why, by id."""
        detections = [result for result in results if result.is_detection]
        refused: dict[str, str] = {}
        for sink in self._sinks:
            if sink.takes != "outcomes" and (chosen := list(results if sink.takes == "all" else detections)):
                refused |= self._hand_over(sink, chosen)
        return refused

    def _tell(self, bulk: Bulk) -> None:
        """Write to the sinks that take outcomes; last, as only now it is known what the others refuse."""
        sinks = [sink for sink in self._sinks if sink.takes == "outcomes"]
        outcomes: Sequence[Outcome] = bulk.outcomes(time()) if sinks else ()
        while outcomes:
            refused: dict[str, str] = {}
            for sink in sinks:
                refused |= self._hand_over(sink, outcomes)
            letters = bulk.refuse(refused)
            self._bury(letters)
            for outcome in outcomes:
                if isinstance(outcome, Failure) and outcome.id in refused:
                    log.error("A sink does not take a failure, %s: %s", outcome.id, refused[outcome.id])
            # Those that have taken the result as well: the last outcome of a record counts.
            outcomes = failures(letters, time())

    def _hand_over(self, sink: Sink, chosen: Sequence[Any]) -> Mapping[str, str]:
        refused = self._until_it_works(sink.name, partial(_written, sink, chosen))
        failpoints.reach("after_sink")
        return refused

    def _bury(self, bad: Sequence[tuple[Record, BadRecordError]]) -> None:
        if not bad:
            return
        self._until_it_works(self._dead_letters.name, partial(self._dead_letters.write, bad))
        failpoints.reach("after_dead_letters")

    def _result(self, answered: Answered, prediction: Prediction, model: ModelInfo) -> Result:
        found = self._rule.is_detection(prediction)
        return Result(
            record=answered.record,
            prediction=prediction,
            model=model,
            is_detection=found,
            predicted_at=answered.at,
            file_path=self._file_path(answered.record, is_detection=found),
            timings=answered.timings,
            is_of_several=answered.is_of_several or self._by_model,
        )

    def _file_path(self, record: Record, *, is_detection: bool) -> str:
        """Say where the payload can be found: the copy that is made of a detection, else the object that it came as."""
        if self._images_in:
            return image_path(self._images_in, record.id) if is_detection else ""
        return self._locate(record.pointer.key) if record.pointer and self._locate else ""

    def _until_it_works(self, name: str, step: Callable[[], Answer]) -> Answer:
        """Run a step that may find its system down; leave only when it succeeded.

        Raises:
            _AbandonedError: told to give up meanwhile.
        """
        for wait_s in backoff_s():
            try:
                answer = step()
            except SystemUnavailableError as error:
                if self.blocked_by != name:
                    log.warning("%s: %s; trying again", name, str(error).removeprefix(f"{name}: "))
                self.blocked_by = name
                self._metrics.sink_retries.labels(name).inc()
                if self._abandon.wait(wait_s):
                    raise _AbandonedError from error
            else:
                if self.blocked_by == name:
                    log.info("%s is back", name)
                self.blocked_by = None
                return answer
        raise _AbandonedError  # never: there is always another wait

    def _count(self, results: Sequence[Result], bad: Sequence[tuple[Record, BadRecordError]]) -> None:
        now = time()
        by_series: defaultdict[tuple[str, str], list[Record]] = defaultdict(list)
        for result in results:
            by_series[result.record.position.topic, result.model.name].append(result.record)
        for series, records in by_series.items():
            self._metrics.records.labels("predicted", *series).inc(len(records))
            observe = self._metrics.end_to_end.labels(*series).observe
            for record in records:
                if (since := record.timed_from) is not None and (took_s := now - since) < _LONGEST_S:
                    observe(took_s if took_s > 0 else 0.0)
        self._count_bad(bad)
        detections = [result for result in results if result.is_detection]
        if self._has_database:
            for result in detections:
                log.info("Saved to database: %s", result.prediction.label)
        found = Counter([(result.prediction.label, result.record.position.topic) for result in detections])
        for (label, topic), count in found.items():
            self._metrics.detections.labels(self._label(label, topic), topic).inc(count)
        self._metrics.targets.inc(len(detections))

    def _count_bad(self, bad: Sequence[tuple[Record, BadRecordError]]) -> None:
        letters = Counter([(error.reason.value, record.position.topic) for record, error in bad])
        for (reason, topic), count in letters.items():
            self._metrics.records.labels("dead_lettered", topic, "").inc(count)
            self._metrics.dead_letters.labels(reason, topic).inc(count)
        for record, error in bad:
            if count := self._seldom.count(error.reason):
                more = f" ({count - 1} more such since the last line)" if count > 1 else ""
                log.warning("Dead letter %s: %s%s", record.position, error, more)

    def _label(self, label: str, topic: str) -> str:
        """Name a label's series; a model that makes up labels gets one a topic for all beyond a number."""
        if len(self._labels) < _MOST_LABELS:
            self._labels.add((label, topic))
        return label if (label, topic) in self._labels else _OTHER_LABELS


def _close(name: str, close: Callable[[], None]) -> None:
    try:
        close()
    except Exception:  # a user's sink may raise anything; others are closed all the same
        log.exception("%s did not close", name)


def _written(sink: Sink, chosen: Sequence[Any]) -> Mapping[str, str]:
    """Have a sink write what it takes; answer what it will never take, and why, by id."""
    try:
        sink.write(chosen)
    except RefusedResultsError as error:
        return error.refused
    return {}
