"""The dead-letter topic: records whose own data is bad, with the reason."""

from collections.abc import Sequence
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from velox.core.deadline import Deadline
from velox.errors import BadRecordError, BrokerUnavailableError
from velox.records import Record
from velox.settings import Settings

SUFFIX = ".dlq"
HEADROOM_BYTES = 1024 * 1024
"""What a dead letter may be larger than its record: for the headers that are added."""


def dead_letter_topic(topic: str) -> str:
    """Name the dead-letter topic of a topic."""
    return topic + SUFFIX


def dead_letter_headers(record: Record, error: BadRecordError) -> list[tuple[str, str | bytes | None]]:
    """Say why and from where, after the record's own headers."""
    cause = error.__cause__ or error
    reason = {
        "velox-dlq-reason": error.reason.value,
        "velox-dlq-error": f"{type(cause).__name__}: {error.detail}"[:1000],
        "velox-dlq-topic": record.position.topic,
        "velox-dlq-partition": str(record.position.partition),
        "velox-dlq-offset": str(record.position.offset),
        "velox-dlq-id": record.id,
    }
    own = [(name, value) for name, value in record.headers if not name.startswith("velox-dlq-")]
    return [*own, *((name, text.encode(errors="replace")) for name, text in reason.items())]


class DeadLetters:
    """Writes dead letters and waits until the broker has them. Used by one thread, the writer."""

    name = "dead_letters"

    def __init__(self, settings: Settings) -> None:
        """Make the producer; it connects by itself."""
        self._limit_bytes = settings.max_message_bytes + HEADROOM_BYTES
        self._timeout_s = settings.sink_timeout_s
        self._producer = Producer(
            {
                "bootstrap.servers": settings.kafka_bootstrap_server,
                "client.id": "velox-dead-letters",
                "enable.idempotence": True,
                "compression.type": settings.compression_type,
                "message.max.bytes": self._limit_bytes,
                "message.timeout.ms": int(settings.sink_timeout_s * 1000),
                "linger.ms": 5,
                # A write that fails says why itself.
                "log_level": 0,
            }
        )

    def write(self, batch: Sequence[tuple[Record, BadRecordError]]) -> None:
        """Store the batch, or raise. At least once: after an error some of it may be there twice.

        A record too large for the dead-letter topic leaves its value behind; the headers point to its position.

        Raises:
            BrokerUnavailableError: not all were acknowledged in time.
        """
        if self._deliver(batch):
            return
        # A topic with a lower limit than ours refuses the whole batch around the letter that is too large.
        for letter in batch:
            if not self._deliver([letter]) and not self._deliver([letter], with_values=False):
                msg = f"the dead letter of {letter[0].position} is too large for its topic even without its value"
                raise BrokerUnavailableError(msg)

    def close(self) -> None:
        """Let go; every write has been flushed already."""
        self._producer.flush(0)

    def _deliver(self, batch: Sequence[tuple[Record, BadRecordError]], *, with_values: bool = True) -> bool:
        """Produce and wait; False when the topic finds something too large."""
        refusals: list[KafkaError] = []

        def delivered(error: KafkaError | None, _message: Message) -> None:
            if error is not None:
                refusals.append(error)

        deadline = Deadline(self._timeout_s)
        limit_bytes = self._limit_bytes if with_values else 0
        for record, error in batch:
            self._produce(_letter(record, error, limit_bytes), delivered, deadline)
        unanswered = self._producer.flush(deadline.left_s() + 1)
        if not unanswered and not refusals:
            return True
        if not unanswered and {refusal.code() for refusal in refusals} == {KafkaError.MSG_SIZE_TOO_LARGE}:
            return False
        cause = refusals[0].str() if refusals else f"no answer within {self._timeout_s:g} s"
        self._producer.purge()
        self._producer.poll(0)
        msg = f"dead letters not accepted: {cause}"
        raise BrokerUnavailableError(msg)

    def _produce(self, letter: dict[str, Any], delivered: Any, deadline: Deadline) -> None:  # noqa: ANN401 - librdkafka's callback
        while True:
            try:
                self._producer.produce(**letter, on_delivery=delivered)
            except BufferError:
                if deadline.has_passed():
                    msg = "dead letters not accepted: the local queue is full"
                    raise BrokerUnavailableError(msg) from None
                self._producer.poll(0.1)
            except KafkaException as refusal:
                msg = f"dead letters not accepted: {refusal}"
                raise BrokerUnavailableError(msg) from refusal
            else:
                return


def _letter(record: Record, error: BadRecordError, limit_bytes: int) -> dict[str, Any]:
    """Build what is produced; without the value when it would be larger than ``limit_bytes``."""
    headers = dead_letter_headers(record, error)
    size = len(record.value) + len(record.key or b"") + sum(len(n) + len(v or b"") + 16 for n, v in headers)
    value: bytes | None = record.value
    if size > limit_bytes - 1024:
        value = None
        headers = [*headers, ("velox-dlq-value-omitted-bytes", str(len(record.value)).encode())]
    topic = dead_letter_topic(record.position.topic)
    return {"topic": topic, "value": value, "key": record.key, "headers": headers}
