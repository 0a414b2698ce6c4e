"""What the path around the model costs, with a model that costs nothing: ``python -m benchmarks.fetcher --help``."""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil
from rich.table import Table

from benchmarks import report
from benchmarks.figures import Spread, pairwise_ratios
from benchmarks.preload import fill
from benchmarks.programs import BenchmarkError, Program
from benchmarks.rig import TOPIC, Rig, console, notes, rig, watch
from tests.servers.process import ServerError

_LIMIT_S = 600.0
_PARTITIONS = 6
_SETTINGS = {
    "MODEL": "velox.models.numbered:NumberedModel",
    "DEVICE": "cpu",
    "INFERENCE_PROCESSES": "1",
    "TARGET_LABELS": "*",
    "CONFIDENCE_THRESHOLD": "0",
}
"""One inference process: the fetcher is the bound then, whatever the number of cores. Every record is a detection."""


@dataclass(frozen=True, slots=True)
class Run:
    """One consumer over all records, from the first stored document to the last."""

    per_s: float
    start_s: float
    """From the start of the process to the first stored document."""
    python_us: float
    """CPU microseconds a record, all Python threads of the main process."""
    kafka_us: float
    """The same of librdkafka's threads."""
    inference_us: float
    switches: float
    """Context switches a record, of all threads of the main process."""
    rss_mib: float
    """Of the main process, at the end."""


_FIGURES: dict[str, Callable[[Run], float]] = {
    "records/s": lambda run: run.per_s,
    "s to the first stored": lambda run: run.start_s,
    "CPU µs/record, Python threads": lambda run: run.python_us,
    "CPU µs/record, librdkafka": lambda run: run.kafka_us,
    "CPU µs/record, inference process": lambda run: run.inference_us,
    "context switches/record": lambda run: run.switches,
    "MiB at the end": lambda run: run.rss_mib,
}


@dataclass(frozen=True, slots=True)
class _Used:
    python_s: float
    kafka_s: float
    inference_s: float
    switches: int

    @classmethod
    def by(cls, program: Program) -> "_Used":
        processes = program.processes()
        main = next(process for role, process in processes.items() if role.startswith("main"))
        kafka_s = python_s = 0.0
        switches = 0
        for thread in main.threads():
            task = Path(f"/proc/{main.pid}/task/{thread.id}")
            try:
                name, status = (task / "comm").read_text(), (task / "status").read_text()
            except OSError:  # it has just ended
                continue
            switches += sum(int(line.split()[1]) for line in status.splitlines() if "ctxt_switches" in line)
            used = thread.user_time + thread.system_time
            if name.startswith("rdk:"):
                kafka_s += used
            else:
                python_s += used
        times = [process.cpu_times() for role, process in processes.items() if not role.startswith("main")]
        return cls(python_s, kafka_s, sum(t.user + t.system for t in times), switches)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print the table, write the figures."""
    args = _parser().parse_args(argv)
    where = report.circumstances()
    checkouts = {"this": report.REPOSITORY} | ({"beside": args.beside.resolve()} if args.beside else {})
    settings = dict(pair.split("=", 1) for pair in args.set)
    runs: dict[str, list[Run]] = {name: [] for name in checkouts}
    try:
        with rig(_SETTINGS | settings) as at:
            notes.print(f"Producing {args.count} records")
            fill(at.kafka, TOPIC, partitions=_PARTITIONS, count=args.count)
            for number in range(args.rounds):
                for name, checkout in checkouts.items():
                    runs[name].append(_measure(at, checkout, f"{name}-{number}", args.count))
                    notes.print(f"round {number + 1} {name}: {runs[name][-1].per_s:.0f}/s")
    except (BenchmarkError, ServerError, psutil.Error) as error:
        notes.print(f"benchmark: {error}", style="red", markup=False)
        return 2
    console.print(f"\n{where.text()}", highlight=False)
    console.print(_table(runs))
    figures = {"count": args.count, "settings": _SETTINGS | settings}
    path = report.save("fetcher", where, figures | {name: [asdict(run) for run in of] for name, of in runs.items()})
    console.print(f"Figures in {path.relative_to(report.REPOSITORY)}", highlight=False)
    return 0


def _measure(at: Rig, checkout: Path, name: str, count: int) -> Run:
    began = time.monotonic()
    with at.start([str(checkout / "consumer.py")], "velox", name, {"PYTHONPATH": str(checkout)}) as program:
        first: tuple[float, int, _Used] | None = None
        found = 0
        for found in watch(at.documents(name), count, program, title=name, limit_s=_LIMIT_S):
            if found and first is None:
                first = (time.monotonic(), found, _Used.by(program))
        ended, used = time.monotonic(), _Used.by(program)
        rss_mib = next(mib for role, mib in program.rss_mib().items() if role.startswith("main"))
        program.stop()
    at.client.drop_database(name)
    if first is None or found == first[1]:
        raise BenchmarkError(f"{name}: all documents came at once; measure more with --count")
    at_first, before, used_before = first
    records = found - before
    return Run(
        per_s=records / (ended - at_first),
        start_s=at_first - began,
        python_us=1e6 * (used.python_s - used_before.python_s) / records,
        kafka_us=1e6 * (used.kafka_s - used_before.kafka_s) / records,
        inference_us=1e6 * (used.inference_s - used_before.inference_s) / records,
        switches=(used.switches - used_before.switches) / records,
        rss_mib=rss_mib,
    )


def _table(runs: dict[str, list[Run]]) -> Table:
    beside = runs.get("beside")
    table = Table("min / median / max", "this", title="The path around the model")
    if beside:
        table.add_column("beside")
        table.add_column("this / beside, pair by pair")
    for title, figure in _FIGURES.items():
        ours = [figure(run) for run in runs["this"]]
        cells = [Spread.of(ours).text(2)]
        if beside:
            theirs = [figure(run) for run in beside]
            # Threads that did next to nothing have used no clock tick: nothing to compare.
            ratios = Spread.of(pairwise_ratios(ours, theirs)).text(2) if all(theirs) else "–"
            cells += [Spread.of(theirs).text(2), ratios]
        table.add_row(title, *cells)
    return table


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.fetcher",
        description="Measures what a record costs outside the model: real Kafka, a MongoDB-protocol server, every "
        "record a document and a file, small records, and the model of `velox verify`, which costs next to nothing.",
    )
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="runs (default: 3)")
    parser.add_argument("--count", type=int, default=20_000, metavar="N", help="records of a run (default: 20000)")
    parser.add_argument(
        "--beside", type=Path, metavar="FOLDER", help="another checkout of Velox: measured in turn with this one"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of the consumer; may be repeated"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
