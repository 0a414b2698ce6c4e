"""Records that Kafka removed before they were read, told from gaps where nothing was."""

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]  # exported at run time only

from velox.core.offsets import Gap
from velox.records import Partition

_ANSWER_S = 10.0
_MOST_GAPS = 10_000
"""Marks of transactions leave many; where we may not ask, they would gather for ever, and the oldest go."""


class Expiry:
    """Asks the broker, in the background, where the partitions begin now that have gaps."""

    def __init__(self, admin: AdminClient) -> None:
        self._admin = admin
        self._gaps: deque[Gap] = deque(maxlen=_MOST_GAPS)
        self._asked: dict[Partition, Future[Any]] = {}

    def count(self, gaps: Sequence[Gap]) -> Mapping[Partition, int]:
        """Add gaps, and return how many records are gone, for those that are known by now; never blocks.

        A gap in what the partition still holds is compaction's, or holds the markers of transactions. One that begins
        before was jumped over, as AUTO_OFFSET_RESET says: its oldest records are gone, and with ``latest`` others too.
        """
        self._gaps.extend(gaps)
        lost: Counter[Partition] = Counter()
        if self._asked and all(asked.done() for asked in self._asked.values()):
            beginnings = {p: asked.result().offset for p, asked in self._asked.items() if not asked.exception()}
            self._asked = {}
            for gap in self._gaps:
                if gap.start < beginnings.get(gap.partition, -1):
                    lost[gap.partition] += gap.stop - gap.start
            unknown = [gap for gap in self._gaps if gap.partition not in beginnings]
            self._gaps = deque(unknown, maxlen=_MOST_GAPS)
        if self._gaps and not self._asked:
            with suppress(KafkaException):  # no connection now; the next call asks again
                self._ask({gap.partition for gap in self._gaps})
        return lost

    def _ask(self, partitions: set[Partition]) -> None:
        beginning = OffsetSpec.earliest()  # type: ignore[no-untyped-call]  # the driver leaves it untyped
        earliest = {TopicPartition(*partition): beginning for partition in partitions}
        futures = self._admin.list_offsets(earliest, request_timeout=_ANSWER_S)
        self._asked = {Partition(at.topic, at.partition): future for at, future in futures.items()}
