"""How many replicas Kubernetes would have: what it is told is needed, and how fast it may follow.

The rules are those of HorizontalPodAutoscaler v2 (kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale),
with external metrics of the kind AverageValue, as KEDA makes them.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil, inf
from typing import Final

TOLERANCE: Final = 0.1
"""A need that differs by less from what is there changes nothing."""
SYNC_S: Final = 15
"""How often it looks."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What can be measured at one moment."""

    lag: float
    """Records that wait in Kafka."""
    done_per_s: float | None
    """Records a second over the last two minutes, by the consumers' metrics; None when no consumer tells."""


@dataclass(frozen=True, slots=True)
class Limit:
    """How far it may go within a period: by replicas, or by a share of what was there."""

    period_s: int
    replicas: float = 0
    share: float = 0


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How fast it may follow in one direction; of several limits the widest counts."""

    window_s: int
    """For so long the most cautious of what was needed counts."""
    limits: tuple[Limit, ...]


UP: Final = Behaviour(0, (Limit(15, replicas=4), Limit(15, share=1.0)))
DOWN: Final = Behaviour(300, (Limit(15, share=1.0),))
"""Kubernetes' own."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What is asked of the autoscaler."""

    name: str
    needs: tuple[Callable[[Seen], float | None], ...]
    """Each answers how many replicas a metric asks for, as a fraction; None = it cannot be had."""
    least: int
    most: int
    fallback: int = 0
    """So many at least while a metric cannot be had."""
    up: Behaviour = UP
    down: Behaviour = DOWN


USE: Final = 0.8
"""The share of what a replica can do that is counted on."""


def by_lag(records: float) -> Callable[[Seen], float | None]:
    """One replica for so many records that wait: KEDA's trigger `kafka`."""
    return lambda seen: seen.lag / records


def by_rate(per_replica_s: float, *, drain_s: float) -> Callable[[Seen], float | None]:
    """As many as what is done takes, and what waits when it should be gone within ``drain_s``."""

    def need(seen: Seen) -> float | None:
        if seen.done_per_s is None:
            return None
        return (seen.done_per_s + seen.lag / drain_s) / (USE * per_replica_s)

    return need


DRAIN_S: Final = 60
"""What waits should be gone within so long."""
SHIPPED_DOWN: Final = Behaviour(180, (Limit(60, share=0.5),))
"""A replica that goes is a rebalance: it is kept for three minutes in case it is needed, and half may go a minute."""


def shipped(per_replica_s: float, *, least: int, most: int, drain_s: float = DRAIN_S, fallback: int = 2) -> Policy:
    """Answer the policy of the chart: its ScaledObject has the same numbers."""
    needs = (by_rate(per_replica_s, drain_s=drain_s), by_lag(USE * per_replica_s * drain_s))
    return Policy("shipped", needs, least, most, fallback, down=SHIPPED_DOWN)


def others(per_replica_s: float, *, least: int, most: int, drain_s: float = DRAIN_S) -> tuple[Policy, ...]:
    """Answer what one would deploy instead."""
    return (
        Policy("drain time alone", (by_lag(per_replica_s * drain_s),), least, most),
        Policy("lag of 1,000", (by_lag(1000),), least, most),
        Policy("KEDA's default, lag of 10", (by_lag(10),), least, most),
    )


class Autoscaler:
    """Follows a policy. Times are seconds from any beginning, and never go back."""

    def __init__(self, policy: Policy) -> None:
        """Begin with nothing seen."""
        self._policy = policy
        self._needs: deque[tuple[float, int]] = deque()
        self._changes: deque[tuple[float, int]] = deque()

    def decide(self, now_s: float, replicas: int, seen: Seen) -> int:
        """Say how many replicas there should be from now on."""
        policy = self._policy
        asked = [need(seen) for need in policy.needs]
        known = [_rounded(need, replicas) for need in asked if need is not None]
        wanted = max(known, default=replicas)
        if len(known) < len(asked):  # never fewer than now for want of a metric
            wanted = max(wanted, replicas, policy.fallback)
        wanted = min(max(wanted, policy.least), policy.most)
        self._needs.append((now_s, wanted))
        wanted = self._stable(now_s, replicas, wanted)
        bounded = self._within_limits(now_s, replicas, wanted)
        if bounded != replicas:
            self._changes.append((now_s, bounded - replicas))
        return bounded

    def _stable(self, now_s: float, replicas: int, wanted: int) -> int:
        longest = max(self._policy.up.window_s, self._policy.down.window_s)
        while self._needs and self._needs[0][0] < now_s - longest:
            self._needs.popleft()
        lowest_up = min(need for at, need in self._needs if at >= now_s - self._policy.up.window_s)
        highest_down = max(need for at, need in self._needs if at >= now_s - self._policy.down.window_s)
        if wanted > replicas:
            return max(replicas, lowest_up)
        return min(replicas, highest_down)

    def _within_limits(self, now_s: float, replicas: int, wanted: int) -> int:
        if wanted > replicas:
            return min(wanted, self._furthest(now_s, replicas, self._policy.up.limits, +1))
        return max(wanted, self._furthest(now_s, replicas, self._policy.down.limits, -1))

    def _furthest(self, now_s: float, replicas: int, limits: Sequence[Limit], sign: int) -> int:
        """Answer how many there may be now: a period counts from what was there at its beginning."""
        reached = []
        for limit in limits:
            moved = sum(by for at, by in self._changes if at > now_s - limit.period_s and by * sign > 0)
            before = replicas - moved
            step = limit.replicas or before * limit.share
            reached.append(ceil(before + sign * step) if sign > 0 else int(before + sign * step))
        if not reached:
            return int(sign * inf)
        return max(replicas, *reached) if sign > 0 else min(replicas, *reached)


def _rounded(need: float, replicas: int) -> int:
    if replicas and abs(need / replicas - 1) <= TOLERANCE:
        return replicas
    return ceil(need)
