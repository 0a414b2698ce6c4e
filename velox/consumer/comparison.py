"""A version that only looks on: it is given the same records, and its answers are compared with those that count."""

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any

from velox.consumer.dispatch import Dispatcher
from velox.core.comparing import Answer, Comparing, Outcome
from velox.core.deadline import Deadline
from velox.metrics.consumer import ConsumerMetrics
from velox.records import Answered, Position, Record

log = logging.getLogger(__name__)

_Key = tuple[Position, int]


@dataclass(slots=True)
class _Pair:
    """The two answers to a record, and how long each took."""

    handed_at: float
    size_bytes: int
    answer: Answer | None = None
    answer_s: float = 0.0
    shadows: Answer | None = None
    shadow_s: float = 0.0


class Shadow:
    """Offers records to a version and compares. Nothing waits for it: what it has no room for is skipped.

    When it cannot go on, it alone is switched off. Any thread may call.
    """

    def __init__(
        self, name: str, dispatcher: Dispatcher, metrics: ConsumerMetrics, *, most_records: int, most_bytes: int
    ) -> None:
        """Take the version's dispatcher, which is to have metrics of its own, and what it may hold at once."""
        self.name = name
        self._dispatcher = dispatcher
        self._metrics = metrics
        self._most_records, self._most_bytes = most_records, most_bytes
        self._lock = threading.Lock()
        self._pairs: dict[_Key, _Pair] = {}
        self._bytes = 0
        self._is_off = False
        self._comparing = Comparing()
        for outcome in ("agreed", "disagreed", "skipped", "failed"):
            metrics.shadow.labels(name, outcome)

    def start(self) -> None:
        """Start its processes; should that fail, it is off."""
        try:
            self._dispatcher.start(self._hear)
        except Exception as error:
            log.exception("The shadow %s cannot be started", self.name)
            with self._lock:
                self._switch_off(error)

    def offer(self, records: Sequence[Record]) -> None:
        """Take those that there is room for; call it before they are given to the versions that answer."""
        now = monotonic()
        taken: list[Record] = []
        with self._lock:
            if not self._is_off and self._dispatcher.failure:
                self._switch_off(self._dispatcher.failure)
            can_take = not self._is_off and self._dispatcher.ready_processes > 0
            for record in records:
                room = len(self._pairs) < self._most_records and self._bytes + record.size_bytes <= self._most_bytes
                if can_take and room:
                    self._pairs[_key(record)] = _Pair(now, record.size_bytes)
                    self._bytes += record.size_bytes
                    taken.append(record)
            self._count("skipped", len(records) - len(taken))
        if taken:
            self._dispatcher.submit(taken)

    def compare(self, answers: Sequence[Answered]) -> None:
        """Hear the answers that count."""
        now = monotonic()
        with self._lock:
            for record, answer, *_ in answers:
                if pair := self._pairs.get(_key(record)):
                    pair.answer, pair.answer_s = answer, now - pair.handed_at
                    self._settle(record, pair)

    def report(self) -> dict[str, Any]:
        """Tell the comparison so far as JSON can."""
        with self._lock:
            return {"shadow": self.name, "is_on": not self._is_off, **self._comparing.report()}

    def close(self, deadline: Deadline) -> bool:
        """End its processes; False when something did not end."""
        return self._dispatcher.close(deadline)

    def _hear(self, answers: list[Answered]) -> None:
        now = monotonic()
        with self._lock:
            for record, answer, *_ in answers:
                if pair := self._pairs.get(_key(record)):
                    pair.shadows, pair.shadow_s = answer, now - pair.handed_at
                    self._settle(record, pair)

    def _settle(self, record: Record, pair: _Pair) -> None:
        if pair.answer is None or pair.shadows is None:
            return
        del self._pairs[_key(record)]
        self._bytes -= pair.size_bytes
        outcome = self._comparing.add(record.id, pair.answer, pair.shadows, (pair.answer_s, pair.shadow_s))
        self._metrics.shadow.labels(self.name, outcome).inc()

    def _switch_off(self, why: Exception) -> None:
        self._is_off = True
        log.error("The shadow %s is switched off, all else goes on: %s", self.name, why)
        self._count("failed", len(self._pairs))
        self._pairs.clear()
        self._bytes = 0

    def _count(self, outcome: Outcome, many: int) -> None:
        if many:
            self._comparing.count(outcome, many)
            self._metrics.shadow.labels(self.name, outcome).inc(many)


def _key(record: Record) -> _Key:
    return record.position, record.epoch
