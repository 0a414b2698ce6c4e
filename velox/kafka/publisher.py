"""The producer's Kafka client: idempotent, compressed, every delivery report checked."""

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final
from zlib import crc32

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from velox.core.backlog import Backlog
from velox.core.deadline import Deadline
from velox.errors import BadRecordError, BrokerUnavailableError, Reason
from velox.kafka.connection import connection
from velox.kafka.reachability import Reachability
from velox.records import Headers, Partition
from velox.settings import MIB, ClientSettings

log = logging.getLogger(__name__)

_QUEUE_BYTES: Final = 64 * MIB
"""Bytes that wait for the broker; publishing waits when they are reached."""
_LINGER_MS: Final = 5
_SLICE_S: Final = 0.1
"""Longest single wait: how soon a stop is noticed."""


Acknowledged = Callable[[Partition, int], None]
"""Called with the place that a record has got."""
Refused = Callable[[str], None]
"""Called with the topic of a record that the broker has not taken."""


class Publisher:
    """Publishes records and accounts for each. Not thread-safe.

    Several topics take their turns; records with the same key go to the same topic, whose partitions keep their order.

    Within this client nothing is written twice or out of order (an idempotent producer); a program that publishes the
    same thing again makes a second record. A topic whose own limit is lower than MAX_MESSAGE_BYTES refuses not only the
    record that is too large for it but the whole batch around it.
    """

    def __init__(
        self,
        settings: ClientSettings,
        topics: Sequence[str],
        *,
        backlog: Backlog | None = None,
        refused: Refused | None = None,
    ) -> None:
        """Make the client; it connects in the background.

        ``backlog`` is told of every record, ``refused`` of those that fail, within later calls of this object.
        """
        self.delivered = 0
        self.failed = 0
        self._topics = topics
        self._turn = 0
        self._backlog = backlog
        self._refused = refused
        self._reported: set[int] = set()
        self._reported_reasons: set[Reason] = set()
        self._reachability = Reachability(settings, meanwhile=self._meanwhile)
        self._producer = Producer(_config(settings, self._on_client_error))

    @property
    def waiting(self) -> int:
        """Count the records without an answer from the broker yet."""
        return len(self._producer)

    def publish(
        self,
        value: bytes,
        *,
        key: bytes | None,
        headers: Headers,
        is_stopping: Callable[[], bool] = lambda: False,
        acknowledged: Acknowledged | None = None,
        topic: str | None = None,
    ) -> bool:
        """Hand one record over; when the local queue is full, wait until it is not.

        A record too large for MAX_MESSAGE_BYTES is counted as failed and reported, and is no error for the others.
        ``acknowledged`` is called, within a later call of this object, once the broker has the record. Without a
        ``topic`` the record goes where its key or the turn says.

        Returns:
            Whether the record was taken into account; false only when ``is_stopping`` ended the wait.

        Raises:
            BrokerUnavailableError: this client can publish nothing any more.
        """
        report = partial(self._on_delivery, acknowledged)
        chosen = topic or self._choose(key)
        while True:
            try:
                self._producer.produce(chosen, value, key=key, headers=list(headers), on_delivery=report)
            except BufferError:
                if is_stopping():
                    return False
                self.poll(_SLICE_S)
            except KafkaException as exception:
                error: KafkaError = exception.args[0]
                if error.code() != KafkaError.MSG_SIZE_TOO_LARGE:
                    msg = f"Kafka: {error.str()}; restart the producer"
                    raise BrokerUnavailableError(msg) from exception
                self._fail(error, f"{len(value)} bytes: larger than MAX_MESSAGE_BYTES allows", chosen)
                return True
            else:
                if self._backlog:
                    self._backlog.published(len(value))
                self._producer.poll(0)
                return True

    def refuse(self, error: BadRecordError) -> None:
        """Count a record as failed that cannot be published; the first for a reason is logged."""
        self.failed += 1
        if error.reason not in self._reported_reasons:
            self._reported_reasons.add(error.reason)
            log.error("Not published: %s; more of these are only counted", error)

    def poll(self, timeout_s: float) -> None:
        """Handle delivery reports, for at most ``timeout_s`` (whole milliseconds) or until one came."""
        self._producer.poll(timeout_s)

    def flush(self, deadline: Deadline, *, is_urgent: Callable[[], bool] = lambda: False) -> int:
        """Wait for the broker's answers; return how many are still missing at the deadline or when it gets urgent."""
        while self.waiting and not deadline.has_passed() and not is_urgent():
            self._producer.flush(min(_SLICE_S, deadline.left_s()))
        return self.waiting

    def _choose(self, key: bytes | None) -> str:
        if key is not None:
            return self._topics[crc32(key) % len(self._topics)]
        self._turn = (self._turn + 1) % len(self._topics)
        return self._topics[self._turn - 1]

    def _on_delivery(self, acknowledged: Acknowledged | None, error: KafkaError | None, message: Message) -> None:
        size, partition, offset = len(message), message.partition(), message.offset()
        if error is not None or partition is None or offset is None:
            self._fail(error or KafkaError(KafkaError.UNKNOWN), f"{size} bytes", message.topic() or "")
            if self._backlog:
                self._backlog.failed(size)
            return
        self.delivered += 1
        place = Partition(message.topic() or "", partition)
        if self._backlog:
            self._backlog.delivered(place, offset, size)
        if acknowledged:
            acknowledged(place, offset)

    def _fail(self, error: KafkaError, which: str, topic: str) -> None:
        """Count a failed record; the first of a kind is logged, the others are in the sum."""
        self.failed += 1
        if self._refused:
            self._refused(topic)
        if error.code() not in self._reported:
            self._reported.add(error.code())
            log.error("Delivery failed (%s): %s; more of these are only counted", which, _explain(error))

    def _on_client_error(self, error: KafkaError) -> None:
        if error.fatal():
            log.error("Kafka client failed for good: %s", error.str())
        elif not self._reachability.heard(error):
            log.debug("Kafka: %s", error.str())

    def _meanwhile(self) -> str:
        return f"; {self.waiting} records wait, and go out when it is back" if self.waiting else ""


def _config(settings: ClientSettings, on_error: Callable[[KafkaError], None]) -> dict[str, Any]:
    return {
        **connection(settings, "velox-producer"),
        "enable.idempotence": True,
        "acks": "all",
        "compression.type": settings.compression_type,
        "message.max.bytes": settings.max_message_bytes,
        "queue.buffering.max.kbytes": max(_QUEUE_BYTES, 2 * settings.max_message_bytes) // 1024,
        "linger.ms": _LINGER_MS,
        "error_cb": on_error,
    }


def _explain(error: KafkaError) -> str:
    if error.code() == KafkaError.MSG_SIZE_TOO_LARGE:
        return f"{error.str()}; raise MAX_MESSAGE_BYTES, or the topic's max.message.bytes if it is the lower one"
    return error.str()
