"""What the scale benchmark measures: which thing grows, to which values, and what a record costs. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Final, Self

from benchmarks.programs import BenchmarkError
from benchmarks.scale_table import Cost

IMAGES: Final = "images"
"""The topic with records for a real model; all others are for the one that answers at once."""
BACKLOG: Final = "backlog"
"""The topic of all whose lag is not what is measured."""
LIVE: Final = "live"
"""The topic whose records come while they are consumed."""
_USED: Final = 0.8
"""Share of the records left that a measurement may use."""
_NUMBERED: Final = {"MODEL": "velox.models.numbered:NumberedModel", "INFERENCE_PROCESSES": "1"}
PROCESSES, CONSUMERS, PARTITIONS, LAG = "inference processes", "consumers", "partitions", "lag, records"
DOCUMENTS, ROWS = "documents (MongoDB's protocol)", "rows (SQLite)"


@dataclass(frozen=True, slots=True)
class Case:
    """One value of one thing that grows."""

    group: str
    value: int
    topic: str = BACKLOG
    consumers: int = 1
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Name it in a log, a group and a database."""
        return f"{self.group.split(',')[0].split(' ')[0]}-{self.value}"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What consumers have done and used up to a moment."""

    at: float
    predicted: float
    cpu_s: Mapping[str, float]
    """By role and process id."""

    def cost_since(self, before: Self) -> Cost:
        """Divide what was used since ``before`` by the records done since then.

        Raises:
            BenchmarkError: there were none.
        """
        records = self.predicted - before.predicted
        if not records:
            raise BenchmarkError("nothing was predicted during a measurement")
        used = {"main": 0.0, "inference": 0.0}
        for role, cpu_s in self.cpu_s.items():
            used[role.split()[0]] += cpu_s - before.cpu_s.get(role, 0.0)
        return Cost(
            records_per_s=records / (self.at - before.at),
            fetcher_ms=1000 * used["main"] / records,
            inference_ms=1000 * used["inference"] / records,
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured: for each thing that grows, the values."""

    values: Mapping[str, Sequence[int]]
    rounds: int
    warm_up_s: float
    lasts_s: float
    backlog: int
    """Records in a topic whose lag is not what is measured: more than a measurement takes."""
    images: int
    """Images in theirs."""

    def filled(self) -> dict[str, tuple[int, int]]:
        """Say which topics have to be filled: their partitions and records."""
        topics = {f"partitions-{value}": (value, self.backlog) for value in self.values[PARTITIONS]}
        topics |= {f"lag-{value}": (6, value) for value in self.values[LAG] if value}
        return topics | {BACKLOG: (6, self.backlog)}

    def records(self, case: Case) -> float:
        """Count the records there are for a case; endless while they still come."""
        return {IMAGES: self.images, LIVE: inf}.get(case.topic) or self.filled()[case.topic][1]

    def window_s(self, before: Snapshot, records: float) -> float:
        """Choose how long to measure from ``before`` on, so that consumers have enough left to do until the end."""
        per_s = before.predicted / self.warm_up_s  # or less: they may have begun before the warm-up
        return min(self.lasts_s, _USED * max(0.0, records - before.predicted) / per_s)


def full_plan(cores: int, rounds: int) -> Plan:
    """Plan for a machine."""
    processes = [count for count in (1, 2, 4, 8, 16, 32, 64) if count < cores]
    values = {
        PROCESSES: [*processes, cores],
        CONSUMERS: [1, 2, 4],
        PARTITIONS: [1, 6, 60, 300],
        LAG: [100_000, 300_000, 1_000_000, 0],
        DOCUMENTS: [0, 10_000, 100_000, 1_000_000],
        ROWS: [0, 10_000, 100_000, 1_000_000],
    }
    return Plan(values, rounds=rounds, warm_up_s=1.0, lasts_s=4.0, backlog=200_000, images=8000 + 4000 * cores)


def quick_plan() -> Plan:
    """Plan for a look whether all of it works."""
    values = {
        PROCESSES: [1],
        CONSUMERS: [1, 2],
        PARTITIONS: [1, 60],
        LAG: [50_000, 0],
        DOCUMENTS: [0, 10_000],
        ROWS: [0, 10_000],
    }
    return Plan(values, rounds=1, warm_up_s=0.5, lasts_s=1.5, backlog=50_000, images=2000)


def cases(plan: Plan) -> Iterator[Case]:
    """Yield all, in an order in which the rate of lag 0 is known when it is its turn."""
    values = plan.values
    for value in values[PROCESSES]:
        yield Case(PROCESSES, value, IMAGES, settings={"INFERENCE_PROCESSES": str(value)})
    for value in values[CONSUMERS]:
        yield Case(CONSUMERS, value, consumers=value, settings=_NUMBERED)
    for value in values[PARTITIONS]:
        yield Case(PARTITIONS, value, f"partitions-{value}", settings=_NUMBERED)
    for value in values[LAG]:
        yield Case(LAG, value, f"lag-{value}" if value else LIVE, settings=_NUMBERED)
    for value in values[DOCUMENTS]:
        yield Case(DOCUMENTS, value, settings={**_NUMBERED, "DB_NAME": f"documents-{value}"})
    for value in values[ROWS]:
        yield Case(ROWS, value, settings={**_NUMBERED, "SINKS": "sqlite", "SQLITE_PATH": f"rows-{value}.db"})
