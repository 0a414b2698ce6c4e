"""Velox beside the naive design on the same records, in turn: ``python -m benchmarks.throughput --help``."""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial

from rich.table import Table

from benchmarks import report
from benchmarks.figures import Spread, agreement, pairwise_ratios
from benchmarks.programs import BenchmarkError, Program
from benchmarks.rig import Rig, add_model_arguments, console, notes, provide_model, rig, watch
from tests.servers.process import ServerError

_LIMIT_S = 1200.0
_SETTINGS = {"DEVICE": "cpu", "TARGET_LABELS": "*", "CONFIDENCE_THRESHOLD": "0"}
"""Both designs get these. Every record is a detection then: the random weights of a bench model mean nothing."""
_PATIENT = {"OMP_WAIT_POLICY": "PASSIVE"}
_BUSY = 0.5
"""Load a core from which on the neighbours decide the ratio."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One run of one design over all records."""

    design: str
    documents: int
    files: int
    first_s: float
    """From the start of the process to the first stored document."""
    total_s: float
    """From the start of the process to the last stored document."""
    steady_per_s: float
    """Documents a second from the first to the last stored one."""
    cpu_s: Mapping[str, float]
    """CPU used in that time by the main process and by its inference processes together."""
    labels: Mapping[object, str]
    """Top-1 label by partition and offset."""

    @property
    def end_to_end_per_s(self) -> float:
        """Documents a second from the start of the process on."""
        return self.documents / self.total_s

    @property
    def cpu_ms_each(self) -> dict[str, float]:
        """CPU milliseconds a document, by role."""
        steady = self.steady_per_s * (self.total_s - self.first_s)
        return {role: 1000 * used / steady for role, used in self.cpu_s.items()}


_FIGURES: dict[str, Callable[[Outcome], float]] = {
    "images/s, first to last stored": lambda run: run.steady_per_s,
    "images/s, from process start": lambda run: run.end_to_end_per_s,
    "s to the first stored": lambda run: run.first_s,
    "CPU ms/image, main process": lambda run: run.cpu_ms_each["main"],
    "CPU ms/image, inference": lambda run: run.cpu_ms_each["inference"],
    "CPU ms/image, all": lambda run: sum(run.cpu_ms_each.values()),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print the tables, write the figures; 1 when the two designs did not store the same."""
    args = _parser().parse_args(argv)
    where = report.circumstances()
    try:
        with rig(_SETTINGS) as at:
            model = provide_model(at, args.model, args.arch)
            notes.print(f"Producing {args.count} records from {args.source}")
            at.produce(args.count, source=args.source)
            naive, velox = _rounds(at, args.rounds, args.count, _PATIENT if args.patient_naive else {})
    except (BenchmarkError, ServerError) as error:
        notes.print(f"benchmark: {error}", style="red", markup=False)
        return 2
    _introduce(args, where, model)
    console.print(_table(naive, velox))
    agreed, same = _check(naive, velox, is_trained=args.model.exists())
    figures = {
        "count": args.count,
        "source": args.source,
        "model": model,
        "settings": _SETTINGS,
        "patient_naive": args.patient_naive,
        "agreement": agreed,
        "ratios": pairwise_ratios([run.steady_per_s for run in velox], [run.steady_per_s for run in naive]),
        "runs": [asdict(run) | {"labels": len(run.labels)} for pair in zip(naive, velox, strict=True) for run in pair],
    }
    path = report.save("throughput", where, figures)
    console.print(f"Figures in {path.relative_to(report.REPOSITORY)}", highlight=False)
    return 0 if same else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.throughput",
        description="Measures Velox beside the naive design: real Kafka, a MongoDB-protocol server, the same records "
        "for both, in turn. Velox runs with its default settings, on the CPU.",
    )
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="runs of each design (default: 3)")
    parser.add_argument("--count", type=int, default=2000, metavar="N", help="records of a run (default: 2000)")
    add_model_arguments(parser)
    parser.add_argument(
        "--patient-naive",
        action="store_true",
        help="let the naive design's threads sleep while they wait (OMP_WAIT_POLICY=PASSIVE): a kinder baseline for "
        "a machine with neighbours, where threads that spin bring it down to a fraction",
    )
    parser.add_argument("--source", default="shapes", help="of the images: shapes or folder:PATH (default: shapes)")
    return parser


def _introduce(args: argparse.Namespace, where: report.Circumstances, model: str) -> None:
    """Say what the figures below hold for."""
    console.print(f"\n{where.text()}", highlight=False)
    console.print(
        f"{args.rounds} rounds over {args.count} records of {args.source} with {model}; every record is a detection "
        "(TARGET_LABELS=*, CONFIDENCE_THRESHOLD=0), so each costs a document and a file",
        highlight=False,
    )
    if args.patient_naive:
        console.print("The naive design's threads sleep while they wait (--patient-naive)")
    elif where.load > _BUSY * where.cores:
        console.print("The machine was busy: the naive design's spinning threads suffer most; see --patient-naive")


def _rounds(at: Rig, rounds: int, count: int, for_naive: Mapping[str, str]) -> tuple[list[Outcome], list[Outcome]]:
    naive: list[Outcome] = []
    velox: list[Outcome] = []
    for number in range(1, rounds + 1):
        for design, start, outcomes in (
            ("naive", partial(at.naive, settings=for_naive), naive),
            ("velox", at.consumer, velox),
        ):
            name = f"{design}-{number}"
            with start(name) as program:
                outcomes.append(_measure(at, program, name, count))
            outcome = outcomes[-1]
            notes.print(f"round {number} {design}: {outcome.steady_per_s:.1f}/s, first after {outcome.first_s:.1f} s")
            at.client.drop_database(name)
    return naive, velox


def _measure(at: Rig, program: Program, name: str, count: int) -> Outcome:
    documents = at.documents(name)
    started = time.monotonic()
    first: tuple[float, int, dict[str, float]] | None = None
    found = 0
    for found in watch(documents, count, program, title=name, limit_s=_LIMIT_S):
        if found and first is None:
            first = (time.monotonic() - started, found, program.cpu_s())
    total_s = time.monotonic() - started
    used = program.cpu_s()
    if first is None:
        raise BenchmarkError(f"{name}: nothing was stored")
    first_s, before, used_before = first
    if found == before:
        raise BenchmarkError(f"{name}: all {found} documents came at once; measure more with --count")
    program.stop()
    return Outcome(
        design=name.partition("-")[0],
        documents=documents.count_documents({}),
        files=at.files(name),
        first_s=first_s,
        total_s=total_s,
        steady_per_s=(found - before) / (total_s - first_s),
        cpu_s=_by_role(used, used_before),
        labels={(found["partition"], found["offset"]): found["predicted_label"] for found in documents.find()},
    )


def _by_role(used: Mapping[str, float], before: Mapping[str, float]) -> dict[str, float]:
    roles = {"main": 0.0, "inference": 0.0}
    for name, cpu_s in used.items():
        roles[name.split()[0]] += cpu_s - before.get(name, 0.0)
    return roles


def _table(naive: Sequence[Outcome], velox: Sequence[Outcome]) -> Table:
    table = Table("min / median / max", "naive", "Velox", "Velox / naive, pair by pair", title="Throughput")
    for title, figure in _FIGURES.items():
        ours, theirs = [figure(run) for run in velox], [figure(run) for run in naive]
        ratios = pairwise_ratios(ours, theirs)
        table.add_row(title, Spread.of(theirs).text(), Spread.of(ours).text(), Spread.of(ratios).text(2))
    return table


def _check(naive: Sequence[Outcome], velox: Sequence[Outcome], *, is_trained: bool) -> tuple[float, bool]:
    """Compare what both stored; say how often they agree and whether they stored the same number of everything."""
    agreed = statistics.fmean(agreement(ours.labels, theirs.labels) for ours, theirs in zip(velox, naive, strict=True))
    stored = {(run.documents, run.files, len(run.labels)) for run in (*naive, *velox)}
    given = len(set(velox[0].labels.values()))
    console.print(
        f"Top-1 agreement over {len(velox[0].labels)} records, {given} different labels given: {100 * agreed:.2f} %"
        + (
            ""
            if is_trained
            else " (random weights hang on the last bit of each pixel: train one, or name it with --model)"
        ),
        highlight=False,
    )
    if len(stored) == 1:
        documents, files, _ = stored.pop()
        console.print(f"Each run of both stored {documents} documents and {files} files", highlight=False)
        return agreed, True
    for run in (*naive, *velox):
        notes.print(f"{run.design}: {run.documents} documents, {run.files} files, {len(run.labels)} positions")
    notes.print("The runs did not store the same: the comparison is worth nothing", style="red")
    return agreed, False


if __name__ == "__main__":
    sys.exit(main())
