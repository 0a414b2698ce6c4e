"""Velox beside the naive design: ``python -m benchmarks.throughput --help``."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict

from benchmarks import report
from benchmarks.document import write_section
from benchmarks.programs import BenchmarkError
from benchmarks.report import REPOSITORY
from benchmarks.rig import console, notes
from benchmarks.throughput.measuring import add_arguments, measure, warn_if_busy
from benchmarks.throughput.page import section, short
from benchmarks.throughput.plan import QUICK, SCENES
from benchmarks.throughput.variants import variants
from tests.servers.process import ServerError


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, write the figures and the documents; 1 when a design did not store what it should have."""
    args = _parser().parse_args(argv)
    where = report.circumstances()
    warn_if_busy(where)
    try:
        figures, wrong = measure(args, QUICK if args.quick else SCENES, [] if args.quick else variants())
    except (BenchmarkError, ServerError) as error:
        notes.print(f"benchmark: {error}", style="red", markup=False)
        return 2
    shown = {"circumstances": asdict(where), **figures}
    console.print(section(shown), markup=False, highlight=False, soft_wrap=True)
    path = report.save("throughput", where, figures)
    console.print(f"Figures in {path.relative_to(REPOSITORY)}", highlight=False)
    for problem in wrong:
        notes.print(problem, style="red", markup=False)
    if wrong or args.quick:
        return 1 if wrong else 0
    report.record("throughput", where, figures)
    write_section("throughput", section(shown))
    write_section("throughput", short(shown), page=REPOSITORY / "README.md")
    console.print("Recorded, and written into docs/performance.md and README.md")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.throughput",
        description="Measures Velox, as it comes and with each backend and precision that can be had here, beside the "
        "naive design (benchmarks/naive.py): the same records, in turn, in rounds; real Kafka and a MongoDB-protocol "
        "server, and an embedded broker; drawn shapes and photo-like images. Also what each stage costs by itself, and "
        "how near to their roofline the pipeline comes. All on the CPU, with default settings. Writes the figures to "
        "benchmarks/recorded/throughput.json, docs/performance.md and README.md.",
    )
    add_arguments(parser)
    parser.add_argument(
        "--quick", action="store_true", help="only Velox as it comes, on fewer records; prints, and writes no document"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
