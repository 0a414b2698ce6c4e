"""Flow control: how far the consumer group is behind what this producer published, in bytes."""

import logging
from collections.abc import Callable, Mapping
from time import monotonic
from typing import Final

from confluent_kafka import Consumer, KafkaException, TopicPartition

from velox.core.backlog import Backlog
from velox.records import Partition
from velox.settings import Settings

log = logging.getLogger(__name__)

REFRESH_S: Final = 0.2
"""Time between two questions for the group's offsets."""


class GroupOffsets:
    """Asks the broker for the committed offsets of a group, without being a member of it."""

    def __init__(self, settings: Settings) -> None:
        """Make the client; it never subscribes, so it disturbs nobody."""
        self._consumer = Consumer(
            {
                "bootstrap.servers": settings.kafka_bootstrap_server,
                "client.id": "velox-producer-lag",
                "group.id": settings.kafka_consumer_group,
                "enable.auto.commit": False,
                "log_level": 0,
            }
        )

    def committed(self, partitions: list[Partition], *, timeout_s: float = 1.0) -> dict[Partition, int]:
        """Answer the next offset to read, per partition that has one; nothing while the broker does not answer."""
        try:
            answers = self._consumer.committed([TopicPartition(*p) for p in partitions], timeout=timeout_s)
        except KafkaException as exception:
            log.debug("The group's offsets cannot be had now: %s", exception)
            return {}
        return {Partition(a.topic, a.partition): a.offset for a in answers if a.error is None and a.offset >= 0}

    def close(self) -> None:
        """Let go of the connection."""
        self._consumer.close()


class LagLimit:
    """Says when to publish no more, because one partition is ``max_bytes`` behind. 0 = never."""

    def __init__(
        self,
        max_bytes: int,
        backlog: Backlog,
        committed: Callable[[list[Partition]], Mapping[Partition, int]],
        *,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """Ask ``committed`` for the group's offsets, a few times a second at most and only when it matters."""
        self._max_bytes = max_bytes
        self._backlog = backlog
        self._committed = committed
        self._clock = clock
        self._ask_at = clock()

    def is_reached(self) -> bool:
        """Say whether to wait. Half way to the limit the offsets are asked for, so that it is rarely reached."""
        if not self._max_bytes:
            return False
        if self._backlog.behind_bytes() >= self._max_bytes // 2 and self._clock() >= self._ask_at:
            self._backlog.committed(self._committed(self._backlog.partitions))
            self._ask_at = self._clock() + REFRESH_S
        return self._backlog.behind_bytes() >= self._max_bytes
