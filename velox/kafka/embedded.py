"""A broker inside this process: librdkafka's mock cluster, for trying Velox out without Kafka."""

from collections.abc import Sequence
from types import TracebackType
from typing import Final, Self

from confluent_kafka import KafkaException, Producer

from velox.errors import BrokerUnavailableError
from velox.settings import MIB

PARTITIONS: Final = 4
"""Of every topic; the cluster cannot be asked for another number."""
RETENTION_BYTES: Final = 5 * MIB
"""What a partition keeps. Older records are dropped silently, read or not: whoever produces has to hold back."""
_TIMEOUT_S: Final = 10.0


class EmbeddedBroker:
    """A broker on a free port of 127.0.0.1 that lives, with all its records, as long as this object.

    Other processes connect as to any Kafka. It has no disk, no security, no transactions, cannot create topics on
    request, and rebalances a group only as fast as ``session.timeout.ms`` allows.
    """

    def __init__(self, topics: Sequence[str]) -> None:
        """Plan the topics it will have."""
        self._topics = topics
        self._host: Producer | None = None

    def start(self) -> str:
        """Start and create the topics; return the address for ``KAFKA_BOOTSTRAP_SERVER``.

        Raises:
            BrokerUnavailableError: this build of librdkafka has no mock cluster, or the port cannot be had.
        """
        try:
            # The address is not used, but there has to be one.
            self._host = Producer({"bootstrap.servers": "embedded", "test.mock.num.brokers": 1, "log_level": 0})
            for topic in self._topics:
                self._host.list_topics(topic, timeout=_TIMEOUT_S)  # asking for a topic creates it
            (broker,) = self._host.list_topics(timeout=_TIMEOUT_S).brokers.values()
        except KafkaException as error:
            msg = f"the embedded broker did not start: {error.args[0].str()}; set up Kafka instead (README)"
            raise BrokerUnavailableError(msg) from error
        return f"{broker.host}:{broker.port}"

    def close(self) -> None:
        """Stop; all records are gone."""
        self._host = None

    def __enter__(self) -> Self:
        """Hold the broker for a block; ``start`` it inside."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it."""
        self.close()
