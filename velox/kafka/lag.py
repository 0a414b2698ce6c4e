"""How far a consumer group is: its committed offsets, and what its topic holds."""

from typing import Final, NamedTuple

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from velox.core.deadline import Deadline
from velox.errors import BrokerUnavailableError
from velox.records import Partition

_TIMEOUT_S: Final = 5.0


class Extent(NamedTuple):
    """The offsets a partition holds: from ``low`` (the first still there) up to, not including, ``high``."""

    low: int
    high: int


class Observer:
    """Looks at a topic and a group without being a member of it, so that it disturbs nobody. Not thread-safe."""

    def __init__(self, bootstrap: str, group: str) -> None:
        """Make the client; it connects when first asked."""
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "client.id": "velox-observer",
                "group.id": group,
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "enable.partition.eof": False,
                "fetch.wait.max.ms": 10,
                "log_level": 0,
            }
        )

    def committed(self, partitions: list[Partition]) -> dict[Partition, int]:
        """Answer the next offset to read, per partition that has one.

        Raises:
            BrokerUnavailableError: the broker does not answer.
        """
        if not partitions:
            return {}
        try:
            answers = self._consumer.committed([TopicPartition(*p) for p in partitions], timeout=_TIMEOUT_S)
        except KafkaException as error:
            msg = f"Kafka does not say what the group has committed: {error}; is it running?"
            raise BrokerUnavailableError(msg) from error
        return {Partition(a.topic, a.partition): a.offset for a in answers if a.error is None and a.offset >= 0}

    def extents(self, topic: str) -> dict[Partition, Extent]:
        """Answer what every partition of a topic holds.

        Raises:
            BrokerUnavailableError: the broker does not answer.
        """
        try:
            numbers = self._consumer.list_topics(timeout=_TIMEOUT_S).topics[topic].partitions
            return {Partition(topic, number): self._extent(topic, number) for number in numbers}
        except (KafkaException, KeyError) as error:
            msg = f"Kafka does not say what topic {topic} holds: {error!r}; is it running, is the topic there?"
            raise BrokerUnavailableError(msg) from error

    def read_all(self, topic: str, *, within_s: float) -> list[Message]:
        """Read the records that a topic holds now, in no order across partitions.

        Raises:
            BrokerUnavailableError: that took longer than ``within_s``.
        """
        deadline = Deadline(within_s)
        extents = self.extents(topic)
        expected = sum(extent.high - extent.low for extent in extents.values())
        self._consumer.assign([TopicPartition(*p, extent.low) for p, extent in extents.items()])
        messages: list[Message] = []
        while len(messages) < expected:
            if deadline.has_passed():
                msg = f"only {len(messages)} of {expected} records of {topic} could be read within {within_s:g} s"
                raise BrokerUnavailableError(msg)
            messages += [m for m in self._consumer.consume(expected - len(messages), 0.2) if m.error() is None]
        self._consumer.unassign()
        return messages

    def close(self) -> None:
        """Let go of the connection."""
        self._consumer.close()

    def _extent(self, topic: str, number: int) -> Extent:
        return Extent(*self._consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=_TIMEOUT_S))
