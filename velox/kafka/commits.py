"""Offsets on their way to Kafka, and what it says to them."""

from collections.abc import Callable, Mapping, Set

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from velox import failpoints
from velox.kafka.heeding import Heeding
from velox.records import Partition

Accepted = Callable[[Mapping[Partition, int]], None]
"""Hears of the offsets that the broker has accepted."""


class Commits:
    """Commits for partitions that are owned at that moment, and for no others.

    The broker would accept others too, and rewind them for their new owner.
    """

    def __init__(self, owned: Set[Partition], heeding: Heeding) -> None:
        """Look at ``owned`` whenever something is to be committed."""
        self.accepted: Accepted = lambda _offsets: None
        self.refused: Callable[[str], None] = lambda _error: None
        """Hears the driver's name for an error."""
        self._owned = owned
        self._heeding = heeding

    def begin(self, consumer: Consumer, offsets: Mapping[Partition, int]) -> None:
        """Commit in the background; the driver calls ``answered`` later."""
        owned = self._ours(offsets)
        if owned:
            failpoints.reach("before_commit")
            consumer.commit(offsets=owned, asynchronous=True)

    def wait(self, consumer: Consumer, offsets: Mapping[Partition, int]) -> None:
        """Commit, and wait for the answer."""
        owned = self._ours(offsets)
        if not owned:
            return
        try:
            self.answered(None, consumer.commit(offsets=owned, asynchronous=False) or [])
        except KafkaException as error:
            self.answered(error.args[0], owned)

    def answered(self, error: KafkaError | None, partitions: list[TopicPartition]) -> None:
        """Hear what became of a commit, as a whole and in each partition."""
        accepted: dict[Partition, int] = {}
        for at in partitions:
            refusal = error or at.error
            if refusal is None:
                accepted[Partition(at.topic, at.partition)] = at.offset
                continue
            self.refused(refusal.name())
            self._heeding.commit(at, refusal)
        self.accepted(accepted)

    def _ours(self, offsets: Mapping[Partition, int]) -> list[TopicPartition]:
        return [TopicPartition(p.topic, p.number, offset) for p, offset in offsets.items() if p in self._owned]
