"""Stage costs for `make bench`: each part measured in a process of its own, alone, and on all cores at once."""

import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from statistics import fmean
from typing import Final

from benchmarks.programs import BenchmarkError
from benchmarks.rig import Rig, notes
from benchmarks.throughput.summary import Costs, Stages
from benchmarks.throughput.variants import VELOX, Design
from velox.consumer.topology import core_count

_STAGES: Final = ("-m", "benchmarks.throughput.stages")
_LIMIT_S: Final = 180.0
_RECORDS: Final = 500
_OF_THE_MODEL: Final = {"decode", "resize", "predict"}


def measure_stages(
    at: Rig, sources: Mapping[str, str], others: Sequence[Design]
) -> tuple[dict[str, dict[str, Stages]], dict[str, str]]:
    """Measure on each kind of images what Velox's stages cost; for the other designs only what the model does.

    Args:
        at: where the topics of the sources are.
        sources: of the images, by kind; the other designs are measured on the first kind alone.
        others: besides Velox as it comes.

    Returns:
        Costs by kind and design's name; and for designs that cannot run here, why not.

    Raises:
        BenchmarkError: Velox as it comes cannot run.
    """
    stages: dict[str, dict[str, Stages]] = {}
    refused: dict[str, str] = {}
    for kind, source in sources.items():
        notes.print(f"Timing the stages on {kind}")
        path = ["path", "--count", str(_RECORDS)]
        (around,) = _costs(at, path, f"stages-{kind}", {"KAFKA_TOPIC": kind}, copies=1)
        stages[kind] = {VELOX.name: _stages(at, VELOX, kind, source, around)}
    first, source = next(iter(sources.items()))
    for design in others:
        notes.print(f"Timing the stages of {design.name}")
        around = {
            stage: cost for stage, cost in stages[first][VELOX.name]["alone"].items() if stage not in _OF_THE_MODEL
        }
        try:
            stages[first][design.name] = _stages(at, design, first, source, around)
        except BenchmarkError as error:
            refused[design.name] = str(error).splitlines()[-1]
            notes.print(f"{design.name}: {refused[design.name]}", style="yellow", markup=False)
    return stages, refused


def _stages(at: Rig, design: Design, kind: str, source: str, around: Costs) -> Stages:
    name = f"stages-{kind}-{design.name.replace(' ', '-')}"
    command = ["model", "--source", source]
    (alone,) = _costs(at, command, name, design.settings, copies=1)
    several = _costs(at, command, name, design.settings, copies=core_count())
    at_once = {stage: fmean(costs[stage] for costs in several) for stage in alone}
    return {"alone": {**around, **alone}, "at_once": {**around, **at_once}}


def _costs(
    at: Rig, command: Sequence[str], name: str, settings: Mapping[str, str], *, copies: int
) -> list[dict[str, float]]:
    """Run `benchmarks.throughput.stages` in so many processes at the same time, and answer what each has measured."""
    results = [at.folder / f"{name}-{copy}.json" for copy in range(copies)]
    with ExitStack() as running:
        programs = [
            running.enter_context(at.start([*_STAGES, *command, "--result", str(result)], "stages", name, settings))
            for result in results
        ]
        for program in programs:
            program.finish(_LIMIT_S)
    return [json.loads(result.read_text()) for result in results]
