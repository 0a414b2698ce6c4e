"""The gateway's Kafka client: a record for each request, and the broker's answer for each record."""

import logging
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from velox.core.deadline import Deadline
from velox.errors import BadRecordError, BrokerUnavailableError, Reason
from velox.kafka.connection import connection, refusal_of
from velox.kafka.reachability import Reachability
from velox.records import Headers
from velox.settings import MIB, ClientSettings

log = logging.getLogger(__name__)

Answered = Callable[[BrokerUnavailableError | None], None]
"""Called on a thread of the asker: with None once the broker has the record, else with why it has not."""

_LINGER_MS: Final = 2
_QUEUE_RECORDS: Final = 20_000
_QUEUE_BYTES: Final = 64 * MIB
_POLL_S: Final = 0.1
"""How soon a close is noticed; answers of the broker end a poll at once."""


class Asker:
    """Publishes records on behalf of many waiting clients. Any thread may use it.

    Each record is acknowledged by all replicas that are in sync, written once (an idempotent producer), and answered
    for within ``accept_timeout_s``. What waits for the broker is bounded; beyond that, asking fails at once. A client
    that has failed for good is replaced; what it had not delivered is answered as failed, though it may be in Kafka.
    """

    def __init__(self, settings: ClientSettings, *, accept_timeout_s: float) -> None:
        """Make the client and the thread that waits for its answers; it connects in the background.

        Raises:
            SettingsError: a certificate or key is of no use.
        """
        self._reachability = Reachability(settings)
        self._refusal: str | None = None
        self._config = _config(settings, accept_timeout_s, self._on_client_error)
        self._accept_timeout_s = accept_timeout_s
        self._producer = Producer(self._config)
        self._changing = threading.Lock()
        """Held while the client is used or replaced: nothing may be given to one that nobody listens to any more."""
        self._has_failed = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="answers", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Count the records without an answer yet."""
        return len(self._producer)

    def ask(self, topic: str, *, key: bytes, value: bytes, headers: Headers, answered: Answered) -> None:
        """Hand one record over, without waiting; ``answered`` is called once, later.

        Raises:
            BadRecordError: the record is larger than MAX_MESSAGE_BYTES.
            BrokerUnavailableError: nothing more can be taken now. ``answered`` is not called.
        """
        report = partial(self._on_delivery, answered)
        try:
            with self._changing:
                self._producer.produce(topic, value, key=key, headers=list(headers), on_delivery=report)
        except BufferError as full:
            msg = f"{self.waiting} records wait for Kafka already; {self._why()}"
            raise BrokerUnavailableError(msg) from full
        except KafkaException as exception:
            error: KafkaError = exception.args[0]
            if error.code() == KafkaError.MSG_SIZE_TOO_LARGE:
                detail = f"{len(value)} bytes: larger than MAX_MESSAGE_BYTES allows"
                raise BadRecordError(Reason.TOO_LARGE, detail) from exception
            if error.fatal() or error.code() == KafkaError._FATAL:
                self._has_failed.set()
            raise BrokerUnavailableError(error.str()) from exception

    def check(self, topic: str, timeout_s: float) -> None:
        """Ask the cluster for a topic; blocks.

        Raises:
            BrokerUnavailableError: it does not answer in time; the message says what is known of why.
        """
        try:
            self._producer.list_topics(topic, timeout=timeout_s)
        except KafkaException as exception:
            raise BrokerUnavailableError(self._why()) from exception
        self._refusal = None

    def close(self, deadline: Deadline) -> int:
        """Wait for the answers that are missing, at most until then; say how many never came. Safe twice."""
        self._producer.flush(deadline.left_s())
        self._closing.set()
        self._thread.join()
        return self.waiting

    def _listen(self) -> None:
        while not self._closing.is_set():
            self._producer.poll(_POLL_S)
            if self._has_failed.is_set():
                self._replace()

    def _replace(self) -> None:
        log.error("The Kafka client has failed for good; another takes its place")
        with self._changing:
            failed, self._producer = self._producer, Producer(self._config)
            self._has_failed.clear()
        failed.purge()
        failed.flush(1)

    def _on_delivery(self, answered: Answered, error: KafkaError | None, _message: Message) -> None:
        if error is None:
            answered(None)
        elif error.code() == KafkaError._MSG_TIMED_OUT:
            why = f"no answer within ACCEPT_TIMEOUT_S={self._accept_timeout_s:g}; {self._why()}"
            answered(BrokerUnavailableError(why))
        else:
            answered(BrokerUnavailableError(error.str()))

    def _on_client_error(self, error: KafkaError) -> None:
        if error.fatal():
            self._has_failed.set()
        self._refusal = refusal_of(error) or self._refusal
        if not self._reachability.heard(error):
            log.debug("Kafka: %s", error.str())

    def _why(self) -> str:
        return self._refusal or self._reachability.problem or "Kafka does not answer"


def _config(
    settings: ClientSettings, accept_timeout_s: float, on_error: Callable[[KafkaError], None]
) -> dict[str, Any]:
    return {
        **connection(settings, "velox-gateway"),
        "enable.idempotence": True,
        "acks": "all",
        "compression.type": settings.compression_type,
        "message.max.bytes": settings.max_message_bytes,
        "queue.buffering.max.messages": _QUEUE_RECORDS,
        "queue.buffering.max.kbytes": max(_QUEUE_BYTES, 2 * settings.max_message_bytes) // 1024,
        "delivery.timeout.ms": int(accept_timeout_s * 1000),
        "linger.ms": _LINGER_MS,
        "error_cb": on_error,
    }
