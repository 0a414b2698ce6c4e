"""DELIVERY=exactly_once: results and offsets reach Kafka in one transaction."""

import logging
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, wait
from time import monotonic
from typing import Final, Literal, NamedTuple

from velox.core.deadline import Deadline
from velox.core.offsets import Offsets
from velox.errors import BrokerUnavailableError, SinkUnavailableError, SystemUnavailableError, VeloxError
from velox.kafka.client import KafkaClient
from velox.kafka.delivery import Outgoing
from velox.kafka.transactions import Transaction, TransactionalProducer
from velox.metrics.consumer import ConsumerMetrics
from velox.records import Partition, Result
from velox.settings import Settings
from velox.sinks.kafka import ensure_results_topic, outgoing, results_topic

log = logging.getLogger(__name__)

_MOST_STAGED: Final = 50_000
"""Nothing more is fetched while so many results wait for their transaction: about 1 KB each."""


class _Attempt(NamedTuple):
    transaction: Transaction
    outcome: Future[None]
    begun_at: float


class ExactlyOnce:
    """The sink ``kafka`` and the commits of offsets, as one.

    As a sink it only stages results. A commit takes along those whose records it covers and no others: in each
    partition a contiguous part, in whatever order they were finished. So a result becomes visible at the moment from
    which its record will never be read again, and readers with ``read_committed`` see it once.

    ``open`` and ``write`` are for the writer's thread, ``commit`` and ``commit_now`` for the one that polls. Each
    transaction, one after the other, has a thread of its own, so that polling goes on meanwhile.
    """

    def __init__(self, settings: Settings, metrics: ConsumerMetrics, offsets: Offsets) -> None:
        self.name = "kafka"
        self.takes: Literal["detections", "all"] = "all" if settings.store == "all" else "detections"
        self._settings = settings
        self._metrics = metrics
        self._offsets = offsets
        self._kafka: KafkaClient | None = None
        self._topic = results_topic(settings)
        self._lock = threading.Lock()
        self._staged: dict[Partition, dict[int, Outgoing]] = {}
        self._failed = False
        self._running: _Attempt | None = None
        self._producer = TransactionalProducer(settings)

    def through(self, kafka: KafkaClient) -> None:
        """Commit as this member of the group."""
        self._kafka = kafka

    def open(self) -> None:
        """Create the topic when it is missing, and register the producer."""
        try:
            ensure_results_topic(self._settings)
            self._producer.open(self._settings.sink_timeout_s)
        except BrokerUnavailableError as error:
            raise SinkUnavailableError(f"kafka: {error}") from error

    def write(self, batch: Sequence[Result]) -> None:
        """Stage the batch."""
        with self._lock:
            for result in batch:
                at = result.record.position
                of_partition = self._staged.setdefault(Partition(at.topic, at.partition), {})
                of_partition[at.offset] = outgoing(result, self._topic)

    def close(self) -> None:
        """Keep what is staged: the last commit comes after the writer has ended."""

    @property
    def blocked_by(self) -> str | None:
        """Say why nothing more should be fetched, None while all is well."""
        running = self._running
        is_slow = running is not None and monotonic() - running.begun_at > self._settings.sink_timeout_s
        with self._lock:
            staged = sum(map(len, self._staged.values()))
        return "transactions" if self._failed or is_slow or staged > _MOST_STAGED else None

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Begin a transaction for what is newly done, unless one is running.

        Raises:
            VeloxError: an earlier one failed for good.
        """
        self._settle()
        if self._running is None:
            self._begin(offsets)

    def commit_now(self, offsets: Mapping[Partition, int]) -> None:
        """Commit and wait, for a broker that hangs as long as a transaction may last.

        A transaction that has not ended by then still ends well: committed, if the broker took its offsets while the
        partitions were ours; their next owner waits for that. Aborted otherwise.
        """
        deadline = Deadline(self._settings.session_timeout_ms / 1000)
        try:
            self._finish(deadline)
            if self._running is None:
                self._begin(offsets)
                self._finish(deadline)
        except VeloxError as error:
            log.warning("%s: %s", self.name, error)
        if self._running is not None:
            log.warning("%s: a transaction takes longer than SESSION_TIMEOUT_MS", self.name)

    def _finish(self, deadline: Deadline) -> None:
        if self._running is not None:
            wait([self._running.outcome], deadline.left_s())
        self._settle()

    def _begin(self, offsets: Mapping[Partition, int]) -> None:
        if self._kafka is None:
            return
        owned = self._kafka.owned
        new = {p: range(self._offsets.start(p), offset) for p, offset in offsets.items() if p in owned}
        new = {partition: span for partition, span in new.items() if span}
        with self._lock:
            # What came in for partitions that have gone is their next owner's.
            self._staged = {p: staged for p, staged in self._staged.items() if p in owned}
            batch = [
                m for p, span in new.items() for offset, m in sorted(self._staged.get(p, {}).items()) if offset in span
            ]
        self._failed = self._failed and bool(new)
        if new:
            transaction = Transaction(batch, {p: span.stop for p, span in new.items()}, self._kafka.membership())
            self._running = _Attempt(transaction, Future(), monotonic())
            threading.Thread(target=self._run, args=(self._running,), name="transaction", daemon=True).start()

    def _settle(self) -> None:
        """Take note of how the transaction ended, once it has."""
        if self._running is None or not self._running.outcome.done():
            return
        attempt, self._running = self._running, None
        try:
            attempt.outcome.result()
        except SystemUnavailableError as error:
            self._failed = True
            self._metrics.sink_retries.labels(self.name).inc()
            log.warning("%s: %s; trying again", self.name, error)
            return
        self._failed = False
        self._offsets.committed(attempt.transaction.offsets)
        with self._lock:
            for partition, stop in attempt.transaction.offsets.items():
                staged = self._staged.get(partition, {})
                self._staged[partition] = {offset: m for offset, m in staged.items() if offset >= stop}

    def _run(self, attempt: _Attempt) -> None:
        try:
            self._producer.commit(attempt.transaction)
        except Exception as error:  # noqa: BLE001 - whoever waits for the outcome raises it
            attempt.outcome.set_exception(error)
        else:
            attempt.outcome.set_result(None)
