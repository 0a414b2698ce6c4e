"""Where a group begins in a partition for which it has committed nothing yet."""

import logging
from collections.abc import Callable, Sequence
from typing import Final

from confluent_kafka import OFFSET_END, Consumer, KafkaException, TopicPartition

from velox.core.retries import backoff_s
from velox.errors import VeloxError
from velox.records import Partition
from velox.settings import MemberSettings

log = logging.getLogger(__name__)

_ANSWER_S: Final = 2.0


class Beginnings:
    """Tells apart a group that starts and a partition that appears while the group is at work.

    A group that starts begins as AUTO_OFFSET_RESET says. A partition that appears later, of a new topic too, is read
    from its beginning, or what was written to it before it was noticed would be lost. It is such a one when it was not
    there, or others had a committed offset and it had none, before this member joined.
    """

    def __init__(self, settings: MemberSettings) -> None:
        """Start without any partition."""
        self._reset = settings.auto_offset_reset
        self._subscription = settings.subscription
        self._assigns_anew = settings.group_protocol == "range"
        self._there: frozenset[Partition] = frozenset()
        self._is_at_work = False

    def survey(
        self, consumer: Consumer, *, listen: Callable[[float], None], is_stopping: Callable[[], bool]
    ) -> tuple[str, ...]:
        """Note what there is before this member joins, and answer which of its topics are there.

        Waits for a broker that is away, and has ``listen`` hear why; answers none if it is to stop meanwhile.
        """
        for wait_s in backoff_s(cap_s=_ANSWER_S):
            try:
                # Of one topic alone, where there is one: somebody may keep the others from us.
                only = self._subscription.names[0] if self._subscription.is_one else None
                known = consumer.list_topics(only, timeout=_ANSWER_S).topics
                topics = self._subscription.among(known)
                there = [TopicPartition(topic, number) for topic in topics for number in known[topic].partitions]
                committed = consumer.committed(there, timeout=_ANSWER_S) if there else []
            except KafkaException as error:
                log.debug("Kafka does not say what the group has committed: %s", error.args[0].str())
                if is_stopping():
                    return ()
                listen(wait_s)
            else:
                self._there = frozenset(Partition(at.topic, at.partition) for at in there)
                # An error says that there is one: a transaction of somebody is about to move it.
                self._is_at_work = any(at.offset >= 0 or at.error is not None for at in committed)
                return topics
        return ()

    def await_choice(self, consumer: Consumer, partitions: Sequence[TopicPartition]) -> None:
        """Accept new partitions within ``on_assign``, in such a way that the driver does not choose where they begin.

        With AUTO_OFFSET_RESET=error it would give up each one in which the group has no offset, before one is chosen.
        """
        if self._reset == "error":
            anywhere = [TopicPartition(at.topic, at.partition, OFFSET_END) for at in partitions]
            (consumer.assign if self._assigns_anew else consumer.incremental_assign)(anywhere)

    def choose(self, consumer: Consumer, partitions: Sequence[TopicPartition]) -> list[TopicPartition]:
        """Return where to begin in each of these, which have no committed offset.

        Raises:
            VeloxError: AUTO_OFFSET_RESET=error, and the group is new.
            KafkaException: the broker does not answer.
        """
        return [TopicPartition(at.topic, at.partition, self._begin(consumer, at)) for at in partitions]

    def _begin(self, consumer: Consumer, at: TopicPartition) -> int:
        is_new = self._is_at_work or Partition(at.topic, at.partition) not in self._there
        if self._reset == "error" and not is_new:
            msg = (
                f"AUTO_OFFSET_RESET=error: the group has no committed offset in {at.topic}-{at.partition}; "
                "set earliest or latest, or reset the group's offsets"
            )
            raise VeloxError(msg)
        low, high = consumer.get_watermark_offsets(at, timeout=_ANSWER_S)
        return int(low if is_new or self._reset == "earliest" else high)
