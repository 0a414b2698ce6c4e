"""What a table of stages shows, computed from what consumers counted."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from velox.core.idleness import Cause
from velox.metrics.consumer import ConsumerMetrics
from velox.tools.top.history import History
from velox.tools.top.topics import Topic, topics


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage, of all consumers together."""

    name: str
    busy: float | None
    """Share of the time of those who do it: inference processes, or writers. None: nobody measures it."""
    mean_s: float | None
    """What one batch takes, or waits."""
    batches_per_s: float


@dataclass(frozen=True, slots=True)
class Figures:
    """The last seconds of all consumers that answer."""

    consumers: int
    inference_processes: int
    seconds: float
    """How long the last seconds are; 0 when only one look has been taken so far."""
    records_per_s: float
    lag_records: int
    drain_s: float | None
    """Until nothing waits in Kafka, at this pace and if nothing new came; None when nothing is done."""
    in_flight_records: int
    in_flight_limit_records: int
    batch_records: float | None
    """Records predicted together, on average."""
    predicting: float
    """Share of the inference processes' time."""
    idle: dict[Cause, float]
    """The other shares."""
    stages: list[Stage]
    topics: list[Topic]
    """Those that are behind first, then the busiest."""
    objects_in_progress: int = 0
    """Payloads that are being read from a bucket."""
    buckets_down: int = 0
    """Consumers that cannot read from theirs."""

    @property
    def is_measured(self) -> bool:
        """Say whether any inference process was ready in that time."""
        return self.predicting + sum(self.idle.values()) > 0


def figures(histories: Sequence[History]) -> Figures:
    """Add up what consumers counted, each in the time since its own first page."""
    known = [history for history in histories if history.is_known]
    seconds = max((history.seconds for history in known), default=0.0)
    took, count = (
        _grown(known, f"{ConsumerMetrics.stage.name}_sum", "stage"),
        _grown(known, f"{ConsumerMetrics.stage.name}_count", "stage"),
    )
    idle = _grown(known, ConsumerMetrics.idle.name, "cause")
    processes_s = took["inference"] + sum(idle.values())
    done_per_s = _per_s(known, ConsumerMetrics.records.name)
    lag = sum(history.now(ConsumerMetrics.lag.name) for history in known)
    batches = sum(_grown(known, f"{ConsumerMetrics.batch_size.name}_count", "").values())
    in_progress = int(sum(history.now(ConsumerMetrics.objects_in_progress.name) for history in known))
    down = sum(0 in history.now_by(ConsumerMetrics.bucket_up.name, "").values() for history in known)
    times = {
        **({"download": None} if in_progress or down or _have_objects(known) else {}),
        "queue": None,
        "decode": processes_s,
        "inference": processes_s,
        "sink": sum(history.seconds for history in known),
    }
    return Figures(
        consumers=len(known),
        inference_processes=int(sum(history.now(ConsumerMetrics.processes.name) for history in known)),
        seconds=seconds,
        records_per_s=done_per_s,
        lag_records=int(lag),
        drain_s=lag / done_per_s if done_per_s else None,
        in_flight_records=int(sum(history.now(ConsumerMetrics.in_flight_records.name) for history in known)),
        in_flight_limit_records=int(
            sum(history.now(ConsumerMetrics.in_flight_limit_records.name) for history in known)
        ),
        batch_records=sum(_grown(known, f"{ConsumerMetrics.batch_size.name}_sum", "").values()) / batches
        if batches
        else None,
        predicting=took["inference"] / processes_s if processes_s else 0.0,
        idle={cause: idle[cause] / processes_s if processes_s else 0.0 for cause in Cause},
        stages=[
            Stage(
                name,
                # A batch counts when it is done, with what it took before the first page too.
                busy=min(1.0, took[name] / time_s) if time_s else None,
                mean_s=took[name] / count[name] if count[name] else None,
                batches_per_s=count[name] / seconds if seconds else 0.0,
            )
            for name, time_s in times.items()
        ],
        topics=topics(known),
        objects_in_progress=in_progress,
        buckets_down=down,
    )


def _have_objects(histories: Sequence[History]) -> bool:
    """Say whether any payload has ever been an object."""
    counts = (history.now_by(f"{ConsumerMetrics.stage.name}_count", "stage") for history in histories)
    return any(count.get("download") for count in counts)


def _grown(histories: Sequence[History], name: str, label: str) -> Mapping[str, float]:
    total: defaultdict[str, float] = defaultdict(float)
    for history in histories:
        for of, growth in history.growth(name, label).items():
            total[of] += growth
    return total


def _per_s(histories: Sequence[History], name: str) -> float:
    return sum(sum(history.growth(name, "").values()) / history.seconds for history in histories if history.seconds)
