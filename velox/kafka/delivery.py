"""Batches of messages to Kafka, each one confirmed."""

from collections.abc import Iterable
from typing import Any, TypedDict

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from velox.core.deadline import Deadline
from velox.errors import BrokerUnavailableError
from velox.kafka.connection import connection
from velox.records import Headers
from velox.settings import Settings

_TOO_LARGE = frozenset({KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.RECORD_LIST_TOO_LARGE})


class Outgoing(TypedDict):
    """What ``Producer.produce`` is given."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers


class Delivery:
    """An idempotent producer that answers for whole batches. Used by one thread.

    After any failure the producer is replaced: it may have failed for good, and a new one also forgets what the old
    one had queued. So a batch that is tried again may lie in its topic twice.
    """

    def __init__(self, settings: Settings, client_id: str, *, max_message_bytes: int) -> None:
        """Make the producer; it connects by itself."""
        self._timeout_s = settings.sink_timeout_s
        self._config = {
            **connection(settings, client_id),
            "enable.idempotence": True,
            "compression.type": settings.compression_type,
            "message.max.bytes": max_message_bytes,
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
        why = refusals[0].str() if refusals else f"no answer within SINK_TIMEOUT_S={self._timeout_s:g}"
        raise BrokerUnavailableError(why)

    def close(self) -> None:
        """Let go; every batch has been flushed already."""
        self._producer.flush(0)

    def _produce(self, batch: Iterable[Outgoing], refusals: list[KafkaError], deadline: Deadline) -> int:
        """Answer how many the broker has said nothing about; what it refused is in ``refusals``."""

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
