"""Open-loop load: when each record is due whatever the system does, and how long after that it was stored. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Final

import numpy as np
from numpy.typing import NDArray

Times = NDArray[np.float64]
"""Seconds on one clock, one for each record in order of their numbers; NaN = never."""

QUANTILES: Final[Mapping[str, int]] = {"50": 2, "95": 20, "99": 100, "99.9": 1000}
"""Percentiles as they are written, and of how many samples one lies beyond."""
LATE_S: Final = 0.005
"""A record sent later than this after it was due was sent late."""
_LATE_SHARE: Final = 0.01
"""More late ones than this, and what was measured is the generator."""


def due_times(rate: float, *, lasts_s: float, seed: int, is_steady: bool = False) -> Times:
    """Plan when records are due, in seconds from the start; the same plan for the same arguments.

    Args:
        rate: records a second, on average.
        lasts_s: how long; at least one record is due.
        seed: of the gaps.
        is_steady: with equal gaps; otherwise as from many sources that know nothing of each other (a Poisson process:
            exponential gaps), in which records come in bunches.
    """
    count = max(1, round(rate * lasts_s))
    if is_steady:
        return np.arange(count) / rate
    return np.cumsum(np.random.default_rng(seed).exponential(1 / rate, count))


@dataclass(frozen=True, slots=True)
class Run:
    """What became of the records of one run.

    A latency counts from when its record was due, not from when it was sent: a generator that is held up by the system
    it measures would otherwise leave out just the records that had to wait (coordinated omission).
    """

    due: Times
    sent: Times
    stored: Times
    warm_up_s: float = 0.0
    """Records due within this time of the first one count for nothing."""

    @property
    def latencies_s(self) -> Times:
        """Seconds from due to stored; infinite for what was never stored."""
        counts = self.due >= self.due[0] + self.warm_up_s
        waited: Times = (self.stored - self.due)[counts]
        waited[np.isnan(waited)] = np.inf
        return waited

    @property
    def late_share(self) -> float:
        """Share of the records that were sent late, or never."""
        return float(np.mean(~(self.sent - self.due <= LATE_S)))


def problems(runs: Sequence[Run]) -> list[str]:
    """Say why the latencies of runs that count as one are not valid; nothing when they are."""
    found = []
    late_share = fmean(run.late_share for run in runs)
    if late_share > _LATE_SHARE:
        found.append(f"{100 * late_share:.1f} % sent more than {1000 * LATE_S:g} ms after they were due")
    if missing := sum(int(np.isnan(run.stored).sum()) for run in runs):
        found.append(f"{missing} of {sum(len(run.stored) for run in runs)} records not stored")
    return found


def percentiles(latencies_s: Times) -> Mapping[str, float | None]:
    """Answer percentiles in milliseconds, exact: each is one of the samples, never better than the rank asks for.

    None where there are too few samples for one of them to lie beyond.
    """
    return {
        name: 1000 * float(np.percentile(latencies_s, float(name), method="higher"))
        if len(latencies_s) >= enough
        else None
        for name, enough in QUANTILES.items()
    }
