"""One policy under one load, second by second."""

from collections import deque
from dataclasses import dataclass
from typing import Final

from velox.core.scaling import SYNC_S, Autoscaler, Policy, Seen
from velox.tools.autoscale.traces import Trace

REBALANCE_S: Final = 3
"""So long nothing is done after a member has come or gone; measured: 1 to 3 s."""
_RATE_S: Final = 120
"""Over so long the rate is measured."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it."""

    policy: str
    trace: str
    reversals: int
    """How often it went up after down, or down after up: each is a rebalance that was for nothing."""
    worst_age_s: int
    """How old the oldest record became before it was done."""
    late_share: float
    """Share of the records that were done later than two minutes after they came."""
    replica_minutes: float
    """What was paid for."""
    most_replicas: int
    replicas: tuple[int, ...]
    """Of each second, for a picture."""
    lag: tuple[float, ...]

    @property
    def measures(self) -> tuple[int, int, int]:
        """What policies are compared by; less is better: reversals, seconds, replica-minutes."""
        return self.reversals, self.worst_age_s, round(self.replica_minutes)

    def is_beaten_by(self, other: "Outcome") -> bool:
        """Say whether the other is better in something, and worse in nothing."""
        pairs = list(zip(other.measures, self.measures, strict=True))
        return all(theirs <= ours for theirs, ours in pairs) and any(theirs < ours for theirs, ours in pairs)


@dataclass(slots=True)
class _Backlog:
    """Records that wait, by the second in which they came."""

    waiting: deque[list[float]]
    late_after_s: int = 120
    late: float = 0
    done: float = 0

    @property
    def size(self) -> float:
        return sum(records for _, records in self.waiting)

    def work(self, second: int, capacity: float) -> float:
        """Do the oldest, and answer how many."""
        done = 0.0
        while self.waiting and done < capacity:
            came, records = self.waiting[0]
            part = min(records, capacity - done)
            done += part
            if second - came > self.late_after_s:
                self.late += part
            if part == records:
                self.waiting.popleft()
            else:
                self.waiting[0][1] -= part
        self.done += done
        return done

    def age_s(self, second: int) -> int:
        """Answer how old the oldest is."""
        return int(second - self.waiting[0][0]) if self.waiting else 0


def simulate(policy: Policy, trace: Trace, per_replica_s: float) -> Outcome:
    """Play a trace; a replica does ``per_replica_s`` records a second when it has started.

    Not modelled: partitions that are fuller than others, nodes that have no room, and a broker that is merely slow.
    """
    autoscaler = Autoscaler(policy)
    backlog = _Backlog(deque())
    ready_at = [-trace.start_s] * policy.least
    pause_until = 0
    rates: deque[float] = deque(maxlen=_RATE_S)
    replicas: list[int] = []
    lags: list[float] = []
    worst_age_s = reversals = direction = 0
    for second, arrived in enumerate(trace.arrivals):
        if arrived:
            backlog.waiting.append([second, arrived])
        if second in trace.restarts:
            ready_at = [second + trace.start_s] * len(ready_at)
        if any(at == second for at in ready_at):
            pause_until = second + REBALANCE_S
        is_away = any(second in away for away in trace.broker_away)
        ready = sum(at <= second for at in ready_at)
        capacity = 0.0 if is_away or second < pause_until else ready * per_replica_s
        rates.append(backlog.work(second, capacity))
        worst_age_s = max(worst_age_s, backlog.age_s(second))
        if second % SYNC_S == 0:
            before = len(ready_at)
            tells = ready and not is_away
            seen = Seen(backlog.size, sum(rates) / len(rates) if tells else None)
            wanted = before if is_away else autoscaler.decide(second, before, seen)
            if wanted != before:
                sign = 1 if wanted > before else -1
                reversals += direction == -sign
                direction = sign
                pause_until = max(pause_until, second + REBALANCE_S) if sign < 0 else pause_until
                ready_at = sorted(ready_at)[:wanted] + [second + trace.start_s] * max(0, wanted - before)
        replicas.append(len(ready_at))
        lags.append(backlog.size)
    return Outcome(
        policy.name,
        trace.name,
        reversals,
        worst_age_s,
        backlog.late / max(1.0, backlog.done),
        sum(replicas) / 60,
        max(replicas),
        tuple(replicas),
        tuple(lags),
    )
