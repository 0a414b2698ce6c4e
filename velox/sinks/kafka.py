"""Stores results in a Kafka topic, one message each."""

import json
from collections.abc import Iterable, Iterator, Sequence
from math import isfinite
from typing import Final, Literal

from velox.core.tracing import traces
from velox.errors import BrokerUnavailableError, RefusedResultsError, SinkUnavailableError
from velox.kafka.contents import contents
from velox.kafka.delivery import Delivery, Outgoing, message_bytes
from velox.kafka.topics import ensure_topic, message_limit, remove_topics
from velox.records import ID_HEADER, Result
from velox.settings import StreamSettings, TopicSettings
from velox.sinks.documents import NO_EXTRAS, Extras, document, stored
from velox.sinks.sink import Stored

_READ_S: Final = 120.0


class KafkaSink:
    """Produces results to RESULTS_TOPIC, keyed by the prediction id: the last message of a key is the result.

    A result that is written again is one more message with the same key and an equal prediction. Readers that keep
    the last message of each key, as a compacted topic does, see it once; others use DELIVERY=exactly_once.
    """

    def __init__(self, settings: StreamSettings) -> None:
        """Keep the names."""
        self.name = "kafka"
        self.takes: Literal["detections", "all"] = "all" if settings.store == "all" else "detections"
        self._extras = Extras.of(settings)
        self._settings = settings
        self._topic = results_topic(settings)
        self._limit_bytes = settings.max_message_bytes
        self._delivery: Delivery | None = None

    def open(self) -> None:
        """Create the topic when it is missing."""
        self.close()
        try:
            ensure_results_topic(self._settings)
        except BrokerUnavailableError as error:
            raise SinkUnavailableError(f"kafka: {error}") from error
        self._limit_bytes = message_limit(self._settings, self._topic)
        self._delivery = Delivery(self._settings, "velox-results", max_message_bytes=self._limit_bytes)

    def write(self, batch: Sequence[Result]) -> None:
        """Produce the batch, of results with the same id only the last, and wait until the broker has it."""
        if not batch:
            return
        if self._delivery is None:
            self.open()
        if self._delivery is None:
            raise SinkUnavailableError("kafka: not connected")
        messages = {result.id: outgoing(result, self._topic, self._extras) for result in batch}
        refused = refusals(messages.values(), self._limit_bytes)
        try:
            delivered = self._delivery.deliver([m for identity, m in messages.items() if identity not in refused])
        except BrokerUnavailableError as error:
            self.close()  # the next try also looks whether the topic is still there
            raise SinkUnavailableError(f"kafka: results not accepted by {self._topic}: {error}") from error
        if not delivered:
            self.close()  # as above: its limit may be another now
            msg = f"kafka: {self._topic} finds results too large: raise its max.message.bytes, or let us describe it"
            raise SinkUnavailableError(msg)
        if refused:
            raise RefusedResultsError(refused)

    def stored(self, prefix: str) -> Iterator[Stored]:
        """Yield what readers find whose id begins with ``prefix``.

        The last message of each key; with DELIVERY=exactly_once every message that is committed.
        """
        try:
            messages = list(contents(self._settings, self._topic, within_s=_READ_S))
        except BrokerUnavailableError as error:
            raise SinkUnavailableError(f"kafka: {error}") from error
        if self._settings.delivery == "at_least_once":
            messages = list({message.key(): message for message in messages}.values())
        for message in messages:
            found = json.loads(message.value() or b"{}")
            if str(found.get("_id", "")).startswith(prefix):
                yield stored(found)

    def remove(self, prefix: str) -> None:
        """Delete the topic when ``prefix`` is empty; a log gives up no single message."""
        if prefix:
            msg = f"kafka: what begins with {prefix} stays in {self._topic} until its retention has passed"
            raise SinkUnavailableError(msg)
        try:
            remove_topics(self._settings, [self._topic])
        except BrokerUnavailableError as error:
            raise SinkUnavailableError(f"kafka: {error}") from error

    def close(self) -> None:
        """Let go of the producer."""
        delivery, self._delivery = self._delivery, None
        if delivery is not None:
            delivery.close()


def results_topic(settings: TopicSettings) -> str:
    """Name the topic of the results."""
    return settings.topics["RESULTS_TOPIC"]


def ensure_results_topic(settings: TopicSettings) -> None:
    """Create it when it is missing; one try.

    Raises:
        BrokerUnavailableError: no broker answered, or it refuses.
    """
    # Every result has a key: whether older ones go is the broker's and the user's to say.
    ensure_topic(settings, results_topic(settings), wait_s=0, config={})


def outgoing(result: Result, topic: str, extras: Extras = NO_EXTRAS) -> Outgoing:
    """Write a result as a message: the document that MongoDB gets, as JSON; for routing and tracing, headers."""
    record = result.record
    said = {
        ID_HEADER: result.id,
        "velox-model": result.model.name,
        "velox-model-version": result.model.version,
        "velox-position": str(record.position),
    }
    headers = [(name, text.encode(errors="replace")) for name, text in said.items()]
    # JSON has no NaN.
    fields = {
        name: None if isinstance(value, float) and not isfinite(value) else value
        for name, value in document(result, extras).items()
    }
    value = json.dumps(fields, ensure_ascii=False, allow_nan=False).encode()
    return {"topic": topic, "key": result.id.encode(), "value": value, "headers": [*headers, *traces(record.headers)]}


def refusals(messages: Iterable[Outgoing], limit_bytes: int) -> dict[str, str]:
    """Find the results that a topic with this limit will never take, and say why, by id."""
    return {
        (message["key"] or b"").decode(): f"a result of {size} bytes, and {message['topic']} takes {limit_bytes}"
        for message in messages
        if (size := message_bytes(message)) > limit_bytes
    }
