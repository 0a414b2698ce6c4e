"""DELIVERY=exactly_once: results and offsets reach Kafka in one transaction."""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from time import monotonic, sleep
from typing import Final, Literal
from uuid import uuid4

from velox.core.deadline import Deadline
from velox.core.offsets import Offsets
from velox.core.retries import backoff_s
from velox.errors import BrokerUnavailableError, RefusedResultsError, SinkUnavailableError, VeloxError
from velox.kafka.client import KafkaClient
from velox.kafka.delivery import Outgoing
from velox.kafka.topics import message_limit
from velox.kafka.transactions import InDoubtError, Transaction, TransactionalProducer, committed_offsets
from velox.metrics.consumer import ConsumerMetrics
from velox.records import Partition, Result
from velox.settings import StreamSettings
from velox.sinks.documents import Extras
from velox.sinks.kafka import ensure_results_topic, outgoing, refusals, results_topic

log = logging.getLogger(__name__)

_MOST_STAGED: Final = 50_000
"""Nothing more is fetched while so many results wait for their transaction: about 1 KB each."""
_GRACE_S: Final = 5.0
"""A transaction is given up so long after its own time-out, within which the broker ends it in any case."""
_HUNG_S: Final = 60.0
"""A call that was given up returns within this time once the broker is there again; later it never will."""


@dataclass(eq=False, slots=True)
class _Attempt:
    """One transaction on its way."""

    transaction: Transaction
    begun_at: float
    outcome: "Future[None]" = field(default_factory=Future)
    settled_at: float | None = None
    thread: threading.Thread | None = None
    _claimed: threading.Lock = field(default_factory=threading.Lock)

    def claim(self) -> bool:
        """Take it upon oneself to say how it ended: the thread that commits, or the one that asks the broker."""
        return self._claimed.acquire(blocking=False)


class ExactlyOnce:
    """The sink ``kafka`` and the commits of offsets, as one.

    As a sink it only stages results. A commit takes along those whose records it covers and no others: in each
    partition a contiguous part, in whatever order they were finished. So a result becomes visible at the moment from
    which its record will never be read again, and readers with ``read_committed`` see it once.

    A transaction that fails, or takes too long, is in doubt: a new producer makes the broker end it, and the group's
    offsets tell how. Then it is tried again, or was committed.

    ``open`` and ``write`` are for the writer's thread, ``commit`` and ``commit_now`` for the one that polls. Each
    transaction, one after the other, has a thread of its own, so that polling goes on meanwhile.
    """

    def __init__(
        self, settings: StreamSettings, metrics: ConsumerMetrics, offsets: Offsets, kafka: KafkaClient
    ) -> None:
        """Commit as this member of the group."""
        self.name = "kafka"
        self.takes: Literal["detections", "all"] = "all" if settings.store == "all" else "detections"
        self._extras = Extras.of(settings)
        self._settings = settings
        self._metrics = metrics
        self._offsets = offsets
        self._kafka = kafka
        self._topic = results_topic(settings)
        self._limit_bytes = settings.max_message_bytes
        self._limit_s = settings.session_timeout_ms / 1000 + _GRACE_S
        self._lock = threading.Lock()
        self._staged: dict[Partition, dict[int, tuple[int, Outgoing]]] = {}
        """By offset: the epoch in which its record was fetched, and the result."""
        self._failed = False
        self._running: _Attempt | None = None
        self._given_up: list[_Attempt] = []
        """Those whose call of the driver has not returned yet."""
        # Its own, so that two consumers never take each other for the same; a named member keeps its name, and ends
        # its former transaction itself when it starts again.
        own = uuid4().hex if settings.group_instance_id == "none" else settings.group_instance_id
        self._producer_name = f"velox-{settings.kafka_consumer_group}-{own}"
        self._producer = TransactionalProducer(settings, self._producer_name)

    def open(self) -> None:
        """Create the topic when it is missing, and register the producer."""
        try:
            ensure_results_topic(self._settings)
            self._limit_bytes = message_limit(self._settings, self._topic)
            self._producer.open(self._settings.sink_timeout_s)
        except BrokerUnavailableError as error:
            raise SinkUnavailableError(f"kafka: {error}") from error

    def write(self, batch: Sequence[Result]) -> None:
        """Stage the batch, but for what the topic would refuse."""
        # Two records may have one id: each has a message of its own.
        messages = [outgoing(result, self._topic, self._extras) for result in batch]
        refused = refusals(messages, self._limit_bytes)
        with self._lock:
            for result, message in zip(batch, messages, strict=True):
                at, epoch = result.record.position, result.record.epoch
                of_partition = self._staged.setdefault(Partition(at.topic, at.partition), {})
                # The same record may have been fetched again, and be finished before this one of an earlier epoch.
                if result.id not in refused and epoch >= of_partition.get(at.offset, (epoch,))[0]:
                    of_partition[at.offset] = (epoch, message)
        if refused:
            raise RefusedResultsError(refused)

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
        owned = self._kafka.owned
        new = {p: range(self._offsets.start(p), offset) for p, offset in offsets.items() if p in owned}
        new = {partition: span for partition, span in new.items() if span}
        with self._lock:
            self._staged = {partition: self._current(partition) for partition in self._staged}
            batch = [
                message
                for partition, span in new.items()
                for offset, (_, message) in sorted(self._staged.get(partition, {}).items())
                if offset in span
            ]
        self._failed = self._failed and bool(new)
        if new:
            transaction = Transaction(batch, {p: span.stop for p, span in new.items()}, self._kafka.membership())
            self._running = _Attempt(transaction, monotonic())
            self._running.thread = self._start(self._run, self._running, self._producer)

    def _current(self, partition: Partition) -> dict[int, tuple[int, Outgoing]]:
        """Choose what is staged since the partition was last assigned; before that, it is read and staged again."""
        since = self._offsets.owned_since(partition)
        if since is None:
            return {}
        return {offset: staged for offset, staged in self._staged[partition].items() if staged[0] >= since}

    def _settle(self) -> None:
        """Take note of how the transaction ended, once it has; give it up when that takes too long."""
        self._end_if_hung()
        attempt = self._running
        if attempt is None:
            return
        if not attempt.outcome.done():
            if monotonic() - attempt.begun_at > self._limit_s and attempt.claim():
                self._given_up.append(attempt)
                self._start(self._resolve, attempt, f"no answer within {self._limit_s:g} s")
            return
        self._running = None
        attempt.settled_at = monotonic()
        try:
            attempt.outcome.result()
        except BrokerUnavailableError as error:
            if not self._failed:
                log.warning("%s: %s; trying again", self.name, error)
            self._failed = True
            self._metrics.sink_retries.labels(self.name).inc()
            return
        self._failed = False
        self._offsets.committed(attempt.transaction.offsets)
        with self._lock:
            for partition, stop in attempt.transaction.offsets.items():
                staged = self._staged.get(partition, {})
                self._staged[partition] = {offset: m for offset, m in staged.items() if offset >= stop}

    def _end_if_hung(self) -> None:
        self._given_up = [attempt for attempt in self._given_up if attempt.thread and attempt.thread.is_alive()]
        now = monotonic()
        for attempt in self._given_up:
            if attempt.settled_at is not None and now - attempt.settled_at > _HUNG_S:
                msg = (
                    "DELIVERY=exactly_once: the broker is there, and a call of Kafka's driver has not returned for "
                    f"{now - attempt.begun_at:.0f} s; start the consumer again: it goes on where Kafka says"
                )
                raise VeloxError(msg)

    def _start(self, target: Callable[..., None], *args: object) -> threading.Thread:
        thread = threading.Thread(target=target, args=args, name="transaction", daemon=True)
        thread.start()
        return thread

    def _run(self, attempt: _Attempt, producer: TransactionalProducer) -> None:
        try:
            producer.commit(attempt.transaction, Deadline(self._limit_s))
        except InDoubtError as doubt:
            if attempt.claim():
                self._resolve(attempt, str(doubt))
        except Exception as error:  # noqa: BLE001 - whoever waits for the outcome raises it
            if attempt.claim():
                attempt.outcome.set_exception(error)
        else:
            if attempt.claim():
                attempt.outcome.set_result(None)

    def _resolve(self, attempt: _Attempt, why: str) -> None:
        """Have the broker end a transaction that is in doubt, and ask how it ended; waits for a broker that is away."""
        log.info("%s: a transaction is in doubt: %s", self.name, why)
        producer = TransactionalProducer(self._settings, self._producer_name)
        for wait_s in backoff_s():
            try:
                producer.open(self._settings.sink_timeout_s)
                committed = committed_offsets(self._settings, attempt.transaction.offsets)
            except BrokerUnavailableError as error:
                log.debug("%s: %s", self.name, error)
                sleep(wait_s)
            except VeloxError as error:
                attempt.outcome.set_exception(error)
                return
            else:
                break
        self._producer = producer
        if all(committed.get(partition, -1) >= stop for partition, stop in attempt.transaction.offsets.items()):
            attempt.outcome.set_result(None)
        else:
            attempt.outcome.set_exception(BrokerUnavailableError(f"transaction aborted: {why}"))
