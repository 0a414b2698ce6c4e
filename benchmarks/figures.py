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


def pairwise_ratios(numerators: Sequence[float], denominators: Sequence[float]) -> list[float]:
    """Divide what was measured side by side, pair by pair: a neighbour's load then weighs on both."""
    return [over / under for over, under in zip(numerators, denominators, strict=True)]


def agreement(one: Mapping[object, str], other: Mapping[object, str]) -> float:
    """Say for which share of the records that both predicted the labels are the same; 0 when there are none."""
    both = one.keys() & other.keys()
    return sum(one[key] == other[key] for key in both) / len(both) if both else 0.0
