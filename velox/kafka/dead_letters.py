"""The dead-letter topic: records whose own data is bad, with the reason."""

from collections.abc import Iterator, Sequence
from typing import Final

from velox.core.letters import RECORD_OMITTED, VALUE_OMITTED, dead_letter_headers
from velox.errors import BadRecordError, BrokerUnavailableError
from velox.kafka.delivery import Delivery, Outgoing
from velox.records import Headers, Record
from velox.settings import Settings

HEADROOM_BYTES = 1024 * 1024
"""What a dead letter may be larger than its record: for the headers that are added."""
_FRAME_BYTES: Final = 1024


def dead_letter_topic(settings: Settings) -> str:
    """Name the topic of the dead letters."""
    return settings.topics["DEAD_LETTER_TOPIC"]


class DeadLetters:
    """Writes dead letters and waits until the broker has them. Used by one thread, the writer."""

    name = "dead_letters"

    def __init__(self, settings: Settings) -> None:
        """Make the producer; it connects by itself."""
        self._topic = dead_letter_topic(settings)
        self._limit_bytes = settings.max_message_bytes + HEADROOM_BYTES
        self._delivery = Delivery(settings, "velox-dead-letters", max_message_bytes=self._limit_bytes)

    def write(self, batch: Sequence[tuple[Record, BadRecordError]]) -> None:
        """Store the batch, or raise. At least once: after an error some of it may be there twice.

        A record too large for the dead-letter topic leaves its value behind, or all of itself; the headers point to
        its position.

        Raises:
            BrokerUnavailableError: not all were acknowledged in time.
        """
        if self._deliver(batch):
            return
        # A topic with a lower limit than ours refuses the whole batch around the letter that is too large.
        for letter in batch:
            if not any(self._deliver([letter], omitting=parts) for parts in range(3)):
                msg = f"the dead letter of {letter[0].position} is too large for its topic even without its record"
                raise BrokerUnavailableError(msg)

    def close(self) -> None:
        """Let go; every write has been flushed already."""
        self._delivery.close()

    def _deliver(self, batch: Sequence[tuple[Record, BadRecordError]], *, omitting: int = 0) -> bool:
        """Produce and wait; False when the topic finds something too large."""
        try:
            return self._delivery.deliver(self._letter(record, error, omitting) for record, error in batch)
        except BrokerUnavailableError as error:
            msg = f"dead letters not accepted: {error}"
            raise BrokerUnavailableError(msg) from error

    def _letter(self, record: Record, error: BadRecordError, omitting: int) -> Outgoing:
        """Choose the fullest form, after those to be left out, that our own limit allows."""
        forms = list(_forms(record, error, self._topic))[omitting:]
        fitting = (form for form in forms if _size(form["key"], form["value"], form["headers"]) <= self._limit_bytes)
        return next(fitting, forms[-1])


def _forms(record: Record, error: BadRecordError, topic: str) -> Iterator[Outgoing]:
    """Build what is produced: the record whole, without its value, and at last nothing of it but where it lies."""
    headers = dead_letter_headers(record, error)
    ours = [(name, value) for name, value in headers if name.startswith("velox-dlq-")]
    value_bytes = str(len(record.value)).encode()
    record_bytes = str(_size(record.key, record.value, record.headers)).encode()
    yield {"topic": topic, "key": record.key, "value": record.value, "headers": headers}
    yield {"topic": topic, "key": record.key, "value": None, "headers": [*headers, (VALUE_OMITTED, value_bytes)]}
    yield {"topic": topic, "key": None, "value": None, "headers": [*ours, (RECORD_OMITTED, record_bytes)]}


def _size(key: bytes | None, value: bytes | None, headers: Headers) -> int:
    """Estimate the bytes a record takes in Kafka, rather too many than too few."""
    return (
        len(key or b"") + len(value or b"") + sum(len(name) + len(v or b"") + 16 for name, v in headers) + _FRAME_BYTES
    )
