"""The figures of `make bench` as Markdown: a section of docs/performance.md, and a short table for the README. Pure."""

import re
from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Any, Final

from benchmarks.document import table
from benchmarks.figures import Roofline, Spread
from benchmarks.report import Circumstances
from benchmarks.throughput.summary import DesignFigures, SceneFigures
from benchmarks.throughput.variants import NAIVE, VELOX

_STAGES: Final = ("poll, parse", "decode", "resize", "predict", "hand over", "store")
_ROLES: Final = ("fetcher", "inference", "broker", "database")
_IN_PARENTHESES: Final = re.compile(r" \([^()]*\)")
_AS_NAIVE: Final = " a second as the naive design"
_REACHED: Final = ("alone", "at once", "with servers")


def section(figures: Mapping[str, Any]) -> str:
    """Write the whole section from what `make bench` recorded."""
    scenes: Sequence[SceneFigures] = figures["scenes"]
    lines = [
        *_conclusions(figures),
        "",
        f"{_circumstances(figures)} `make bench` took {figures['minutes']:.0f} minutes.",
        "",
        "Every record is a detection, stored as a document and as a file. Three numbers in a cell are the least, the "
        "median and the most of the rounds; × naive compares two runs of the same round. Images/s are measured between "
        "the first tenth and the last twentieth of a run; the start has a column of its own.",
        "",
        *_rates(scenes),
        "",
        "CPU milliseconds an image in those runs (the same numbers are CPU seconds per 1,000 images). Broker and "
        "database are test servers on the same cores.",
        "",
        *_cpu(scenes),
        "",
        "CPU milliseconds an image of each stage by itself, on one thread, just before those runs. The model's own "
        "stages are also timed in one process per core at the same time, since cores share caches and memory.",
        "",
        *_stages(figures["stages"], figures["circumstances"]["cores"]),
        "",
        "The roofline is `cores / sum of stages`. How much of it the runs reach, by what is counted as a stage:",
        "",
        *_reached(scenes),
        *_notes(figures),
    ]
    return "\n".join(lines)


def _conclusions(figures: Mapping[str, Any]) -> Iterator[str]:
    """Say what the tables come to, before them."""
    beside = [scene for scene in figures["scenes"] if NAIVE.name in scene["designs"]]
    pairs = [(scene, scene["designs"][NAIVE.name], scene["designs"][VELOX.name]) for scene in beside]
    (first, *others) = [
        f"{median(velox['ratios']):.1f} times as many {scene['name']} a second as the naive design "
        f"({median(velox['images_per_s']):,.1f} against {median(naive['images_per_s']):,.1f})"
        for scene, naive, velox in pairs
    ]
    yield f"- Velox stores {', and '.join([first, *(other.replace(_AS_NAIVE, '') for other in others)])}."
    scene, naive, velox = pairs[0]
    yield (
        f"- It spends {_own_cpu_ms(velox):.1f} ms of CPU on an image of {scene['name']} instead of "
        f"{_own_cpu_ms(naive):.1f} ms, and stores the first {_start_s(velox):.1f} s after the start instead of "
        f"{_start_s(naive):.1f} s."
    )
    cores = figures["circumstances"]["cores"]
    shares = [f"{Roofline(cores, timed['alone']).bound} ({images})" for images, timed in figures["stages"].items()]
    yield f"- Most CPU time goes to: {'; '.join(shares)}. Making that stage cheaper gains most."
    rates = {name: median(design["images_per_s"]) for name, design in scene["designs"].items() if name != NAIVE.name}
    fastest, slowest = max(rates, key=rates.__getitem__), min(rates, key=rates.__getitem__)
    yield (
        f"- Backend and precision matter: {scene['name']}, from {slowest} ({rates[slowest]:,.1f} images/s) to "
        f"{fastest} ({rates[fastest]:,.1f})."
    )
    reached = 100 * rates[VELOX.name] / velox["rooflines"]["at once"]
    yield (
        f"- With its defaults, {VELOX.name} reaches {reached:.0f} % of the roofline: what these cores could do if the "
        "stages below were all there is to do."
    )


def short(figures: Mapping[str, Any]) -> str:
    """Write the README's table: Velox with its defaults beside the naive design."""
    scenes = [scene for scene in figures["scenes"] if NAIVE.name in scene["designs"]]
    rows = []
    for scene in scenes:
        naive, velox = scene["designs"][NAIVE.name], scene["designs"][VELOX.name]
        rates = [f"{median(design['images_per_s']):,.1f}" for design in (naive, velox)]
        ratio = f"{median(velox['ratios']):.1f} ({min(velox['ratios']):.1f}–{max(velox['ratios']):.1f})"
        rows.append([f"images/s, {_images(scene)}", *rates, ratio])
    naive, velox = scenes[0]["designs"][NAIVE.name], scenes[0]["designs"][VELOX.name]
    for what, figure in (("CPU ms an image, all processes", _own_cpu_ms), ("s from start to first stored", _start_s)):
        theirs, ours = figure(naive), figure(velox)
        rows.append([what, f"{theirs:.1f}", f"{ours:.1f}", f"{ours / theirs:.2f}"])
    alone, at_once = (median(velox["images_per_s"]) / velox["rooflines"][way] for way in _REACHED[:2])
    says = _IN_PARENTHESES.sub("", velox["says"]) or "Defaults"
    return "\n".join(
        [
            *table(["what", "naive", "Velox", "Velox / naive"], rows),
            "",
            f"{_circumstances(figures)} {says}. {100 * alone:.0f} % of the roofline of these cores, "
            f"{100 * at_once:.0f} % with its stages timed on all of them at once. `make bench` measures it; each "
            "backend, precision and stage is in "
            "[docs/performance.md](docs/performance.md#throughput).",
        ]
    )


def _circumstances(figures: Mapping[str, Any]) -> str:
    where = Circumstances(**figures["circumstances"])
    return (
        f"{where.date[:10]}, commit {where.commit}: {where.machine}, load {where.load:.1f} before the start; "
        f"Python {where.python}, torch {where.torch}; {figures['model']}."
    )


def _rates(scenes: Sequence[SceneFigures]) -> list[str]:
    rows = []
    for scene, name, design in _each(scenes):
        ratios = Spread.of(design["ratios"]).text() if design["ratios"] and name != NAIVE.name else "–"
        rates, start = Spread.of(design["images_per_s"]).text(), median(design["start_s"])
        rows.append([_images(scene), name, rates, ratios, f"{start:.1f}"])
    return table(["images", "design", "images/s", "× naive", "s to the first stored"], rows)


def _cpu(scenes: Sequence[SceneFigures]) -> list[str]:
    rows = (
        [_images(scene), name, *(f"{design['cpu_ms'][role]:.2f}" for role in _ROLES)]
        for scene, name, design in _each(scenes)
    )
    return table(["images", "design", *_ROLES], rows)


def _stages(stages: Mapping[str, Any], cores: int) -> list[str]:
    rows = []
    for images, timed in stages.items():
        for how, title in (("alone", "alone"), ("at_once", f"{cores} at once")):
            roofline = Roofline(cores, timed[how])
            each = (f"{timed[how][stage]:.3f}" for stage in _STAGES)
            rows.append([images, title, *each, f"{roofline.sum_ms:.3f}", roofline.bound])
    return table(["images", "timed", *_STAGES, "sum", "most of it"], rows)


def _reached(scenes: Sequence[SceneFigures]) -> list[str]:
    def share(design: DesignFigures, way: str) -> str:
        most = design["rooflines"][way]
        return f"{100 * median(design['images_per_s']) / most:.0f} % of {most:,.0f}/s"

    titles = ["stages timed alone", "timed on all cores at once", "and broker and database as stages"]
    rows = (
        [_images(scene), name, *(share(design, way) for way in _REACHED)]
        for scene, name, design in _each(scenes)
        if design["rooflines"]
    )
    return table(["images", "design", *titles], rows)


def _notes(figures: Mapping[str, Any]) -> Iterator[str]:
    """Say what does not fit into a table, one paragraph each."""
    for scene in figures["scenes"]:
        if scene["agreement"] is not None:
            yield ""
            yield f"Top-1 agreement with the naive design on {scene['name']}: {100 * scene['agreement']:.2f} %."
    velox: DesignFigures = figures["scenes"][0]["designs"][VELOX.name]
    if velox["says"]:
        yield ""
        yield f"With its defaults, {VELOX.name} says: {velox['says']}."
    if figures["patient_naive"]:
        yield ""
        yield "The naive design's threads slept while they waited (`--patient-naive`)."
    for name, why in figures["refused"].items():
        yield ""
        yield f"Not measured: {name}, {why}"


def _each(scenes: Sequence[SceneFigures]) -> Iterator[tuple[SceneFigures, str, DesignFigures]]:
    for scene in scenes:
        for name, design in scene["designs"].items():
            yield scene, name, design


def _images(scene: SceneFigures) -> str:
    return f"{scene['name']} ({scene['image_bytes'] / 1000:.1f} KB)"


def _own_cpu_ms(design: DesignFigures) -> float:
    return design["cpu_ms"]["fetcher"] + design["cpu_ms"]["inference"]


def _start_s(design: DesignFigures) -> float:
    return median(design["start_s"])
