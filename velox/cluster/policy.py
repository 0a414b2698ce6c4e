"""What Ray asks about the number of replicas: answered by drain time, see ``scaling``."""

from collections.abc import Mapping
from typing import Any, Final

from velox.cluster.scaling import Load, Rule, wanted

BUSY: Final = "velox_busy"
CALLS_PER_S: Final = "velox_calls_per_s"
"""What replicas report, by these names."""
POLICY: Final = "velox.cluster.policy:DrainTime"


class DrainTime:
    """Ray calls this several times a second for each deployment, and adds the delays of config.yaml to what it says."""

    def __init__(self, *, drain_s: float) -> None:
        """What waits is to be done within ``drain_s`` seconds."""
        self._drain_s = drain_s

    def __call__(self, context: Any) -> tuple[int, dict[str, Any]]:  # noqa: ANN401 - of a library without types
        """Answer how many replicas there should be, and no state: what was before, the delays take care of."""
        least, most = context.capacity_adjusted_min_replicas, context.capacity_adjusted_max_replicas
        now = context.current_num_replicas
        reported: Mapping[str, Mapping[Any, float]] = context.aggregated_metrics or {}
        load = Load(
            replicas=now,
            waiting=max(0.0, context.total_num_requests - now),
            busy=_mean(reported.get(BUSY, {})),
            calls_per_s=_mean({who: rate for who, rate in reported.get(CALLS_PER_S, {}).items() if rate > 0}),
        )
        return wanted(Rule(self._drain_s, least, most), load), {}


def _mean(values: Mapping[Any, float]) -> float:
    return sum(values.values()) / len(values) if values else 0.0
