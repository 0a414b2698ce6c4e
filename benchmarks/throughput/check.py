"""Whether Velox is still as fast as it was recorded to be: ``python -m benchmarks.throughput.check --help``."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

from benchmarks import report
from benchmarks.figures import Spread
from benchmarks.programs import BenchmarkError
from benchmarks.report import Circumstances
from benchmarks.rig import console, notes
from benchmarks.throughput.measuring import add_arguments, measure, warn_if_busy
from benchmarks.throughput.plan import QUICK
from benchmarks.throughput.variants import VELOX
from tests.servers.process import ServerError

_TOLERATED: Final = 0.10


@dataclass(frozen=True, slots=True)
class Comparison:
    """How many times as fast as the naive design Velox was when that was recorded, and is now."""

    scene: str
    before: Sequence[float]
    now: Sequence[float]

    @property
    def change(self) -> float:
        """By which part the median is higher; negative when it is lower."""
        return median(self.now) / median(self.before) - 1

    @property
    def is_regression(self) -> bool:
        """Say whether the median fell by more than a tenth, and all rounds now are below all rounds then."""
        return self.change < -_TOLERATED and max(self.now) < min(self.before)

    def text(self) -> str:
        """Write it in one line."""
        verdict = "SLOWER" if self.is_regression else "within the spread" if self.change < -_TOLERATED else "ok"
        before, now = Spread.of(self.before).text(), Spread.of(self.now).text()
        return f"{self.scene}: × naive {before} recorded, {now} now, {100 * self.change:+.0f} %: {verdict}"


def compare(recorded: Mapping[str, Any], now: Mapping[str, Any]) -> list[Comparison]:
    """Compare the scenes that both have."""
    before = {scene["name"]: _ratios(scene) for scene in recorded["scenes"]}
    return [
        Comparison(scene["name"], before[scene["name"]], _ratios(scene))
        for scene in now["scenes"]
        if before.get(scene["name"]) and _ratios(scene)
    ]


def absolute(recorded: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Set images a second beside each other, in a line a scene: to be read, not judged."""
    before = {scene["name"]: _rates(scene) for scene in recorded["scenes"]}
    return [
        f"{scene['name']}: images/s {Spread.of(before[scene['name']]).text()} recorded, "
        f"{Spread.of(_rates(scene)).text()} now"
        for scene in now["scenes"]
        if scene["name"] in before
    ]


def unlike(there: Circumstances, here: Circumstances) -> str | None:
    """Say why ratios recorded there say nothing about this machine; None when they do.

    What one design gains over another depends on the cores, and on what they compute with: an int8 without VNNI, or
    no bf16, is another race. Where that is not known, the processor's name has to stand for it.
    """
    recorded, now = (where.capabilities or [where.cpu] for where in (there, here))
    if (there.cores, *recorded) == (here.cores, *now):
        return None
    return (
        f"Recorded on {there.cores} cores with {', '.join(recorded)}; this machine has {here.cores} with "
        f"{', '.join(now)}: ratios differ, nothing to compare with. `make bench` records here"
    )


def machines(there: Circumstances, here: Circumstances) -> tuple[str, bool]:
    """Say on what machine each was measured, and whether images a second can be compared too."""
    if there.machine == here.machine:
        return f"Recorded on a machine like this one, {here.machine}", True
    return f"Recorded on {there.machine}, this is {here.machine}: only ratios are compared", False


def main(argv: Sequence[str] | None = None) -> int:
    """Measure a short version of `make bench`.

    Returns:
        1 when a ratio fell by more than a tenth and beyond the spread, 2 when there is nothing to compare with.
    """
    args = _parser().parse_args(argv)
    recorded = report.recorded("throughput")
    if recorded is None:
        notes.print("benchmark: nothing is recorded to compare with: run `make bench` first", style="red", markup=False)
        return 2
    there, where = Circumstances(**recorded["circumstances"]), report.circumstances()
    if why := unlike(there, where):
        notes.print(f"benchmark: {why}", style="red", markup=False)
        return 2
    warn_if_busy(where)
    try:
        figures, wrong = measure(args, QUICK, [])
    except (BenchmarkError, ServerError) as error:
        notes.print(f"benchmark: {error}", style="red", markup=False)
        return 2
    said, is_same = machines(there, where)
    console.print(f"Recorded at commit {there.commit}, now {where.commit}", highlight=False)
    console.print(said, highlight=False)
    comparisons = compare(recorded, figures)
    for line in [comparison.text() for comparison in comparisons] + (absolute(recorded, figures) if is_same else []):
        console.print(line, highlight=False)
    for problem in wrong:
        notes.print(problem, style="red", markup=False)
    return 1 if wrong or any(comparison.is_regression for comparison in comparisons) else 0


def _ratios(scene: Mapping[str, Any]) -> list[float]:
    ratios: list[float] = scene["designs"][VELOX.name]["ratios"]
    return ratios


def _rates(scene: Mapping[str, Any]) -> list[float]:
    rates: list[float] = scene["designs"][VELOX.name]["images_per_s"]
    return rates


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.throughput.check",
        description="Runs the naive design and Velox in turn, on fewer records than `make bench`, and compares how "
        "many times as fast Velox is with benchmarks/recorded/throughput.json. Ends with 1 when that is less by more "
        "than 10 % and lies outside the recorded spread. Ends with 2, and measures nothing, where the cores are others "
        "than the recorded ones: another number of them, or with other instructions to compute with (AVX-512, VNNI, "
        "bf16, AMX, …). Images a second are shown too where the processor has the same name, and judge nothing.",
    )
    add_arguments(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
