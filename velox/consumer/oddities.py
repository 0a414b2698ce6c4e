"""Records that are predicted although something is wrong with their payload: counted, and named now and then."""

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Final

from velox.core.seldom import Seldom
from velox.metrics.consumer import ConsumerMetrics
from velox.records import Record

log = logging.getLogger(__name__)

_SILENT_S: Final = 60.0
"""At most one line in this time: a camera that does it once does it with every picture."""


class Oddities:
    """Counts such records, and logs one of them as an example. For one thread."""

    def __init__(self, metrics: ConsumerMetrics, *, clock: Callable[[], float] = monotonic) -> None:
        self._metrics = metrics
        self._seldom = Seldom(_SILENT_S, clock=clock)

    def hear(self, remarked: Sequence[tuple[Record, str]]) -> None:
        """Take in records, each with what its model's ``decode`` has remarked."""
        if not remarked:
            return
        for topic, count in Counter(record.position.topic for record, _ in remarked).items():
            self._metrics.decode_warnings.labels(topic).inc(count)
        if count := self._seldom.count("decoded", len(remarked)):
            record, remark = remarked[-1]
            log.warning(
                "Decoded with a warning, as viewers do: %s (%s); %d records since the last such line",
                record.position,
                remark,
                count,
            )
