"""How many replicas a model needs so that what waits for it is done in time. Pure: of Ray, and of KEDA, no word."""

import math
from collections import deque
from dataclasses import dataclass
from typing import Final

_BUSIEST: Final = 0.8
"""With one fewer, none of those left may be busier than this."""
_SOONER: Final = 0.5
"""With one fewer, what waits still has to be done in this share of the time."""
_MARGIN: Final = 0.2
"""Work that exceeds what the present ones can do by less than this share of one replica needs no other."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What is wanted."""

    drain_s: float
    """What waits is to be done within this time."""
    least: int
    most: int


@dataclass(frozen=True, slots=True)
class Load:
    """What is seen of a deployment, over the last seconds."""

    replicas: int
    waiting: float
    """Calls that have come, and that no replica works on."""
    busy: float
    """The share of its time, 0 to 1, that a replica has worked, on average."""
    calls_per_s: float
    """What one replica gets done in a second of work; 0 when nobody knows yet."""


def wanted(rule: Rule, load: Load) -> int:
    """Answer how many replicas there should be.

    Two things take replicas: what comes in now, which keeps so many of them busy, and what waits already, which is to
    be done within ``drain_s``. There are more when that exceeds what there is; one fewer only when those left would
    have time to spare. Between the two nothing changes, so that the number does not go up and down by itself.
    """
    now = load.replicas
    if load.calls_per_s <= 0:  # the first calls are being worked on
        return _within(rule, now + 1 if load.waiting > now else now)
    at_work = now * min(1.0, load.busy)
    backlog = load.waiting / (load.calls_per_s * rule.drain_s)
    if at_work + backlog > now + _MARGIN:
        return _within(rule, math.ceil(at_work + backlog - _MARGIN))
    if at_work / _BUSIEST + backlog / _SOONER <= now - 1:
        return _within(rule, now - 1)
    return _within(rule, now)


def _within(rule: Rule, replicas: int) -> int:
    return max(rule.least, min(rule.most, replicas))


class Pulse:
    """How busy a replica was, and how much it got done, over the last seconds. Not thread-safe."""

    def __init__(self, *, over_s: float, now: float) -> None:
        """Look back so far; times are monotonic seconds."""
        self._over_s = over_s
        self._since = now
        self._worked: deque[tuple[float, float, int]] = deque()
        self._began: float | None = None
        self._calls_per_s = 0.0

    def begins(self, now: float) -> None:
        """Note that work begins."""
        self._began = now

    def ends(self, calls: int, now: float) -> None:
        """Note that it ends, and how many calls it was for."""
        if self._began is not None:
            self._worked.append((self._began, now, calls))
            self._began = None

    def busy(self, now: float) -> float:
        """Answer the share of the time in which it has worked."""
        start = max(self._since, now - self._over_s)
        self._forget(start)
        worked = sum(end - max(began, start) for began, end, _ in self._worked)
        if self._began is not None:
            worked += now - max(self._began, start)
        return min(1.0, worked / (now - start)) if now > start else 0.0

    def calls_per_s(self, now: float) -> float:
        """Answer what it gets done in a second of work: lately, else when it last worked; 0 before it ever did."""
        self._forget(now - self._over_s)
        if worked := sum(end - began for began, end, _ in self._worked):
            self._calls_per_s = sum(calls for _, _, calls in self._worked) / worked
        return self._calls_per_s

    def _forget(self, before: float) -> None:
        while self._worked and self._worked[0][1] < before:
            self._worked.popleft()
