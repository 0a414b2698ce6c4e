"""Messages and a group's offsets in one Kafka transaction."""

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from velox import failpoints
from velox.core.deadline import Deadline
from velox.errors import BrokerUnavailableError, VeloxError
from velox.kafka.connection import connection
from velox.kafka.delivery import Outgoing, size_limits
from velox.records import Partition
from velox.settings import MemberSettings

_ANSWER_S: Final = 10.0


class Transaction(NamedTuple):
    """Messages and offsets that become visible together, or not at all."""

    batch: list[Outgoing]
    offsets: Mapping[Partition, int]
    group: Any
    """Which member of which generation of the group owned the partitions: the broker refuses any other."""


class InDoubtError(VeloxError):
    """A transaction may be committed, or never will be: only the broker knows, and this producer is of no more use."""


class TransactionalProducer:
    """Commits one transaction after the other, until one fails. Used by one thread at a time.

    What fences a consumer that has lost its partitions is the generation of the group (KIP-447). What ends the
    transaction of a consumer that was killed is its time-out: as long as the session's, since nobody gets its
    partitions before that anyway.

    After a failure another producer with the same name takes its place: to register, the broker first ends the
    transaction that is left, one way or the other, and from then on refuses the producer that began it. So nothing has
    to be tried again with a driver that has lost its coordinator: its calls may then not return at all.
    """

    def __init__(self, settings: MemberSettings, name: str) -> None:
        """Make the producer; it connects by itself. Two that run at once never have one ``name``."""
        self._is_open = False
        self._producer = Producer(
            {
                **connection(settings, "velox-results"),
                "transactional.id": name,
                "transaction.timeout.ms": settings.session_timeout_ms,
                "compression.type": settings.compression_type,
                **size_limits(settings.max_message_bytes),
                # A transaction is as large as what was staged for it, and that is bounded.
                "queue.buffering.max.messages": 0,
                "linger.ms": 5,
                # Otherwise the driver throws its brokers away when all are down, and goes on waiting for those that it
                # remembers as coordinators, at 40 to 85 % of a core (librdkafka 2.16).
                "metadata.recovery.strategy": "none",
            }
        )

    def open(self, timeout_s: float) -> None:
        """Register with the broker, once; may be called again, whether it was answered or not.

        Raises:
            BrokerUnavailableError: not now.
            VeloxError: never; the broker refuses.
        """
        if self._is_open:  # the driver takes a second registration for a mistake
            return
        try:
            self._producer.init_transactions(timeout_s)
            self._is_open = True
        except KafkaException as exception:
            error: KafkaError = exception.args[0]
            if error.retriable():
                raise BrokerUnavailableError(error.str()) from exception
            msg = f"Kafka refuses transactions: {error.str()}; DELIVERY=at_least_once does without"
            raise VeloxError(msg) from exception

    def commit(self, transaction: Transaction, deadline: Deadline) -> None:
        """Produce the batch, add the offsets, commit.

        The deadline is the driver's to keep: while a broker is away it may not return before that is back.

        Raises:
            InDoubtError: it failed, or there is no answer.
        """
        positions = [TopicPartition(p.topic, p.number, offset) for p, offset in transaction.offsets.items()]
        try:
            self._producer.begin_transaction()
            self._produce(transaction.batch)
            failpoints.reach("before_transaction_offsets")
            self._producer.send_offsets_to_transaction(positions, transaction.group, deadline.left_s())
            failpoints.reach("before_transaction_commit")
            self._producer.commit_transaction(deadline.left_s())
        except KafkaException as exception:
            raise InDoubtError(exception.args[0].str()) from exception

    def _produce(self, batch: Iterable[Outgoing]) -> None:
        for outgoing in batch:
            arguments: dict[str, Any] = {**outgoing, "headers": list(outgoing["headers"])}
            # Every delivery is confirmed: the commit waits for all of them, and is refused when one failed.
            self._producer.produce(**arguments)
            self._producer.poll(0)


def committed_offsets(settings: MemberSettings, partitions: Iterable[Partition]) -> dict[Partition, int]:
    """Return what the group has committed, once no transaction is open that could change it.

    Raises:
        BrokerUnavailableError: no answer.
    """
    group = settings.kafka_consumer_group
    asked = ConsumerGroupTopicPartitions(group, [TopicPartition(*partition) for partition in partitions])
    admin = AdminClient(connection(settings, "velox-admin"))
    try:
        answer = admin.list_consumer_group_offsets([asked], require_stable=True, request_timeout=_ANSWER_S)[group]
        found = answer.result(_ANSWER_S + 1).topic_partitions
    except (KafkaException, TimeoutError) as error:
        msg = f"Kafka does not say what {group} has committed: {error}"
        raise BrokerUnavailableError(msg) from error
    return {Partition(at.topic, at.partition): at.offset for at in found if at.error is None}
