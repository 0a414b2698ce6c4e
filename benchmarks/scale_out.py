"""What a million images a second takes, from the measured costs of one: ``python -m benchmarks.scale_out --help``."""

import argparse
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from benchmarks import report
from benchmarks.document import write_section
from benchmarks.fleet import Assumptions, Costs, Plan, Prices
from benchmarks.rig import notes
from benchmarks.scale_out_page import section

_PRICED = "2026-11-21"
_FAILED = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Calculate, print the section, and write it into the document when asked to."""
    args = _parser().parse_args(argv)
    figures = report.recorded("throughput")
    given = {spec.name: getattr(args, spec.name) for spec in fields(Costs) if getattr(args, spec.name) is not None}
    try:
        costs = replace(measured(figures, args.scene), **given) if figures else Costs(**given)
    except (KeyError, TypeError):
        asked = " ".join(_option(spec.name) for spec in fields(Costs))
        text = f"scale_out: no costs of {args.scene} are recorded: run `make bench`, or give all of {asked}"
        notes.print(text, style="red", markup=False)
        return _FAILED
    plan = Plan(
        args.images_per_s,
        costs,
        Assumptions(**{spec.name: getattr(args, spec.name) for spec in fields(Assumptions)}),
        Prices(**{spec.name: getattr(args, spec.name) for spec in fields(Prices)}),
    )
    text = section(plan, source=_source(figures, args.scene, given), priced=args.priced)
    print(text)
    if args.write:
        write_section("scale-out", text)
    return 0


def measured(figures: Mapping[str, Any], scene: str) -> Costs:
    """Take what Velox costs, with default settings, from the figures of ``make bench``.

    Raises:
        KeyError: they have no such scene, or lack one of the costs.
    """
    found = {entry["name"]: entry for entry in figures["scenes"]}[scene]
    cpu_ms = found["designs"]["Velox"]["cpu_ms"]
    stages = figures["stages"][scene.partition(",")[0]]["alone"]
    return Costs(
        fetcher_ms=cpu_ms["fetcher"],
        inference_ms=cpu_ms["inference"],
        decode_ms=stages["decode"] + stages.get("resize", 0.0),
        broker_ms=cpu_ms["broker"],
        database_ms=cpu_ms["database"],
        image_bytes=found["image_bytes"],
    )


def _source(figures: Mapping[str, Any] | None, scene: str, given: Mapping[str, float]) -> str:
    """Say where the costs of an image come from."""
    by_hand = f"given by hand: {', '.join(given)}" if given else ""
    if not figures:
        return by_hand
    where = report.Circumstances(**figures["circumstances"]).text()
    return f"`make bench`, {scene}: {where}" + (f"; {by_hand}" if given else "")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scale_out",
        description="Calculates from benchmarks/recorded/throughput.json, written by `make bench`, what a rate of "
        "images takes and costs. Nothing of that size is run.",
    )
    parser.add_argument("--images-per-s", type=_positive, default=1e6, metavar="N", help="rate (default: 1000000)")
    parser.add_argument("--scene", default="shapes", help="of make bench, whose costs count (default: shapes)")
    parser.add_argument("--priced", default=_PRICED, metavar="DATE", help=f"when the prices held (default: {_PRICED})")
    parser.add_argument("--write", action="store_true", help="write the section into docs/performance.md")
    measured_costs = parser.add_argument_group("measured costs, instead of what is recorded")
    for spec in fields(Costs):
        measured_costs.add_argument(_option(spec.name), type=_positive, metavar="X")
    groups = (("assumptions", Assumptions, _positive), ("prices, in any currency", Prices, _from_zero))
    for title, group, value in groups:
        options = parser.add_argument_group(title)
        for term in fields(group):
            text = f"{term.metadata['meaning']} (default: {term.default:g})"
            options.add_argument(_option(term.name), type=value, default=term.default, metavar="X", help=text)
    return parser


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


def _positive(text: str) -> float:
    value = _from_zero(text)
    if value == 0:
        raise argparse.ArgumentTypeError("must be more than 0")
    return value


def _from_zero(text: str) -> float:
    value = float(text)
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError("must be 0 or more")
    return value


if __name__ == "__main__":
    sys.exit(main())
