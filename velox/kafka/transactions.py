"""Messages and a group's offsets in one Kafka transaction."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Final, NamedTuple
from uuid import uuid4

from confluent_kafka import KafkaError, KafkaException, Producer, TopicPartition

from velox import failpoints
from velox.errors import BrokerUnavailableError, VeloxError
from velox.kafka.connection import connection
from velox.kafka.delivery import Outgoing
from velox.records import Partition
from velox.settings import Settings

_STEP_S: Final = 1.0
"""Longest single wait for the broker."""


class Transaction(NamedTuple):
    """What is to become visible at once, or not at all."""

    batch: list[Outgoing]
    offsets: Mapping[Partition, int]
    group: Any
    """Which member of which generation of the group owned the partitions: the broker refuses any other."""


class TransactionalProducer:
    """Commits one transaction after the other. Used by one thread at a time.

    Its transactional id is its own, so two consumers never take each other for the same. What fences a consumer that
    has lost its partitions is the generation of the group (KIP-447); what ends the transaction of one that was killed
    is its time-out: as long as the session's, since nobody gets its partitions before that anyway. A named member
    (GROUP_INSTANCE_ID) ends its former transaction itself when it starts again.
    """

    def __init__(self, settings: Settings) -> None:
        """Make the producer; it connects by itself."""
        name = uuid4().hex if settings.group_instance_id == "none" else settings.group_instance_id
        self._producer = Producer(
            {
                **connection(settings, "velox-results"),
                "transactional.id": f"velox-{settings.kafka_consumer_group}-{name}",
                "transaction.timeout.ms": settings.session_timeout_ms,
                "compression.type": settings.compression_type,
                "message.max.bytes": settings.max_message_bytes,
                # A transaction is as large as what was staged for it, and that is bounded.
                "queue.buffering.max.messages": 0,
                "linger.ms": 5,
            }
        )

    def open(self, timeout_s: float) -> None:
        """Register with the broker.

        Raises:
            BrokerUnavailableError: not now.
            VeloxError: never; the broker refuses.
        """
        try:
            self._producer.init_transactions(timeout_s)
        except KafkaException as exception:
            error: KafkaError = exception.args[0]
            if error.retriable():
                raise BrokerUnavailableError(error.str()) from exception
            msg = f"Kafka refuses transactions: {error.str()}; DELIVERY=at_least_once does without"
            raise VeloxError(msg) from exception

    def commit(self, transaction: Transaction) -> None:
        """Produce the batch, add the offsets, commit; waits for a broker that is away.

        Raises:
            BrokerUnavailableError: aborted: nothing of it can be seen, and it may be tried again.
            VeloxError: this producer is fenced or failed for good; what is committed, only the broker knows.
        """
        producer = self._producer
        positions = [TopicPartition(p.topic, p.number, offset) for p, offset in transaction.offsets.items()]
        try:
            producer.begin_transaction()
            self._produce(transaction.batch)
            failpoints.reach("before_transaction_offsets")
            self._insist(partial(producer.send_offsets_to_transaction, positions, transaction.group))
            failpoints.reach("before_transaction_commit")
            self._insist(producer.commit_transaction)
        except KafkaException as exception:
            error: KafkaError = exception.args[0]
            if not error.fatal():
                self._abort()
                msg = f"transaction aborted: {error.str()}"
                raise BrokerUnavailableError(msg) from exception
            raise _failed(error) from exception

    def _abort(self) -> None:
        try:
            self._insist(self._producer.abort_transaction)
        except KafkaException as exception:
            raise _failed(exception.args[0]) from exception

    def _produce(self, batch: Iterable[Outgoing]) -> None:
        for outgoing in batch:
            arguments: dict[str, Any] = {**outgoing, "headers": list(outgoing["headers"])}
            # Every delivery is confirmed: the commit waits for all of them, and is refused when one failed.
            self._producer.produce(**arguments)
            self._producer.poll(0)

    def _insist(self, step: Callable[[float], None]) -> None:
        """Repeat a step for as long as the driver says that this may help."""
        while True:
            try:
                return step(_STEP_S)
            except KafkaException as exception:
                if not exception.args[0].retriable():
                    raise


def _failed(error: KafkaError) -> VeloxError:
    return VeloxError(f"DELIVERY=exactly_once: {error.str()}; start the consumer again: it goes on where Kafka says")
