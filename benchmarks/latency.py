"""How long a record takes from when it is due until it is stored: ``python -m benchmarks.latency --help``."""

import argparse
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any, Final

import numpy as np

from benchmarks import report, stamps
from benchmarks.document import write_section
from benchmarks.latency_table import Measured, markdown, ms
from benchmarks.meter import Meter, await_ready
from benchmarks.open_loop import Run, percentiles, problems
from benchmarks.programs import BenchmarkError, Program
from benchmarks.rig import Rig, add_model_arguments, console, notes, provide_model, rig
from tests.servers.process import ServerError, free_port

VARIANTS: Final[Mapping[str, Mapping[str, str]]] = {
    "batch 1": {"BATCH_SIZE": "1", "BATCH_TIMEOUT_MS": "10"},
    "batch 8": {"BATCH_SIZE": "8", "BATCH_TIMEOUT_MS": "10"},
    "batch 32": {"BATCH_SIZE": "32", "BATCH_TIMEOUT_MS": "10"},
    "adaptive": {"BATCH_TIMEOUT_MS": "auto"},
}
"""What is compared, by the settings that differ."""
REFERENCE: Final = "adaptive"
"""Whose capacity the loads are shares of; all variants get the same records at the same times."""
_SETTINGS: Final = {
    "DEVICE": "cpu",
    "STORE": "all",
    "SINKS": f"disk,{stamps.SINK}",
}
_PATIENCE_S: Final = 120.0
_POLL_S: Final = 0.02
_BURST: Final = 1500
_BEYOND: Final = 1.3
"""Capacity is measured at so many times what a burst suggests: producing costs something too while it lasts."""
_IDLE_PER_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured."""

    loads: Sequence[int]
    """Percent of the capacity."""
    rounds: int
    """In each all variants run under the load, in another order, with records due at other times."""
    lasts_s: float
    """Each run of a variant under a load."""
    warm_up_s: float
    idle_s: float


PLAN: Final = Plan(loads=(10, 25, 50, 75, 90), rounds=2, lasts_s=9.0, warm_up_s=1.5, idle_s=12.0)
QUICK: Final = Plan(loads=(10, 50), rounds=1, lasts_s=4.0, warm_up_s=1.0, idle_s=4.0)


@contextmanager
def consumer(at: Rig, name: str, settings: Mapping[str, str]) -> Iterator[tuple[Program, Meter]]:
    """Run a consumer of a topic of its own, from when it is ready; what it has stored is removed afterwards."""
    port = free_port()
    at.kafka.create_topic(name)
    with at.consumer(name, settings={**settings, "KAFKA_TOPIC": name, "METRICS_PORT": str(port)}) as program:
        await_ready(program, port)
        yield program, Meter(port)
        program.stop()
    at.client.drop_database(name)


def load(at: Rig, name: str, program: Program, *, options: Sequence[str]) -> Run:
    """Send records to a running consumer and wait until all are stored, or nothing more comes."""
    result = at.folder / f"{name}.npz"
    command = ["-m", "benchmarks.generator", *options, "--result", str(result)]
    with at.start(command, "generator", name, {"KAFKA_TOPIC": name}) as generator:
        generator.finish(_PATIENCE_S)
    with np.load(result) as times:
        due, sent = times["due"], times["sent"]
    folder = at.folder / name
    until = time.monotonic() + _PATIENCE_S
    while stamps.count(folder) < len(due) and time.monotonic() < until:
        program.check()
        time.sleep(_POLL_S)
    return Run(due, sent, stamps.read(folder, len(due)))


def measure_capacity(at: Rig) -> float:
    """Measure how many records a second are stored while more than that come in."""
    settings = VARIANTS[REFERENCE]
    with consumer(at, "burst", settings) as (program, _):
        run = load(at, "burst", program, options=_options(rate=1e6, for_s=_BURST / 1e6))
        burst_per_s = steady_rate(run, until_s=float(np.nanmax(run.stored)))
    with consumer(at, "capacity", settings) as (program, _):
        run = load(at, "capacity", program, options=_options(rate=_BEYOND * burst_per_s, for_s=5.0))
        return steady_rate(run, until_s=float(run.due[-1]))


def steady_rate(run: Run, *, until_s: float) -> float:
    """Answer the records stored a second from a quarter of the run on, until a point in time."""
    since_s = run.due[0] + (until_s - run.due[0]) / 4
    stored = np.sum((run.stored > since_s) & (run.stored <= until_s))
    if not stored:
        raise BenchmarkError("nothing was stored while records came in")
    return float(stored / (until_s - since_s))


def measure(at: Rig, variant: str, percent: int, rate: float, plan: Plan, *, number: int) -> tuple[Run, float]:
    """Put one variant under one load; its mean batch beside the run."""
    name = f"{variant.replace(' ', '-')}-{percent}-{number}"
    with consumer(at, name, VARIANTS[variant]) as (program, meter):
        options = _options(rate=rate, for_s=plan.lasts_s, seed=100 * number + percent)
        run = load(at, name, program, options=options)
        batch = meter.mean_batch()
    return Run(run.due, run.sent, run.stored, warm_up_s=plan.warm_up_s), batch


def pool(variant: str, percent: int, rate: float, taken: Sequence[tuple[Run, float]]) -> Measured:
    """Take the runs of a variant under a load together, as if they had been one."""
    latencies_s = np.concatenate([run.latencies_s for run, _ in taken])
    return Measured(
        variant=variant,
        percent=percent,
        rate=rate,
        samples=len(latencies_s),
        percentiles_ms=percentiles(latencies_s),
        mean_batch=fmean(batch for _, batch in taken),
        late_share=fmean(run.late_share for run, _ in taken),
        problems=problems([run for run, _ in taken]),
    )


def measure_idle(at: Rig, plan: Plan) -> dict[str, float]:
    """Compare one record at a time through everything with the bare call of the model; medians in milliseconds."""
    result = at.folder / "bare.json"
    calls = ["--calls", str(round(plan.idle_s * _IDLE_PER_S)), "--every", str(1 / _IDLE_PER_S)]
    with at.start(["-m", "benchmarks.bare_call", *calls, "--result", str(result)], "bare", "call") as program:
        program.finish(_PATIENCE_S)
    bare: dict[str, float] = json.loads(result.read_text())
    with consumer(at, "idle", VARIANTS[REFERENCE]) as (program, _):
        options = [*_options(rate=_IDLE_PER_S, for_s=plan.idle_s), "--steady"]
        run = load(at, "idle", program, options=options)
    through = percentiles(run.latencies_s[1:])["50"] or float("nan")
    return {"bare_in_a_row_ms": bare["in_a_row_ms"], "bare_ms": bare["paced_ms"], "through_everything_ms": through}


def main(argv: Sequence[str] | None = None) -> int:
    """Measure all, write the table; 1 when a figure is not valid."""
    args = _parser().parse_args(argv)
    plan = QUICK if args.quick else PLAN
    where = report.circumstances()
    try:
        with rig(_SETTINGS) as at:
            model = provide_model(at, args.model)
            capacity = measure_capacity(at)
            notes.print(f"Capacity: {capacity:.0f} records/s")
            idle = measure_idle(at, plan)
            measured = list(_rounds(at, capacity, plan))
    except (BenchmarkError, ServerError) as error:
        notes.print(f"benchmark: {error}", style="red", markup=False)
        return 2
    figures: dict[str, Any] = {
        "model": model,
        "settings": _SETTINGS,
        "variants": VARIANTS,
        "plan": asdict(plan),
        "capacity_per_s": capacity,
        "idle": idle,
        "measured": [asdict(one) for one in measured],
    }
    text = markdown(where, figures, measured)
    console.print(text, markup=False, highlight=False, soft_wrap=True)
    if args.quick:
        path = report.save("latency", where, figures)
    else:
        path = report.record("latency", where, figures)
        write_section("latency", text)
    console.print(f"Figures in {path.relative_to(report.REPOSITORY)}", highlight=False)
    return 1 if any(one.problems for one in measured) else 0


def _rounds(at: Rig, capacity: float, plan: Plan) -> Iterator[Measured]:
    """Put all variants under a load before the next one; who is first takes turns."""
    names = list(VARIANTS)
    for turn, percent in enumerate(plan.loads):
        rate = capacity * percent / 100
        taken: dict[str, list[tuple[Run, float]]] = {name: [] for name in names}
        for number in range(plan.rounds):
            first = (turn + number) % len(names)
            for variant in names[first:] + names[:first]:
                taken[variant].append(measure(at, variant, percent, rate, plan, number=number))
                one = pool(variant, percent, rate, taken[variant][-1:])
                p50, p99 = ms(one.percentiles_ms["50"]), ms(one.percentiles_ms["99"])
                notes.print(f"{percent} % {variant}: p50 {p50} ms, p99 {p99} ms", *one.problems)
        for variant in names:
            yield pool(variant, percent, rate, taken[variant])


def _options(*, rate: float, for_s: float, seed: int = 0) -> list[str]:
    return ["--rate", f"{rate:.3f}", "--for", f"{for_s:.6f}", "--seed", str(seed)]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.latency",
        description="Measures the time from when a record is due until it is stored: real Kafka, a MongoDB-protocol "
        "server, records that come when they are due and not when there is room (an open loop). "
        "Writes benchmarks/recorded/latency.json and its section of docs/performance.md.",
    )
    parser.add_argument("--quick", action="store_true", help="two loads, a few seconds each; writes no document")
    add_model_arguments(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
