"""Whether memory stays flat: ``python -m benchmarks.memory --help``."""

import argparse
import sys
import threading
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Self

from rich.table import Table

from benchmarks import report
from benchmarks.figures import Growth
from benchmarks.programs import BenchmarkError, Program
from benchmarks.rig import add_model_arguments, console, notes, provide_model, rig, watch
from tests.servers.process import ServerError

_LIMIT_S = 3600.0
_ENOUGH = 8
"""A process seen fewer times than this says nothing about growth."""


class MemorySampler:
    """Notes the memory of a program's processes at a steady interval, while the ``with`` block runs."""

    def __init__(self, program: Program, *, interval_s: float) -> None:
        """Sample ``program`` once every ``interval_s``."""
        self.series: dict[str, list[float]] = defaultdict(list)
        """MiB resident by role and process id, in the order they were measured."""
        self._program = program
        self._interval_s = interval_s
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="memory", daemon=True)

    def __enter__(self) -> Self:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End."""
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(self._interval_s):
            for role, mib in self._program.rss_mib().items():
                self.series[role].append(mib)


def sample(program: Program, stored: Iterable[int], *, interval_s: float) -> dict[str, list[float]]:
    """Sample while documents come, from the first one on: what loading a model takes is not growth.

    Args:
        program: whose memory.
        stored: how many documents there are, again and again; its end is the end of the sampling.
        interval_s: between two samples.
    """
    counts = iter(stored)
    with MemorySampler(program, interval_s=interval_s) as sampler:
        for count in counts:
            if count:
                break
            sampler.series.clear()
        for _ in counts:
            pass
    return dict(sampler.series)


def memory_table(series: Mapping[str, Sequence[float]], *, title: str) -> Table:
    """Show for each process how its memory began, ended and peaked."""
    table = Table("process", "samples", "first quarter, MiB", "last quarter, MiB", "growth", "peak, MiB", title=title)
    for role, values in series.items():
        growth = Growth.of(values)
        share = f"{100 * growth.share:+.1f} %" if len(values) >= _ENOUGH else "too short to say"
        table.add_row(role, str(len(values)), f"{growth.first:.1f}", f"{growth.last:.1f}", share, f"{max(values):.1f}")
    return table


def grown(series: Mapping[str, Sequence[float]], *, limit: float) -> list[str]:
    """Name the processes that grew by more than ``limit`` (a share), of those seen often enough."""
    return [role for role, values in series.items() if len(values) >= _ENOUGH and Growth.of(values).share > limit]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one consumer over all records; 1 when a process grew by more than the limit."""
    args = _parser().parse_args(argv)
    where = report.circumstances()
    try:
        with rig({"DEVICE": "cpu", "STORE": "all"}) as at:
            model = provide_model(at, args.model, args.arch)
            notes.print(f"Producing {args.count} records")
            at.produce(args.count, source="shapes")
            with at.consumer("memory") as program:
                stored = watch(at.documents("memory"), args.count, program, title="velox", limit_s=_LIMIT_S)
                series = sample(program, stored, interval_s=args.interval)
                program.stop()
    except (BenchmarkError, ServerError) as error:
        notes.print(f"benchmark: {error}", style="red", markup=False)
        return 2
    console.print(f"\n{where.text()}", highlight=False)
    console.print(memory_table(series, title=f"Resident memory over {args.count} records, {model}"))
    path = report.save("memory", where, {"count": args.count, "model": model, "rss_mib": series})
    console.print(f"Figures in {path.relative_to(report.REPOSITORY)}", highlight=False)
    too_much = grown(series, limit=args.limit / 100)
    if too_much:
        notes.print(f"Grew by more than {args.limit:g} %: {', '.join(too_much)}", style="red")
    return 1 if too_much else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.memory",
        description="Samples the memory of a consumer's processes while it works off a backlog (STORE=all), from the "
        "first stored document on.",
    )
    parser.add_argument("--count", type=int, default=20_000, metavar="N", help="records (default: 20000)")
    parser.add_argument("--interval", type=float, default=1.0, metavar="S", help="seconds between samples (default: 1)")
    parser.add_argument("--limit", type=float, default=10.0, metavar="PERCENT", help="growth allowed (default: 10)")
    add_model_arguments(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
