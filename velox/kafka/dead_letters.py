"""The dead-letter topic: records whose own data is bad, with the reason."""

from collections.abc import Sequence

from velox.core.letters import RECORD_OMITTED, VALUE_OMITTED, dead_letter_headers
from velox.errors import BadRecordError, BrokerUnavailableError
from velox.kafka.delivery import Delivery, Outgoing, message_bytes
from velox.kafka.parsing import record_bytes
from velox.kafka.topics import HEADROOM_BYTES
from velox.records import Omitted, Record
from velox.settings import TopicSettings


def dead_letter_topic(settings: TopicSettings) -> str:
    """Return the name of the dead-letter topic."""
    return settings.topics["DEAD_LETTER_TOPIC"]


class DeadLetters:
    """Writes dead letters and waits until the broker has them. Used by one thread, the writer."""

    name = "dead_letters"

    def __init__(self, settings: TopicSettings) -> None:
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
        """Close the producer; every write has been flushed already."""
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
        forms = _forms(record, error, self._topic)
        allowed = (form for form in forms[omitting:] if message_bytes(form) <= self._limit_bytes)
        return next(allowed, forms[-1])


def _forms(record: Record, error: BadRecordError, topic: str) -> list[Outgoing]:
    """Build what may be produced: the record whole, without its value, and at last nothing of it but where it lies.

    A record that is not whole itself has only the forms without what it lacks.
    """
    headers = dead_letter_headers(record, error)
    ours = [(name, content) for name, content in headers if name.startswith("velox-dlq-")]
    value = record.value
    omitted = record.omitted or Omitted(len(value))
    everything_bytes = omitted.record_bytes or record_bytes(record.key, omitted.value_bytes, record.headers)
    no_value = [*headers, (VALUE_OMITTED, str(omitted.value_bytes).encode())]
    nothing = [*ours, (RECORD_OMITTED, str(everything_bytes).encode())]
    forms: list[Outgoing] = [
        {"topic": topic, "key": record.key, "value": value, "headers": headers},
        {"topic": topic, "key": record.key, "value": None, "headers": no_value},
        {"topic": topic, "key": None, "value": None, "headers": nothing},
    ]
    lacking = 0 if record.omitted is None else 1 if record.omitted.record_bytes is None else 2
    return forms[lacking:]
