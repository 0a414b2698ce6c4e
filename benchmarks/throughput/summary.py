"""The figures of `make bench`, as they are recorded: from outcomes and stage costs to a few numbers each. Pure."""

from collections.abc import Mapping, Sequence
from statistics import fmean, median
from typing import TypedDict

from benchmarks.figures import Roofline, agreement
from benchmarks.throughput.plan import Scene
from benchmarks.throughput.runs import Outcome
from benchmarks.throughput.variants import NAIVE, VELOX

Costs = Mapping[str, float]
"""CPU milliseconds an image, by stage."""


class DesignFigures(TypedDict):
    """One design in one scene; lists have an entry for each of its rounds."""

    images_per_s: list[float]
    ratios: list[float]
    """To the naive design in the same round; empty where that does not run."""
    start_s: list[float]
    cpu_ms: dict[str, float]
    """CPU milliseconds an image by role, the median of the rounds."""
    says: str
    """Its log's words for the backend it chose."""
    rooflines: dict[str, float]
    """Images a second at most: ``alone`` by stages timed by themselves, ``at once`` by stages timed on all cores at the
    same time, ``with servers`` with what broker and database took of the same cores; empty for the naive design."""


class SceneFigures(TypedDict):
    """All designs on the same images from the same broker."""

    name: str
    broker: str
    image_bytes: int
    count: int
    naive_count: int
    agreement: float | None
    """Share of the records for which Velox and the naive design answer the same label."""
    designs: dict[str, DesignFigures]


class Stages(TypedDict):
    """What the stages cost on one kind of images."""

    alone: Costs
    at_once: Costs
    """As ``alone``, but what the model does was timed by as many processes at the same time as there are cores."""


def summarise(
    scene: Scene, outcomes: Sequence[Outcome], stages: Mapping[str, Stages], *, cores: int, image_bytes: int
) -> SceneFigures:
    """Sum up a scene.

    Args:
        scene: which.
        outcomes: of all its jobs.
        stages: by design's name, on the scene's images.
        cores: of the machine.
        image_bytes: of an image, on average.
    """
    by_name: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        by_name.setdefault(outcome.job.design.name, []).append(outcome)
    naive = {outcome.job.round: outcome for outcome in by_name.get(NAIVE.name, [])}
    pairs = [(outcome, naive[outcome.job.round]) for outcome in by_name.get(VELOX.name, []) if naive]
    return {
        "name": scene.name,
        "broker": scene.broker,
        "image_bytes": image_bytes,
        "count": scene.count,
        "naive_count": scene.naive_count,
        "agreement": fmean(agreement(ours.labels, theirs.labels) for ours, theirs in pairs) if pairs else None,
        "designs": {name: _design(of, naive, stages.get(name), cores) for name, of in by_name.items()},
    }


def _design(
    outcomes: Sequence[Outcome], naive: Mapping[int, Outcome], stages: Stages | None, cores: int
) -> DesignFigures:
    cpu_ms = {role: median(outcome.cpu_ms[role] for outcome in outcomes) for role in outcomes[0].cpu_ms}
    return {
        "images_per_s": [outcome.per_s for outcome in outcomes],
        "ratios": [outcome.per_s / naive[outcome.job.round].per_s for outcome in outcomes if naive],
        "start_s": [outcome.start_s for outcome in outcomes],
        "cpu_ms": cpu_ms,
        "says": outcomes[0].says,
        "rooflines": rooflines(stages, cpu_ms, cores) if stages else {},
    }


def rooflines(stages: Stages, cpu_ms: Mapping[str, float], cores: int) -> dict[str, float]:
    """Answer images a second at most, in three ways, each with one thing more that the cores really did."""
    servers = {role: cpu_ms[role] for role in ("broker", "database")}
    return {
        "alone": Roofline(cores, stages["alone"]).per_s,
        "at once": Roofline(cores, stages["at_once"]).per_s,
        "with servers": Roofline(cores, {**stages["at_once"], **servers}).per_s,
    }
