"""Whether anything piles up under load and kills: ``python -m benchmarks.soak --help``."""

import argparse
import random
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from benchmarks import report
from benchmarks.figures import Growth
from benchmarks.programs import BenchmarkError, Program
from benchmarks.rig import TOPIC, Rig, add_model_arguments, console, notes, provide_model, rig, watch
from tests.servers.process import ServerError
from velox.commands.arguments import duration
from velox.kafka.dead_letters import dead_letter_topic
from velox.kafka.lag import Observer
from velox.settings import Settings

_GROUP = "soak"
_LIMIT_S = 600.0
_SAMPLE_S = 1.0
_CAPACITY_RECORDS = 1500
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - looked at, not written to
Series = dict[str, list[float]]


def sample(program: Program, series: Series) -> None:
    """Note what the consumer holds now."""
    processes = program.processes()
    for role, process in processes.items():
        kind = role.partition(" ")[0]
        with suppress(psutil.NoSuchProcess):
            if kind == "main":
                series["fetcher: memory, MiB"].append(process.memory_info().rss / 2**20)
                series["fetcher: open files"].append(process.num_fds())
                series["fetcher: threads"].append(process.num_threads())
    inference = [memory for role, memory in program.rss_mib().items() if role.startswith("inference")]
    series["inference: memory of all, MiB"].append(sum(inference))
    series["inference: processes"].append(len(inference))
    series["shared memory, MiB"].append(psutil.disk_usage(str(_SHARED_MEMORY)).used / 2**20)


def kill_one(program: Program, dice: random.Random) -> None:
    """Kill an inference process (SIGKILL)."""
    victims = [process for role, process in program.processes().items() if role.startswith("inference")]
    if victims:
        with suppress(psutil.NoSuchProcess):
            dice.choice(victims).kill()


def soak(program: Program, producer: Program, *, lasts_s: float, kill_every_s: float) -> tuple[Series, int]:
    """Sample every second while the producer produces, killing on the way; answer the samples and the kills."""
    series: Series = defaultdict(list)
    dice = random.Random(7)  # noqa: S311 - which process dies first is no secret
    began = time.monotonic()
    kills = 0
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=notes, transient=True, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("soaking", total=lasts_s)
        while (elapsed_s := time.monotonic() - began) < lasts_s:
            program.check()
            sample(program, series)
            if elapsed_s >= (kills + 1) * kill_every_s:
                kill_one(program, dice)
                kills += 1
            progress.update(task, completed=elapsed_s)
            time.sleep(_SAMPLE_S)
    producer.finish(_LIMIT_S)
    return dict(series), kills


def balance(at: Rig, records: int) -> list[str]:
    """Compare what the topic, the sinks and the offsets say; every id is unique, so counts are enough."""
    observer = Observer(Settings(kafka_bootstrap_server=at.kafka.bootstrap, kafka_consumer_group=_GROUP))
    try:
        extents = observer.extents(TOPIC)
        committed = observer.committed(list(extents))
        letters = dead_letter_topic(Settings.model_construct(kafka_topic=TOPIC))
        dead = sum(extent.high for extent in observer.extents(letters).values())
    finally:
        observer.close()
    documents = at.documents(_GROUP)
    counts = {
        "records in the topic": sum(extent.high for extent in extents.values()),
        "documents": documents.count_documents({}),
        "committed": sum(committed.values()),
        "images": at.files(_GROUP) + records - documents.count_documents({"is_detection": True}),
    }
    problems = [f"{name}: {count}, not {records}" for name, count in counts.items() if count != records]
    return [*problems, *([f"dead letters: {dead}, not 0"] if dead else [])]


def main(argv: Sequence[str] | None = None) -> int:
    """Load, kill, sample, balance; 1 when something grew by more than the limit or a record is missing."""
    args = _parser().parse_args(argv)
    where = report.circumstances()
    try:
        with rig({"DEVICE": "cpu", "STORE": "all"}) as at:
            model = provide_model(at, args.model)
            capacity = _capacity(at)
            rate = args.load / 100 * capacity
            count = int(rate * args.for_s)
            notes.print(f"{capacity:.0f} images/s at most; {rate:.0f} images/s for {args.for_s:g} s")
            with at.consumer(_GROUP) as program, at.producer(count, rate=rate) as producer:
                _await(at, _CAPACITY_RECORDS + 1, program, "starting")  # what loading a model takes is not growth
                series, kills = soak(program, producer, lasts_s=args.for_s, kill_every_s=args.kill_every)
                records = count + _CAPACITY_RECORDS
                began = time.monotonic()
                _await(at, records, program, "working off the rest")
                rest_s = time.monotonic() - began
                code = program.stop()
            problems = balance(at, records) + ([f"exit code {code}"] if code else [])
    except (BenchmarkError, ServerError) as error:
        notes.print(f"benchmark: {error}", style="red", markup=False)
        return 2
    problems += grown(series, limit=args.limit / 100)
    console.print(f"\n{where.text()}", highlight=False)
    console.print(
        f"{count:,} images at {rate:.0f}/s ({args.load:g} % of {capacity:.0f}/s), {model}; an inference process killed "
        f"{kills} times; the last record was stored {rest_s:.1f} s after the end"
    )
    console.print(_table(series))
    figures: dict[str, Any] = {"records": records, "rate": rate, "kills": kills, "series": series, "problems": problems}
    path = report.save("soak", where, figures)
    console.print(f"Figures in {path.relative_to(report.REPOSITORY)}", highlight=False)
    for problem in problems:
        notes.print(problem, style="red")
    console.print("Something is wrong" if problems else "Nothing missing, nothing doubled, nothing grew")
    return 1 if problems else 0


def grown(series: Series, *, limit: float) -> list[str]:
    """Name what grew by more than ``limit`` (a share) of what it was, and by more than one unit."""
    growths = {name: Growth.of(values) for name, values in series.items()}
    return [
        f"{name} grew from {growth.first:.1f} to {growth.last:.1f}"
        for name, growth in growths.items()
        if growth.last > growth.first * (1 + limit) and growth.last > growth.first + 1
    ]


def _await(at: Rig, documents: int, program: Program, title: str) -> None:
    for _ in watch(at.documents(_GROUP), documents, program, title=title, limit_s=_LIMIT_S):
        pass


def _capacity(at: Rig) -> float:
    """Measure how many images a second the consumer works off when they are all there."""
    at.produce(_CAPACITY_RECORDS, source="shapes")
    with at.consumer(_GROUP) as program:
        began = 0.0
        for stored in watch(at.documents(_GROUP), _CAPACITY_RECORDS, program, title="capacity", limit_s=_LIMIT_S):
            if stored and not began:
                began, first = time.monotonic(), stored
        took_s = time.monotonic() - began
        program.stop()
    return (_CAPACITY_RECORDS - first) / took_s


def _table(series: Series) -> Table:
    table = Table("what", "first quarter", "last quarter", "growth", "peak")
    for name, values in series.items():
        growth = Growth.of(values)
        share = f"{100 * growth.share:+.1f} %" if growth.first else "–"
        table.add_row(name, f"{growth.first:.1f}", f"{growth.last:.1f}", share, f"{max(values):.1f}")
    return table


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.soak",
        description="Loads one consumer with a share of what it can do, kills an inference process again and again, "
        "and watches memory, open files, threads and shared memory. Ends with 0 only when all of them stayed flat and "
        "every record is stored exactly once and committed.",
    )
    parser.add_argument(
        "--for", dest="for_s", type=duration, default=1800.0, metavar="TIME", help="how long: 90s, 30m (default: 30m)"
    )
    parser.add_argument(
        "--load", type=float, default=70.0, metavar="PERCENT", help="share of the measured capacity (default: 70)"
    )
    parser.add_argument(
        "--kill-every", type=duration, default=30.0, metavar="TIME", help="time between two kills (default: 30s)"
    )
    parser.add_argument("--limit", type=float, default=10.0, metavar="PERCENT", help="growth allowed (default: 10)")
    add_model_arguments(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
