"""Measures, and reports what bounds."""

import json
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import mean

from rich import box
from rich.console import Console
from rich.table import Table

from velox import __version__
from velox.consumer.topology import core_count, decode_threads, placements
from velox.settings import InferenceSettings, Settings
from velox.tools.bench.measure import Measured, measure
from velox.tools.bench.payloads import gather


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How much to measure."""

    for_s: float = 20.0
    count: int = 256
    json_path: Path | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """What one record costs an inference process, and what all processes could do at most."""

    model: str
    origin: str
    processes: int
    batch_size: int
    bad: int
    decode_ms: float
    predict_ms: dict[int, float]
    """Of one record, by batch size."""
    decode_threads: int = 1
    """More than one decode while others are predicted."""

    @property
    def best_batch_size(self) -> int:
        """The one at which a record costs least."""
        return min(self.predict_ms, key=lambda size: self.predict_ms[size])

    def record_ms(self, size: int) -> float:
        """Answer what a record takes a process."""
        if self.decode_threads > 1:
            return max(self.decode_ms / self.decode_threads, self.predict_ms[size])
        return self.decode_ms + self.predict_ms[size]

    def records_per_s(self, size: int) -> float:
        """Answer what all processes do together when nothing else costs anything."""
        return 1000 * self.processes / self.record_ms(size)

    def sentence(self) -> str:
        """Say what bounds, and by how much."""
        decode_ms = self.decode_ms / self.decode_threads
        bound = "decode" if decode_ms > self.predict_ms[self.batch_size] else "predict"
        share = decode_ms / self.record_ms(self.batch_size)
        part = f"decode on {self.decode_threads} threads takes" if self.decode_threads > 1 else "decode is"
        return (
            f"{bound} bounds: of the {self.record_ms(self.batch_size):.2f} ms that a record takes a process at "
            f"BATCH_SIZE={self.batch_size}, {part} {share:.0%}. "
            f"The roofline is {self.records_per_s(self.batch_size):.0f} records/s; what Kafka, sinks and the main "
            "process take of the cores comes off it. Compare it with `velox top` under load."
        )


def run(settings: Settings, options: Options) -> int:
    """Measure the configured model and print what it costs.

    Raises:
        VeloxError: there is nothing to measure, or with what.
    """
    console = Console(highlight=False)
    gathered = gather(settings, options.count)
    console.out(f"velox bench: {settings.model} with {gathered.origin}, {options.for_s:g} s")
    report = summed_up(measure(settings, gathered.payloads, options.for_s), settings, gathered.origin)
    console.print(table(report))
    console.out(report.sentence())
    if report.bad:
        console.out(f"{report.bad} of the payloads cannot be decoded and are left out")
    if options.json_path:
        options.json_path.write_text(json.dumps(figures(report), indent=2) + "\n")
    return 0


def summed_up(found: Sequence[Measured], settings: InferenceSettings, origin: str) -> Report:
    """Take the mean over the processes, which ran at the same time."""
    return Report(
        model=f"{found[0].model} {found[0].version}",
        origin=origin,
        processes=len(found),
        batch_size=settings.batch_size,
        bad=found[0].bad,
        decode_ms=1000 * mean(one.decode.each_s for one in found),
        decode_threads=decode_threads(settings, placements(settings)),
        predict_ms={size: 1000 * mean(one.predict[size].each_s for one in found) for size in found[0].predict},
    )


def table(report: Report) -> Table:
    """Lay out a row for each batch size."""
    rows = Table(title=f"{report.model}, {report.processes} processes at once", box=box.SIMPLE_HEAD)
    for title in ("batch size", "decode ms/record", "predict ms/record", "records/s a process", "records/s together"):
        rows.add_column(title, justify="right")
    for size, predict_ms in report.predict_ms.items():
        together = report.records_per_s(size)
        each = together / report.processes
        mark = " (best)" if size == report.best_batch_size else ""
        rows.add_row(f"{size}{mark}", f"{report.decode_ms:.3f}", f"{predict_ms:.3f}", f"{each:.0f}", f"{together:.0f}")
    return rows


def figures(report: Report) -> dict[str, object]:
    """Everything, with the circumstances."""
    return {
        **asdict(report),
        "roofline_per_s": report.records_per_s(report.batch_size),
        "velox": __version__,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.processor() or platform.machine()}, {core_count()} cores",
    }
