"""Everything in turn on the same records: the naive design, Velox, its variants."""

import argparse
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from statistics import fmean
from typing import Any, Final

from benchmarks import photos
from benchmarks.programs import BenchmarkError
from benchmarks.report import REPOSITORY, Circumstances
from benchmarks.rig import Rig, add_model_arguments, notes, provide_model, rig
from benchmarks.throughput.plan import Job, Scene, jobs
from benchmarks.throughput.runs import Outcome, problems, run
from benchmarks.throughput.stage_costs import measure_stages
from benchmarks.throughput.summary import SceneFigures, Stages, summarise
from benchmarks.throughput.variants import NAIVE, VELOX, Design
from velox.consumer.topology import core_count
from velox.kafka.dead_letters import dead_letter_topic
from velox.kafka.embedded import EmbeddedBroker
from velox.settings import Settings
from velox.sources import open_source
from velox.tools.up.environment import MAX_LAG_BYTES

SETTINGS: Final = {"DEVICE": "cpu", "TARGET_LABELS": "*", "CONFIDENCE_THRESHOLD": "0"}
"""All designs get these: every record is a detection, so each costs a document and a file."""
PATIENT: Final = {"OMP_WAIT_POLICY": "PASSIVE"}
_PHOTOS: Final = 48
_BUSY: Final = 0.5
"""Load a core from which on the neighbours decide the ratio."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Let the user choose the model and the baseline's manners."""
    add_model_arguments(parser)
    parser.add_argument(
        "--patient-naive",
        action="store_true",
        help="let the naive design's threads sleep while they wait (OMP_WAIT_POLICY=PASSIVE): a kinder baseline for "
        "a machine with neighbours, where threads that spin bring it down to a fraction",
    )


def warn_if_busy(where: Circumstances) -> None:
    """Say it when the figures will be about the neighbours, too."""
    if where.load > _BUSY * where.cores:
        notes.print(
            f"This machine is busy (load {where.load:.1f}): the naive design's spinning threads suffer most, so ratios "
            "come out too high and shares of the roofline too low; see --patient-naive",
            style="yellow",
        )


def measure(
    args: argparse.Namespace, scenes: Sequence[Scene], others: Sequence[Design]
) -> tuple[dict[str, Any], list[str]]:
    """Run all there is to run; answer the figures, and what makes them worthless.

    Raises:
        BenchmarkError: the naive design, or Velox as it comes, could not be measured.
    """
    began = time.monotonic()
    for_naive = PATIENT if args.patient_naive else {}
    with rig(SETTINGS) as at:
        model = provide_model(at, args.model)
        sources = _produce(at, scenes)
        sizes = {kind: _mean_bytes(source) for kind, source in sources.items()}
        stages, refused = measure_stages(at, sources, others)
        outcomes = list(_run_all(at, jobs(scenes, [d for d in others if d.name not in refused]), for_naive, refused))
    figures = {
        "model": model,
        "minutes": (time.monotonic() - began) / 60,
        "patient_naive": args.patient_naive,
        "refused": refused,
        "stages": {kind: stages[kind][VELOX.name] for kind in sources},
        "scenes": [_summarise(scene, outcomes, stages[scene.images], sizes[scene.images]) for scene in scenes],
    }
    return figures, problems(outcomes)


def _produce(at: Rig, scenes: Sequence[Scene]) -> dict[str, str]:
    """Fill a topic of Kafka with each kind of images; answer their sources by the topics' names."""
    sources: dict[str, str] = {}
    for scene in scenes:
        if scene.images not in sources:
            is_drawn = scene.images == "shapes"
            sources[scene.images] = "shapes" if is_drawn else photos.write(at.folder / "photos", count=_PHOTOS)
            notes.print(f"Producing {scene.count} {scene.images}")
            settings = {"KAFKA_TOPIC": scene.images, "SOURCE_LOOP": "true"}
            at.produce(scene.count, source=sources[scene.images], settings=settings)
    return sources


def _run_all(
    at: Rig, planned: Sequence[Job], for_naive: Mapping[str, str], refused: dict[str, str]
) -> Iterator[Outcome]:
    """Run one job after the other; a variant that fails is noted in ``refused`` and left out from then on."""
    for number, job in enumerate(planned, 1):
        if job.design.name in refused:
            continue
        settings = {"KAFKA_TOPIC": job.scene.images, **(for_naive if job.design == NAIVE else {})}
        try:
            with _records_for(at, job) as more:
                outcome = run(at, job, {**settings, **more})
        except BenchmarkError as error:
            if job.design in (NAIVE, VELOX):
                raise
            refused[job.design.name] = str(error).splitlines()[-1]
            notes.print(f"{job.name}: {error}", style="yellow", markup=False)
            continue
        rate = f"{outcome.per_s:.1f}/s, the first after {outcome.start_s:.1f} s"
        notes.print(f"{number} of {len(planned)}: {job.scene.name}, {job.design.name}: {rate}", highlight=False)
        yield outcome


@contextmanager
def _records_for(at: Rig, job: Job) -> Iterator[dict[str, str]]:
    """Answer the settings that lead to the records; an embedded broker is filled meanwhile, as it keeps only few."""
    if job.scene.broker == "Kafka":
        yield {}
        return
    letters = dead_letter_topic(Settings.model_construct(kafka_topic=job.scene.images))
    with EmbeddedBroker([job.scene.images, letters]) as broker:
        settings = {
            "KAFKA_BOOTSTRAP_SERVER": broker.start(),
            "KAFKA_TOPIC": job.scene.images,
            "PRODUCER_MAX_LAG_BYTES": str(MAX_LAG_BYTES),
            "COMMIT_INTERVAL_S": "0.25",
            "FETCH_WAIT_MS": "10",
        }
        command = [str(REPOSITORY / "producer.py"), "--count", str(job.count), "--rate", "0", "--source", "shapes"]
        with at.start(command, "producer", job.name, settings):
            yield settings


def _summarise(
    scene: Scene, outcomes: Sequence[Outcome], stages: Mapping[str, Stages], image_bytes: int
) -> SceneFigures:
    own = [outcome for outcome in outcomes if outcome.job.scene == scene]
    return summarise(scene, own, stages, cores=core_count(), image_bytes=image_bytes)


def _mean_bytes(source: str) -> int:
    items = islice(open_source(Settings.model_construct(), source), _PHOTOS)
    return round(fmean(len(item.payload) for item in items))
