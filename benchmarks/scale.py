"""What a record costs as processes, lag, documents and more grow: ``python -m benchmarks.scale --help``."""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from typing import Any, Final, NamedTuple

from pydantic import SecretStr
from rich.progress import track

from benchmarks import report
from benchmarks.document import PERFORMANCE, write_section
from benchmarks.generator import NUMBERED
from benchmarks.meter import Meter, await_ready
from benchmarks.plot import draw
from benchmarks.preload import fill, store_documents, store_rows
from benchmarks.programs import BenchmarkError, Program
from benchmarks.rig import Rig, add_model_arguments, console, notes, provide_model, rig
from benchmarks.scale_plan import (
    BACKLOG,
    DOCUMENTS,
    IMAGES,
    LIVE,
    ROWS,
    Case,
    Plan,
    Snapshot,
    cases,
    full_plan,
    quick_plan,
)
from benchmarks.scale_table import Cost, Point, markdown, panels
from tests.servers.process import ServerError, free_port
from velox.settings import Settings
from velox.sinks.mongo import MongoSink
from velox.sinks.sqlite import SqliteSink
from velox.sources.shapes import ShapesSource

_SETTINGS: Final = {"DEVICE": "cpu", "STORE": "all", "SINKS": "mongo", "LOG_LEVEL": "WARNING"}
_LIMIT_S: Final = 120.0
_POLL_S: Final = 0.05
_STORED_NOW: Final = "verify-"
"""How the ids of measured records begin; what was there before has others."""
_PLOT: Final = PERFORMANCE.with_name("scale.svg")


class Consumer(NamedTuple):
    """A running one, and where it tells its metrics."""

    program: Program
    port: int


def prepare(at: Rig, plan: Plan) -> None:
    """Fill topics and databases."""
    settings = Settings.model_construct()
    fill(at.kafka, IMAGES, partitions=6, count=plan.images, source=ShapesSource(settings))
    for topic, (partitions, count) in track(plan.filled().items(), "Filling topics", console=notes, transient=True):
        fill(at.kafka, topic, partitions=partitions, count=count)
    for count in track(plan.values[DOCUMENTS], "Storing documents", console=notes, transient=True):
        name = f"documents-{count}"
        sink = MongoSink(settings.model_copy(update={"mongo_uri": SecretStr(at.mongo.uri), "db_name": name}))
        sink.open()
        sink.close()
        store_documents(at.documents(name), count)
    for count in track(plan.values[ROWS], "Storing rows", console=notes, transient=True):
        store_rows(settings.model_copy(update={"sqlite_path": at.folder / f"rows-{count}.db"}), count)


def measure(at: Rig, case: Case, plan: Plan, number: int, *, live_per_s: float) -> Cost:
    """Run the consumers of a case, from the beginning of their topic, and take their cost between two moments."""
    name = f"{case.name}-{number}"
    topic = name if case.topic == LIVE else case.topic
    if case.topic == LIVE:
        at.kafka.create_topic(topic)
    with ExitStack() as stack:
        consumers = []
        for _ in range(case.consumers):
            port = free_port()
            own = {"KAFKA_TOPIC": topic, "METRICS_PORT": str(port), **case.settings}
            consumers.append(Consumer(stack.enter_context(at.consumer(name, settings=own)), port))
        for consumer in consumers:
            await_ready(consumer.program, consumer.port)
        if case.topic == LIVE:
            stack.enter_context(_generator(at, topic, live_per_s, plan))
        before, after = window(consumers, plan, plan.records(case))
        for consumer in consumers:
            consumer.program.stop()
    _forget(at, case, name)
    return after.cost_since(before)


def window(consumers: Sequence[Consumer], plan: Plan, records: float) -> tuple[Snapshot, Snapshot]:
    """Look at consumers when all of them have been working for a while, and again later.

    Raises:
        BenchmarkError: they ended, get no records, or have done all of them before anything could be measured.
    """
    until = time.monotonic() + _LIMIT_S
    while not all(Meter(consumer.port).predicted() for consumer in consumers):
        for consumer in consumers:
            consumer.program.check()
        if time.monotonic() > until:
            raise BenchmarkError(f"{consumers[0].program.log.stem}: not every consumer gets records")
        time.sleep(_POLL_S)
    time.sleep(plan.warm_up_s)
    before = look(consumers)
    time.sleep(plan.window_s(before, records))
    after = look(consumers)
    if after.predicted >= records:
        raise BenchmarkError(f"{consumers[0].program.log.stem}: all records were done before the measurement ended")
    return before, after


def look(consumers: Sequence[Consumer]) -> Snapshot:
    """Ask all what they have done and used."""
    cpu_s = {role: used for consumer in consumers for role, used in consumer.program.cpu_s().items()}
    return Snapshot(time.monotonic(), sum(Meter(consumer.port).predicted() for consumer in consumers), cpu_s)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure all, draw the plot, write the table."""
    args = _parser().parse_args(argv)
    plan = quick_plan() if args.quick else full_plan(len(os.sched_getaffinity(0)), args.rounds)
    where = report.circumstances()
    try:
        with rig(_SETTINGS) as at:
            model = provide_model(at, args.model)
            prepare(at, plan)
            points = measure_all(at, plan)
    except (BenchmarkError, ServerError) as error:
        notes.print(f"benchmark: {error}", style="red", markup=False)
        return 2
    figures: dict[str, Any] = {
        "model": model,
        "settings": _SETTINGS,
        "rounds": plan.rounds,
        "lasts_s": plan.lasts_s,
        "points": [asdict(point) for point in points],
    }
    text = markdown(where, figures, points, plot=_PLOT.name)
    console.print(text, markup=False, highlight=False, soft_wrap=True)
    if args.quick:
        path = report.save("scale", where, figures)
        draw(panels(points), path.with_suffix(".svg"))
    else:
        path = report.record("scale", where, figures)
        draw(panels(points), _PLOT)
        write_section("scale", text)
    console.print(f"Figures in {path.relative_to(report.REPOSITORY)}", highlight=False)
    return 0


def measure_all(at: Rig, plan: Plan) -> list[Point]:
    """Measure every case once a round, so that a neighbour's load weighs on all of them."""
    every = list(cases(plan))
    costs: dict[str, list[Cost]] = {case.name: [] for case in every}
    for number in range(1, plan.rounds + 1):
        backlog_per_s = 0.0
        for case in every:
            cost = measure(at, case, plan, number, live_per_s=backlog_per_s / 2)
            costs[case.name].append(cost)
            notes.print(f"round {number} {case.name}: {cost.records_per_s:.0f}/s, {cost.cpu_ms:.3f} ms CPU each")
            if case.consumers == 1 and case.topic == BACKLOG:
                backlog_per_s = cost.records_per_s
    return [Point(case.group, case.value, costs[case.name]) for case in every]


def _generator(at: Rig, topic: str, rate: float, plan: Plan) -> Program:
    """Send records for longer than a measurement takes; it is ended with it."""
    lasts_s = plan.warm_up_s + plan.lasts_s + _LIMIT_S
    options = ["--rate", f"{rate:.3f}", "--for", f"{lasts_s:g}", "--source", NUMBERED]
    command = ["-m", "benchmarks.generator", *options, "--result", str(at.folder / f"{topic}.npz")]
    return at.start(command, "generator", topic, {"KAFKA_TOPIC": topic})


def _forget(at: Rig, case: Case, name: str) -> None:
    """Remove what a case has stored, and leave what was there before it."""
    settings = Settings.model_construct()
    if case.group == DOCUMENTS:
        own = {"mongo_uri": SecretStr(at.mongo.uri), "db_name": case.settings["DB_NAME"]}
        MongoSink(settings.model_copy(update=own)).remove(_STORED_NOW)
    elif case.group == ROWS:
        own = {"sqlite_path": at.folder / case.settings["SQLITE_PATH"]}
        SqliteSink(settings.model_copy(update=own)).remove(_STORED_NOW)
    else:
        at.client.drop_database(name)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scale",
        description="Measures what a record costs while one thing grows: inference processes, consumers, partitions, "
        "lag, stored documents. Writes benchmarks/recorded/scale.json, docs/scale.svg and its section of "
        "docs/performance.md.",
    )
    parser.add_argument("--rounds", type=int, default=2, metavar="N", help="measurements of each value (default: 2)")
    parser.add_argument(
        "--quick", action="store_true", help="small values, a second each, one round; writes no document"
    )
    add_model_arguments(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
