"""How far a consumer group is: its committed offsets, and what its topic holds."""

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from confluent_kafka import TIMESTAMP_NOT_AVAILABLE, Consumer, KafkaError, KafkaException, Message, TopicPartition

from velox.core.deadline import Deadline
from velox.errors import BrokerUnavailableError
from velox.kafka.connection import connection
from velox.records import Partition
from velox.settings import MemberSettings

_TIMEOUT_S: Final = 5.0
_SLICE_S: Final = 0.2


class Extent(NamedTuple):
    """The offsets a partition holds: from ``low`` (the first still there) up to, not including, ``high``."""

    low: int
    high: int


class Observer:
    """Looks at a topic and a group without being a member of it, so that it disturbs nobody. Not thread-safe."""

    def __init__(self, settings: MemberSettings) -> None:
        """Make the client; it connects when first asked."""
        self._consumer = Consumer(
            {
                **connection(settings, "velox-observer"),
                "group.id": settings.kafka_consumer_group,
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": 10,
            }
        )

    def committed(self, partitions: list[Partition]) -> dict[Partition, int]:
        """Return the next offset to read, per partition that has one.

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

    def extents(self, *topics: str) -> dict[Partition, Extent]:
        """Return what every partition of these topics holds.

        Raises:
            BrokerUnavailableError: the broker does not answer.
        """
        try:
            known = self._consumer.list_topics(timeout=_TIMEOUT_S).topics
            return {
                Partition(topic, number): self._extent(topic, number)
                for topic in topics
                for number in known[topic].partitions
            }
        except (KafkaException, KeyError) as error:
            which = ", ".join(topics)
            msg = f"Kafka does not say what topic {which} holds: {error!r}; is it running, is the topic there?"
            raise BrokerUnavailableError(msg) from error

    def oldest_s(self, starts: Mapping[Partition, int]) -> float | None:
        """Return the Unix time of the earliest of the records at these offsets; None when none comes in time."""
        if not starts:
            return None
        self._consumer.assign([TopicPartition(*p, offset) for p, offset in starts.items()])
        deadline = Deadline(_TIMEOUT_S)
        left = set(starts)
        oldest_ms: int | None = None
        while left and not deadline.has_passed():
            message = self._consumer.poll(deadline.left_s())
            if message is None or message.error() is not None:
                continue
            at = Partition(message.topic() or "", message.partition() or 0)
            if at in left:
                left.remove(at)
                self._consumer.pause([TopicPartition(*at)])
                kind, stamp_ms = message.timestamp()
                if kind != TIMESTAMP_NOT_AVAILABLE:
                    oldest_ms = stamp_ms if oldest_ms is None else min(oldest_ms, stamp_ms)
        self._consumer.unassign()
        return None if oldest_ms is None else oldest_ms / 1000

    def read_all(self, topic: str, *, within_s: float, since: Mapping[Partition, int] | None = None) -> list[Message]:
        """Read the records that a topic holds now, in no order across partitions.

        ``since`` gives the first offset to read, for partitions whose beginning does not matter.

        Raises:
            BrokerUnavailableError: that took longer than ``within_s``.
        """
        deadline = Deadline(within_s)
        extents = {p: Extent(max(e.low, (since or {}).get(p, 0)), e.high) for p, e in self.extents(topic).items()}
        messages: list[Message] = []
        for message in self.read(extents, patience_s=within_s):
            messages.append(message)
            if deadline.has_passed():
                msg = f"only {len(messages)} records of {topic} could be read within {within_s:g} s"
                raise BrokerUnavailableError(msg)
        return messages

    def read(self, extents: Mapping[Partition, Extent], *, patience_s: float = 10.0) -> Iterator[Message]:
        """Yield the records within these offsets that are still there, in no order across partitions.

        One reading at a time: a second one ends the first.

        Raises:
            BrokerUnavailableError: nothing came for ``patience_s``.
        """
        left = {partition: extent.high for partition, extent in extents.items() if extent.low < extent.high}
        self._consumer.assign([TopicPartition(*partition, extents[partition].low) for partition in left])
        deadline = Deadline(patience_s)
        try:
            while left:
                message = self._consumer.poll(_SLICE_S)
                if message is None or not _is_of_partition(message):
                    if deadline.has_passed():
                        names = ", ".join(f"{topic}-{number}" for topic, number in left)
                        msg = f"Kafka gave nothing of {names} for {patience_s:g} s; is it running?"
                        raise BrokerUnavailableError(msg)
                    continue
                partition = Partition(message.topic() or "", message.partition() or 0)
                offset, high = message.offset() or 0, left.get(partition, 0)
                if message.error() is None and offset < high:
                    yield message
                if message.error() is not None or offset + 1 >= high:
                    left.pop(partition, None)
                deadline = Deadline(patience_s)
        finally:
            self._consumer.unassign()

    def close(self) -> None:
        """Close the connection."""
        self._consumer.close()

    def _extent(self, topic: str, number: int) -> Extent:
        return Extent(*self._consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=_TIMEOUT_S))


def _is_of_partition(message: Message) -> bool:
    """Tell a record, and the news that a partition has no more, from errors that may pass."""
    error = message.error()
    return error is None or error.code() == KafkaError._PARTITION_EOF
