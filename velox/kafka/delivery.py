"""Batches of messages to Kafka, each one confirmed."""

from collections.abc import Iterable
from typing import Any, TypedDict

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from velox.core.deadline import Deadline
from velox.errors import BrokerUnavailableError
from velox.kafka.connection import connection
from velox.kafka.parsing import record_bytes
from velox.records import Headers
from velox.settings import MIB, TopicSettings

_FRAME_BYTES = 128
"""At most what a batch and a record in it take besides their content."""
_HEADER_BYTES = 16
"""The same for the lengths of a header."""
_QUEUE_BYTES = 64 * MIB
"""What waits for the broker is a copy of what is in flight; beyond this, more has to wait."""
_USUAL_BATCH_BYTES = 1_000_000
_LEAST_LIMIT_BYTES = 1000
"""The driver takes no lower one."""
_TOO_LARGE = frozenset({KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.RECORD_LIST_TOO_LARGE})


class Outgoing(TypedDict):
    """What ``Producer.produce`` is given."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers


def message_bytes(message: Outgoing) -> int:
    """Estimate what a message takes in a batch of its own, rather too much than too little."""
    carried = record_bytes(message["key"], len(message["value"] or b""), message["headers"])
    return carried + _HEADER_BYTES * len(message["headers"]) + _FRAME_BYTES


def size_limits(max_message_bytes: int) -> dict[str, int]:
    """Configure a producer for a topic with this limit, which is one of batches: they may not be larger either."""
    limit = max(_LEAST_LIMIT_BYTES, max_message_bytes)
    return {"message.max.bytes": limit, "batch.size": min(limit, _USUAL_BATCH_BYTES)}


class Delivery:
    """An idempotent producer that answers for whole batches. Used by one thread.

    After any failure the producer is replaced: it may have failed for good, and a new one also forgets what the old
    one had queued. So a batch that is tried again may lie in its topic twice.
    """

    def __init__(self, settings: TopicSettings, client_id: str, *, max_message_bytes: int) -> None:
        """Make the producer; it connects by itself."""
        self._timeout_s = settings.sink_timeout_s
        self._config = {
            **connection(settings, client_id),
            "enable.idempotence": True,
            "compression.type": settings.compression_type,
            **size_limits(max_message_bytes),
            "queue.buffering.max.kbytes": max(_QUEUE_BYTES, 2 * max_message_bytes) // 1024,
            "message.timeout.ms": int(settings.sink_timeout_s * 1000),
            "linger.ms": 5,
        }
        self._producer = Producer(self._config)

    def deliver(self, batch: Iterable[Outgoing]) -> bool:
        """Produce and wait until the broker has everything; False when a topic finds something too large.

        Raises:
            BrokerUnavailableError: not all were acknowledged in time; any of them may be in the topic all the same.
        """
        refusals: list[KafkaError] = []
        try:
            unanswered = self._produce(batch, refusals, Deadline(self._timeout_s))
        except (KafkaException, SystemError) as error:
            # What the driver raises in the middle of a callback, Python takes for a SystemError.
            cause = error.__cause__ if isinstance(error, SystemError) else error
            if not isinstance(cause, KafkaException):
                raise
            refusals.insert(0, cause.args[0])  # more telling than what it does to the queue
            unanswered = 0
        if not refusals and not unanswered:
            return True
        if not unanswered and all(refusal.code() in _TOO_LARGE for refusal in refusals):
            return False
        self._producer = Producer(self._config)
        why = _explain(refusals[0]) if refusals else f"no answer within SINK_TIMEOUT_S={self._timeout_s:g}"
        raise BrokerUnavailableError(why)

    def close(self) -> None:
        """Close the producer; every batch has been flushed already."""
        self._producer.flush(0)

    def _produce(self, batch: Iterable[Outgoing], refusals: list[KafkaError], deadline: Deadline) -> int:
        """Return how many the broker has not acknowledged; what it refused is in ``refusals``."""

        def delivered(error: KafkaError | None, _message: Message) -> None:
            if error is not None:
                refusals.append(error)

        for outgoing in batch:
            arguments: dict[str, Any] = {**outgoing, "headers": list(outgoing["headers"])}
            while True:
                try:
                    self._producer.produce(**arguments, on_delivery=delivered)
                    break
                except BufferError:
                    if deadline.has_passed():
                        return len(self._producer)
                    self._producer.poll(0.1)
        return self._producer.flush(deadline.left_s() + 1)


def _explain(error: KafkaError) -> str:
    if error.code() == KafkaError.INVALID_RECORD:
        return f"{error.str()}: the topic is compacted, and a record has no key; set its cleanup.policy to delete"
    return error.str()
