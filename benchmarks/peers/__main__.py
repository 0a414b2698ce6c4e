"""Velox beside what one would pick instead, on the same records, in turn: ``python -m benchmarks.peers --help``."""

import argparse
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial

from rich.table import Table

from benchmarks import report
from benchmarks.document import write_section
from benchmarks.figures import agreement
from benchmarks.peers.catalogue import CORES, PEERS, Peer
from benchmarks.peers.installed import versions
from benchmarks.peers.outcomes import FIGURES, Row, Run, section
from benchmarks.programs import BenchmarkError, Program
from benchmarks.rig import Rig, add_model_arguments, console, notes, provide_model, rig, watch
from tests.servers.process import ServerError

_LIMIT_S = 180.0
_SETTINGS = {"DEVICE": "cpu", "TARGET_LABELS": "*", "CONFIDENCE_THRESHOLD": "0"}
"""Velox gets these: every record is a detection, as it is for the peers, which store all they predict."""
_PEERS_PYTHON = report.REPOSITORY / ".venv-peers" / "bin" / "python"
_PATIENT = {"OMP_WAIT_POLICY": "PASSIVE"}
_VELOX = (
    Row(
        name="Velox",
        versions={},
        settings=f"its defaults: `BACKEND=auto`, {CORES} inference processes of 1 thread",
        guarantee="at least once, dead letters, bounded memory; exactly once on request",
    ),
    Row(name="Velox on torch", versions={}, settings="`BACKEND=torch`, else its defaults", guarantee="the same"),
)
_VELOX_SETTINGS: tuple[dict[str, str], ...] = ({}, {"BACKEND": "torch"})

Start = Callable[[str], Program]
Labels = Mapping[object, str]


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print the table, write the figures; 1 when some program did not store the same as Velox."""
    args = _parser().parse_args(argv)
    where = report.circumstances()
    try:
        with rig(_SETTINGS) as at:
            model = provide_model(at, args.model)
            notes.print(f"Producing {args.count} records from {args.source}")
            at.produce(args.count, source=args.source)
            rows = _rounds(at, args)
    except (BenchmarkError, ServerError) as error:
        notes.print(f"benchmark: {error}", style="red", markup=False)
        return 2
    introduction = (
        f"{where.text()}\n\n{args.rounds} rounds of {args.count} records of {args.source} with {model}; batches of "
        f"{args.batch}, {'threads that sleep while they wait' if args.patient else 'threads that wait as by default'}. "
        "Each record costs everybody a document in MongoDB (majority, journalled) and a file. The peers run the same "
        "weights on torch, fp32, `inference_mode`, channels_last, with torchvision's decoder and antialiased resize."
    )
    console.print(f"\n{introduction}", highlight=False)
    console.print(_table(rows))
    figures = {
        "command": "python -m benchmarks.peers " + " ".join(sys.argv[1:] if argv is None else argv),
        "introduction": introduction,
        "rows": [asdict(row) for row in rows],
    }
    path = report.save("peers", where, figures)
    console.print(f"Figures in {path.relative_to(report.REPOSITORY)}", highlight=False)
    if args.record:
        report.record("peers", where, figures)
        write_section("peers", section(introduction, rows))
    same = all(run.documents == run.files == args.count for row in rows for run in row.runs)
    return 0 if same and not any(row.failure for row in rows) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("--rounds", type=int, default=2, metavar="N", help="runs of each program (default: 2)")
    parser.add_argument("--count", type=int, default=1000, metavar="N", help="records of a run (default: 1000)")
    parser.add_argument("--source", default="shapes", help="of the images: shapes or folder:PATH (default: shapes)")
    parser.add_argument("--batch", type=int, default=8, metavar="N", help="records predicted together (default: 8)")
    parser.add_argument("--only", default="", metavar="TEXT", help="peers whose name contains it (default: all)")
    parser.add_argument(
        "--patient", action="store_true", help="OMP_WAIT_POLICY=PASSIVE for peers: kinder on busy machines"
    )
    parser.add_argument(
        "--record", action="store_true", help="keep the figures and write them into docs/performance.md"
    )
    add_model_arguments(parser)
    return parser


def _rounds(at: Rig, args: argparse.Namespace) -> list[Row]:
    """Run everything in turn, as often as asked; what fails once is not tried again."""
    peers = [peer for peer in PEERS if args.only.lower() in peer.name.lower()]
    more = {"BATCH_SIZE": str(args.batch), **(_PATIENT if args.patient else {})}
    starts: list[Start] = [partial(at.consumer, settings=settings) for settings in _VELOX_SETTINGS]
    starts += [_start(at, peer, more) for peer in peers]
    own = versions(sys.executable)
    velox = [
        replace(row, versions={name: own[name] for name in ("torch", "openvino", "onnxruntime") if name in own})
        for row in _VELOX
    ]
    installed = versions(str(_PEERS_PYTHON))
    rows = velox + [_row(peer, own if peer.is_in_project else installed) for peer in peers]
    for number in range(1, args.rounds + 1):
        labels: Labels = {}
        for index, (row, start) in enumerate(zip(rows, starts, strict=True)):
            if row.failure:
                continue
            name = f"{row.name.lower().replace(' ', '-').replace(',', '')}-{number}"
            try:
                with start(name) as program:
                    run, given = _measure(at, program, name, args.count)
            except BenchmarkError as error:
                if index == 0:
                    raise
                notes.print(f"{error}", style="red", markup=False)
                rows[index] = replace(row, runs=(), failure="failed: see the command's output")
                continue
            labels = labels or given
            run = replace(run, agreement=agreement(labels, given))
            rows[index] = replace(row, runs=(*row.runs, run))
            notes.print(f"round {number} {row.name}: {run.per_s:.1f}/s, first after {run.first_s:.1f} s")
            at.client.drop_database(name)
    return rows


def _start(at: Rig, peer: Peer, more: Mapping[str, str]) -> Start:
    command = ["-m", f"benchmarks.peers.{peer.module}", *peer.arguments]
    python = sys.executable if peer.is_in_project else str(_PEERS_PYTHON)
    return lambda name: at.start(command, "peer", name, {**more, **peer.environment}, python=python)


def _row(peer: Peer, installed: Mapping[str, str]) -> Row:
    wanted = (*peer.libraries, "torch")
    versions = {name: installed[name] for name in wanted if name in installed}
    missing = [name for name in wanted if name not in installed]
    failure = f"cannot be had: {', '.join(missing)} is not in .venv-peers" if missing else ""
    return Row(peer.name, versions, peer.settings, peer.guarantee, failure=failure)


def _measure(at: Rig, program: Program, name: str, count: int) -> tuple[Run, Labels]:
    documents = at.documents(name)
    started = time.monotonic()
    first: tuple[float, int, float] | None = None
    found = 0
    for found in watch(documents, count, program, title=name, limit_s=_LIMIT_S):
        if found and first is None:
            first = (time.monotonic() - started, found, program.tree_cpu_s())
    total_s = time.monotonic() - started
    used = program.tree_cpu_s()
    if first is None or first[1] == found:
        raise BenchmarkError(f"{name}: all {found} documents came at once; measure more with --count")
    first_s, before, used_before = first
    labels: Labels = {(kept["partition"], kept["offset"]): kept["predicted_label"] for kept in documents.find()}
    run = Run(
        documents=documents.count_documents({}),
        files=at.files(name),
        before=before,
        first_s=first_s,
        total_s=total_s,
        cpu_s=used - used_before,
        agreement=1.0,
    )
    return run, labels


def _table(rows: Sequence[Row]) -> Table:
    table = Table(*FIGURES, title="Beside what one would pick instead")
    for row in rows:
        table.add_row(*row.figures(rows[0]))
    return table


if __name__ == "__main__":
    sys.exit(main())
