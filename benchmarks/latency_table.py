"""What the latency benchmark found, as a section of the document. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.document import table
from benchmarks.open_loop import QUANTILES
from benchmarks.report import Circumstances


@dataclass(frozen=True, slots=True)
class Measured:
    """One variant under one load."""

    variant: str
    percent: int
    """Of the capacity."""
    rate: float
    """Records a second."""
    samples: int
    percentiles_ms: Mapping[str, float | None]
    mean_batch: float
    late_share: float
    problems: Sequence[str]
    """Why the figures are not valid; empty when they are."""


def markdown(where: Circumstances, figures: Mapping[str, Any], measured: Sequence[Measured]) -> str:
    """Write the tables, with what they hold for and what they leave out."""
    idle = figures["idle"]
    plan = figures["plan"]
    variants = "; ".join(f"{name}: {_settings(settings)}" for name, settings in figures["variants"].items())
    quantiles = (f"p{name}" for name in QUANTILES)
    return "\n".join(
        [
            f"{where.text()}.",
            "",
            f"Milliseconds from when a record was due until every sink had it, over {plan['rounds']} × "
            f"{plan['lasts_s']:g} s of random arrivals without the first {plan['warm_up_s']:g} s of each. The "
            "generator waits for nothing, and what it sends late counts from when it was due; it shares the cores with "
            "broker, database and Velox. Loads are shares "
            f"of {figures['capacity_per_s']:.0f} records/s, the capacity of *adaptive*. Shape images, "
            f"{figures['model']}; every record becomes a document, each detection a file. {variants}.",
            "",
            *table(["load", "records/s", "variant", *quantiles, "batch", "samples", ""], map(row, measured)),
            "",
            *comparisons(measured),
            "",
            f"One record at a time: {idle['through_everything_ms']:.1f} ms through everything, "
            f"{idle['bare_ms']:.1f} ms of it the bare model call at the same pace (median; "
            f"{idle['bare_in_a_row_ms']:.1f} ms when calls follow each other at once): "
            f"{idle['through_everything_ms'] - idle['bare_ms']:.1f} ms for Kafka, Velox and the database together.",
        ]
    )


def row(one: Measured) -> list[str]:
    """Write one row of the table; what is not valid says so and why."""
    values = (ms(one.percentiles_ms[name]) for name in QUANTILES)
    remark = f"**invalid**: {', '.join(one.problems)}" if one.problems else ""
    batch, samples = f"{one.mean_batch:.1f}", str(one.samples)
    return [f"{one.percent} %", f"{one.rate:.0f}", one.variant, *values, batch, samples, remark]


def comparisons(measured: Sequence[Measured], *, ours: str = "adaptive") -> Iterator[str]:
    """Say at each load how ``ours`` stands beside the best of the others, by p50 and by p99."""
    for percent in dict.fromkeys(one.percent for one in measured):
        valid = {one.variant: one for one in measured if one.percent == percent and not one.problems}
        if ours not in valid or len(valid) == 1:
            yield f"- {percent} %: nothing valid to compare"
            continue
        parts = []
        for quantile in ("50", "99"):
            own = valid[ours].percentiles_ms[quantile]
            others = {name: one.percentiles_ms[quantile] for name, one in valid.items() if name != ours}
            known = {name: value for name, value in others.items() if value is not None}
            if own is None or not known:
                parts.append(f"p{quantile}: too few samples")
                continue
            best = min(known, key=lambda name: known[name])
            parts.append(f"p{quantile} {own / known[best]:.2f} × that of the best fixed one ({best})")
        yield f"- {percent} %: {ours} has {', '.join(parts)}"


def ms(value: float | None) -> str:
    """Write milliseconds; a dash where there were too few samples."""
    return "–" if value is None else f"{value:.1f}"


def _settings(settings: Mapping[str, str]) -> str:
    return ", ".join(f"`{name}={value}`" for name, value in settings.items())
