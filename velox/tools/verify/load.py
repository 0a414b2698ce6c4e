"""Publishes the numbered records, and knows what became of each."""

from collections.abc import Callable, Sequence
from functools import partial
from time import monotonic
from typing import Final

from velox.core.backlog import Backlog, LagLimit
from velox.core.schedule import Schedule
from velox.kafka.publisher import Publisher
from velox.records import Partition
from velox.settings import ProductionSettings
from velox.tools.verify.numbered import Records
from velox.tools.verify.places import Places
from velox.tools.verify.plan import Plan
from velox.tools.verify.watch import Offsets

_AT_ONCE: Final = 500
_SLICE_S: Final = 0.05
_WAIT_S: Final = 0.01
_AHEAD: Final = 20_000
"""Records that may be unread in all partitions together when no rate is asked for: more than consumers read in a second
or so, as what is read is only known once it is committed."""
_AHEAD_BYTES: Final = 256 * 1024 * 1024
"""Large ones are fewer, as they are read more slowly."""
_HEADERS_BYTES: Final = 200
"""About what a record's id and checksum count for in a backlog."""


class Load:
    """One run's records, published in order of their numbers. Used by one thread."""

    def __init__(
        self,
        settings: ProductionSettings,
        plan: Plan,
        records: Records,
        committed: Callable[[], Offsets],
        topics: Sequence[str],
    ) -> None:
        """Publish to these topics; ask ``committed`` how far the group is, for holding back."""
        self.records = records
        self.published = 0
        self._topics = topics
        self.acknowledged = Places()
        """Where each record lies that the broker has: only its answer counts, not that it was sent."""
        self.ends: dict[Partition, int] = {}
        """The offset after the last acknowledged record, per partition."""
        limit_bytes = _limit_bytes(
            settings, plan, record_bytes=records.usual_bytes() + _HEADERS_BYTES, topics=len(topics)
        )
        backlog = Backlog() if limit_bytes else None
        self._limit = LagLimit(limit_bytes, backlog, lambda _: committed()) if backlog else None
        self._schedule = Schedule(1 / plan.rate if plan.rate else 0)
        self.publisher = Publisher(settings, topics, backlog=backlog)

    def publish(self, until: int) -> None:
        """Publish what is due, for a short time, up to and without the number ``until``; hear from the broker."""
        end_at = monotonic() + _SLICE_S
        for _ in range(_AT_ONCE):
            if self.published >= until or monotonic() > end_at:
                break
            if self._schedule.due_in_s() or (self._limit and self._limit.is_reached()):
                break
            self._publish(self.published)
            self.published += 1
            self._schedule.advance()
        self.publisher.poll(_WAIT_S)

    def _publish(self, number: int) -> None:
        value, headers = self.records.build(number)
        acknowledged = partial(self._acknowledged, number)
        key, topic = self.records.key(number), self._topics[self.records.series(number) % len(self._topics)]
        self.publisher.publish(value, key=key, headers=headers, acknowledged=acknowledged, topic=topic)

    def _acknowledged(self, number: int, partition: Partition, offset: int) -> None:
        self.acknowledged.put(number, partition, offset)
        self.ends[partition] = max(offset + 1, self.ends.get(partition, 0))


def _limit_bytes(settings: ProductionSettings, plan: Plan, *, record_bytes: int, topics: int) -> int:
    """Say how far the group may be behind in one partition; 0 = any amount.

    Without a rate the consumers set the pace. The next fault must not find all its records published before the last
    one is over, so the limit is less than what lies between two faults.
    """
    limits = [settings.producer_max_lag_bytes] if settings.producer_max_lag_bytes else []
    if not plan.rate:
        between = plan.count // (len(plan.faults()) + 1)
        ahead = max(1, min(_AHEAD, between // 2, _AHEAD_BYTES // record_bytes))
        limits.append(max(1, ahead // (settings.kafka_partitions * topics)) * record_bytes)
    return min(limits, default=0)
