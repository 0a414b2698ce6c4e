"""Where a group begins in a partition for which it has committed nothing yet."""

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from confluent_kafka import Consumer, KafkaException, TopicPartition

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
        self._chosen: dict[Partition, int] = {}
        """Where to begin, in partitions of which no offset was committed when they came."""

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

    def accept(self, consumer: Consumer, partitions: Sequence[TopicPartition]) -> None:
        """Take new partitions within ``on_assign``, each at an offset, so that the driver looks for none itself.

        It would where the group has committed nothing. No later seek stops it: its answer, once it is there, moves the
        partition to its end, past records that nobody has read. A partition whose place Kafka does not say now waits
        at 0, which is no more than a place to wait: the caller pauses it, and seeks its beginning later.
        """
        try:
            committed, chosen = self.find(consumer, partitions)
        except (KafkaException, VeloxError):  # the caller asks again, and hears it then
            committed, chosen = {}, {}
        known = committed | chosen
        placed = [TopicPartition(*at, known.get(at, 0)) for at in _plain(partitions)]
        (consumer.assign if self._assigns_anew else consumer.incremental_assign)(placed)

    def find(
        self, consumer: Consumer, partitions: Sequence[TopicPartition]
    ) -> tuple[dict[Partition, int], dict[Partition, int]]:
        """Return what the group has committed in these, and where to begin in those of them without an offset.

        In neither is a partition for which an open transaction of its former owner may still move the offset.

        Raises:
            VeloxError: AUTO_OFFSET_RESET=error, and the group is new.
            KafkaException: the broker does not answer.
        """
        asked = [TopicPartition(*at) for at in _plain(partitions)]
        answers = [at for at in consumer.committed(asked, timeout=_ANSWER_S) if at.error is None] if asked else []
        committed = {Partition(at.topic, at.partition): at.offset for at in answers if at.offset >= 0}
        without = [Partition(at.topic, at.partition) for at in answers if at.offset < 0]
        # What was chosen stays, however late it can be committed: what comes meanwhile lies behind it.
        self._chosen |= {at: self._begin(consumer, at) for at in without if at not in self._chosen}
        return committed, {at: self._chosen[at] for at in without}

    def forget(self, partitions: Iterable[Partition]) -> None:
        """Forget what was chosen for partitions that go to another member."""
        for partition in partitions:
            self._chosen.pop(partition, None)

    def _begin(self, consumer: Consumer, at: Partition) -> int:
        is_new = self._is_at_work or at not in self._there
        if self._reset == "error" and not is_new:
            msg = (
                f"AUTO_OFFSET_RESET=error: the group has no committed offset in {at.topic}-{at.number}; "
                "set earliest or latest, or reset the group's offsets"
            )
            raise VeloxError(msg)
        low, high = consumer.get_watermark_offsets(TopicPartition(*at), timeout=_ANSWER_S)
        return int(low if is_new or self._reset == "earliest" else high)


def _plain(partitions: Sequence[TopicPartition]) -> list[Partition]:
    return [Partition(at.topic, at.partition) for at in partitions]
