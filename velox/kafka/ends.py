"""Where partitions end: asked of the broker in the background, also while they are paused."""

from collections.abc import Iterable
from concurrent.futures import Future
from typing import Any

from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]  # exported at run time only

from velox.records import Partition

_ANSWER_S = 10.0


class EndOffsets:
    """Keeps the last answer; a consumer's own knowledge stands still while it does not fetch."""

    def __init__(self, bootstrap: str) -> None:
        self._admin = AdminClient({"bootstrap.servers": bootstrap, "client.id": "velox-lag", "log_level": 0})
        self._asked: dict[Partition, Future[Any]] = {}
        self._known: dict[Partition, int] = {}

    def known(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        """Answer the offset after the last record of each partition, as far as known, and ask anew; never blocks."""
        wanted = set(partitions)
        for partition in [p for p, asked in self._asked.items() if asked.done()]:
            asked = self._asked.pop(partition)
            if asked.exception() is None:
                self._known[partition] = asked.result().offset
        if wanted and not self._asked:
            self._ask(wanted)
        self._known = {p: offset for p, offset in self._known.items() if p in wanted}
        return dict(self._known)

    def _ask(self, partitions: Iterable[Partition]) -> None:
        end = OffsetSpec.latest()  # type: ignore[no-untyped-call]  # the driver leaves it untyped
        latest = {TopicPartition(*partition): end for partition in partitions}
        try:
            futures = self._admin.list_offsets(latest, request_timeout=_ANSWER_S)
        except KafkaException:  # no connection now; the next call asks again
            return
        self._asked = {Partition(at.topic, at.partition): future for at, future in futures.items()}
