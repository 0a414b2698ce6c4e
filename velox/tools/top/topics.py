"""What consumers did for each topic, in the order in which one wants to see them."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from velox.metrics.consumer import ConsumerMetrics
from velox.tools.top.history import History


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic, all its partitions and all consumers together."""

    name: str
    records_per_s: float
    lag_records: int
    dead_letters: int
    """Since the consumers started."""

    @property
    def is_behind(self) -> bool:
        """Say whether more waits than what is done in a second: with less, rows would jump at each look."""
        return self.lag_records > self.records_per_s


def topics(histories: Sequence[History]) -> list[Topic]:
    """Add up what consumers counted by topic: first those that are behind, by their lag, then the busiest.

    A topic that a consumer gave away in a rebalance stays, with what was counted of it.
    """
    rate: defaultdict[str, float] = defaultdict(float)
    lag: defaultdict[str, float] = defaultdict(float)
    letters: defaultdict[str, float] = defaultdict(float)
    for history in histories:
        for topic, done in history.growth(ConsumerMetrics.records.name, "topic").items():
            rate[topic] += done / history.seconds if history.seconds else 0.0
        for spec, total in ((ConsumerMetrics.lag, lag), (ConsumerMetrics.dead_letters, letters)):
            for topic, value in history.now_by(spec.name, "topic").items():
                total[topic] += value
    found = [Topic(name, rate[name], int(lag[name]), int(letters[name])) for name in {*rate, *lag, *letters}]
    return sorted(found, key=lambda of: (-of.lag_records if of.is_behind else 0, -of.records_per_s, of.name))
