"""The section of docs/performance.md on large rates: inputs, formulas, results, prices, what they hang on. Pure."""

from collections.abc import Sequence
from dataclasses import fields, replace

from benchmarks.fleet import Costs, Fleet, Plan, price_per_million, swings
from benchmarks.peers.outcomes import markdown_table

_SWINGS = 8
_GB = 1e9
_MEANINGS = {
    "fetcher_ms": "CPU ms an image in fetchers",
    "inference_ms": "CPU ms an image in inference processes",
    "decode_ms": "CPU ms of that for decode and resize",
    "broker_ms": "CPU ms an image in an unreplicated broker",
    "database_ms": "CPU ms a stored document in the database",
    "image_bytes": "bytes of an image",
}
_FORMULAS = """\
cores(ms)            = images_per_s × ms / 1000 / core_speed / use
consumer cores       = cores(fetcher_ms + inference_ms)
inference processes  = cores(inference_ms), one thread each
per consumer         = inference_ms / fetcher_ms, so that its one fetcher keeps up, and no more than a machine has cores
consumers            = inference processes / per consumer
produced bytes/s     = images_per_s × image_bytes × compression
into brokers         = produced × replicas                    (from producers, and each other replica from its leader)
out of brokers       = produced × (replicas - 1) + produced   (to the other replicas, and once to consumers)
on brokers' disks    = produced × replicas × retention
partitions           = the larger of consumers × partitions_per_consumer and produced / partition_mb_per_s
brokers              = the largest of: into, out of / (network × use); into / (disk × use); kept / (disk space × use);
                       cores(broker_ms) × replicas / broker_cores; partitions × replicas / broker_partitions; replicas
GPUs                 = images_per_s / (gpu_images_per_s × use), beside cores(fetcher_ms + decode_ms)
price of a million   = price of an hour × 1,000,000 / images_per_s / 3600
between zones, bytes = produced × (replicas - 1 + crossing_share)"""


def section(plan: Plan, *, source: str, priced: str) -> str:
    """Write it all; ``source`` says where the costs come from, ``priced`` when the prices held."""
    on_cpu, on_gpus = replace(plan, on_gpus=False), replace(plan, on_gpus=True)
    needed = plan.fleet()
    prices = price_per_million(on_cpu), price_per_million(on_gpus)
    dominant = [max(terms, key=lambda name: terms[name]) for terms in prices]
    moving = [swing.name for swing in swings(on_cpu)[:2]]
    parts = [
        f"Calculated for {plan.images_per_s:,.0f} images/s by `python -m benchmarks.scale_out --write`, not run: one "
        "small machine was measured, and the rest is multiplication. It holds as far as the cost of a record stays "
        "what it is when processes, partitions and lag grow, which the section above is about.",
        f"What an image costs ({source}):",
        markdown_table(
            ("cost", ""), [(_MEANINGS[spec.name], _number(getattr(plan.costs, spec.name))) for spec in fields(Costs)]
        ),
        "There every image is a detection, so the fetcher's cost has the storing of all of them in it. The broker "
        "had little to do, and is taken to cost the same for each replica.",
        f"```text\n{_FORMULAS}\n```",
        markdown_table(("what it takes", ""), _needs(plan, needed)),
        "Brokers that each limit asks for by itself: "
        + ", ".join(f"{name} {count:,}" for name, count in needed.broker_bounds.items())
        + f". **{_tightest(needed)}** decides.",
        f"No GPU was measured: {_number(plan.given.gpu_images_per_s)} images/s of one is an assumption.",
        f"A million images costs, in the currency of the prices (round figures of {priced}, no provider's):",
        markdown_table(("term", "on cores", "on GPUs"), _terms(*prices)),
        f"The largest term is **{dominant[0]}** on cores and **{dominant[1]}** on GPUs; keeping what was stored is not "
        "in it. With one input halved or doubled, on cores:",
        markdown_table(
            ("input", "half", "twice"),
            [(f"`{swing.name}`", f"{swing.half:.2f}", f"{swing.twice:.2f}") for swing in swings(on_cpu)[:_SWINGS]],
        ),
        f"So `{moving[0]}` and `{moving[1]}` decide. All inputs are options (`--core-hour-price 0.03`):",
        markdown_table(("input", "value", "meaning"), _inputs(plan)),
    ]
    return "\n\n".join(parts) + "\n"


def _needs(plan: Plan, needed: Fleet) -> list[Sequence[str]]:
    return [
        ("cores of consumers", f"{needed.cores:,.0f}, {needed.machines:,} machines of {plan.given.machine_cores:g}"),
        (
            "consumers",
            f"{needed.consumers:,} of one fetcher and {needed.inference_per_consumer} inference processes "
            f"({needed.inference_processes:,})",
        ),
        ("partitions", f"{needed.partitions:,}"),
        ("from producers, and to consumers", _rate(needed.produced_bytes)),
        ("into brokers, out of brokers", f"{_rate(needed.broker_in_bytes)}, {_rate(needed.broker_out_bytes)}"),
        ("brokers", f"{needed.brokers:,}"),
        ("on brokers' disks", f"{needed.kept_bytes / 1e12:,.0f} TB"),
        (
            "stored",
            f"{needed.stored_per_s:,.0f} documents/s, {_rate(needed.stored_bytes)}, "
            f"{needed.database_cores:,.0f} cores of databases",
        ),
        ("on GPUs instead", f"{needed.gpus:,} GPUs and {needed.gpu_cores:,.0f} cores"),
    ]


def _terms(on_cores: dict[str, float], on_gpus: dict[str, float]) -> list[Sequence[str]]:
    names = sorted({*on_cores, *on_gpus}, key=lambda name: -max(on_cores.get(name, 0.0), on_gpus.get(name, 0.0)))
    rows = [(name, *(_price(terms.get(name), sum(terms.values())) for terms in (on_cores, on_gpus))) for name in names]
    return [*rows, ("**all**", f"**{sum(on_cores.values()):.2f}**", f"**{sum(on_gpus.values()):.2f}**")]


def _price(price: float | None, total: float) -> str:
    return "–" if price is None else f"{price:.2g} ({100 * price / total:.0f} %)"


def _inputs(plan: Plan) -> list[Sequence[str]]:
    return [
        (f"`{spec.name}`", _number(getattr(group, spec.name)), spec.metadata["meaning"])
        for group in (plan.given, plan.prices)
        for spec in fields(group)
    ]


def _tightest(needed: Fleet) -> str:
    return max(needed.broker_bounds, key=lambda name: needed.broker_bounds[name])


def _rate(bytes_per_s: float) -> str:
    return f"{bytes_per_s / _GB:,.1f} GB/s ({bytes_per_s * 8 / _GB:,.0f} Gbit/s)"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"  # noqa: PLR2004 - digits
