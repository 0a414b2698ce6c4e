"""What benchmarks compute from what they measured. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import Self

QUARTERS = 4


@dataclass(frozen=True, slots=True)
class Spread:
    """How measurements of the same thing lie."""

    least: float
    median: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """Summarise one or more values."""
        return cls(min(values), median(values), max(values))

    def text(self, digits: int = 1) -> str:
        """Write ``least / median / most``."""
        return " / ".join(f"{value:,.{digits}f}" for value in (self.least, self.median, self.most))


@dataclass(frozen=True, slots=True)
class Growth:
    """The mean of the first and of the last quarter of a series."""

    first: float
    last: float

    @classmethod
    def of(cls, series: Sequence[float]) -> Self:
        """Compare the quarters of one or more values in the order they were measured."""
        size = max(1, len(series) // QUARTERS)
        return cls(fmean(series[:size]), fmean(series[-size:]))

    @property
    def share(self) -> float:
        """By what part of the first quarter the last one is larger; negative when it is smaller."""
        return self.last / self.first - 1


@dataclass(frozen=True, slots=True)
class Roofline:
    """What no pipeline of these stages can exceed, however well it is arranged: all cores busy, with nothing else."""

    cores: int
    stages: Mapping[str, float]
    """CPU milliseconds an image, by stage."""

    @property
    def sum_ms(self) -> float:
        """CPU milliseconds an image, all stages together."""
        return sum(self.stages.values())

    @property
    def per_s(self) -> float:
        """Images a second at most."""
        return 1000 * self.cores / self.sum_ms

    @property
    def bound(self) -> str:
        """Name the stage that takes most of the time, and its share."""
        stage = max(self.stages, key=self.stages.__getitem__)
        return f"{stage}, {100 * self.stages[stage] / self.sum_ms:.0f} %"


def pairwise_ratios(numerators: Sequence[float], denominators: Sequence[float]) -> list[float]:
    """Divide what was measured side by side, pair by pair: a neighbour's load then weighs on both."""
    return [over / under for over, under in zip(numerators, denominators, strict=True)]


def agreement(one: Mapping[object, str], other: Mapping[object, str]) -> float:
    """Say for which share of the records that both predicted the labels are the same; 0 when there are none."""
    both = one.keys() & other.keys()
    return sum(one[key] == other[key] for key in both) / len(both) if both else 0.0
