"""``make bench-cluster``: measures the ways, prints the table, and writes it into docs/cluster.md with --record."""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks import report
from benchmarks.cluster.window import Window
from benchmarks.document import table, write_section
from benchmarks.programs import BenchmarkError, Program
from benchmarks.rig import console, notes
from tests import small_model
from velox.sources.drawing import draw
from velox.sources.jpeg import encode

PAGE: Final = report.REPOSITORY / "docs" / "cluster.md"
PYTHON: Final = report.REPOSITORY / ".venv-ray" / "bin" / "python"
NAMES: Final = {
    "http_naive_1": "plain: HTTP, one frame a request, one at a time",
    "http_naive_16": "plain: the same, 16 at a time",
    "http_velox_16": "Velox on Ray: HTTP, one frame a request, 16 at a time",
    "handle_1": "Velox on Ray: one frame a call, 16 at a time",
    "handle_list": "Velox on Ray: lists of 32, as consumers hand them over",
    "processes": "Velox's own inference processes, without Ray",
}
BASE: Final = "http_naive_16"
WAYS: Final = ("naive", "service", "processes")
_FRAMES: Final = 256
_END_S: Final = 300.0
_SETTINGS: Final = {"RAY_ADDRESS": "local", "MODEL_ARCH": "tiny_cnn", "CODEC": "key", "BATCH_SIZE": "32"}


def section(introduction: str, found: dict[str, Any]) -> str:
    """Write the section of the document: each way beside the plain one."""
    windows = {name: Window(**window) for name, window in found.items()}
    base = windows[BASE].frames / windows[BASE].lasted_s
    rows = [
        [
            NAMES[name],
            f"{one.frames / one.lasted_s:,.0f}",
            f"{one.frames / one.lasted_s / base:.1f} ×",
            f"{1000 * one.cpu_s / max(1, one.frames):.1f}",
        ]
        for name, one in windows.items()
    ]
    lines = table(("way", "frames/s", "of the plain way", "CPU ms a frame, all processes"), rows)
    return "\n".join([introduction, "", *lines, ""])


def main(argv: Sequence[str] | None = None) -> int:
    """Measure all, print the table; 2 when something could not run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cluster", description=__doc__)
    parser.add_argument("--lasts-s", type=float, default=10.0, help="seconds a way; default: 10")
    parser.add_argument("--only", choices=WAYS, help="one of the processes that measure; nothing is recorded")
    parser.add_argument("--record", action="store_true", help="keep the figures and write them into docs/cluster.md")
    args = parser.parse_args(argv)
    where = report.circumstances()
    found: dict[str, Any] = {}
    try:
        # In memory, as the bucket of cameras is.
        with tempfile.TemporaryDirectory(prefix="velox-frames-", dir="/dev/shm") as bucket:
            folder = Path(bucket)
            _make_frames(folder)
            with tempfile.TemporaryDirectory(prefix="velox-cluster-") as site:
                small_model.train(Path(site))
                for way in (args.only,) if args.only else WAYS:
                    found |= _measure(way, Path(site), folder, args.lasts_s)
    except BenchmarkError as error:
        notes.print(f"benchmark: {error}", style="red", markup=False)
        return 2
    if args.only:
        return 0
    introduction = (
        f"{where.text()}\n\n{args.lasts_s:g} s each, in one run. Frames of 640×360 in a folder in memory; two small "
        "networks (`tiny_cnn`, OpenVINO) look at each. The plain way passes pixels on, asks one model after the other "
        "and has Ray's defaults."
    )
    text = section(introduction, found)
    console.print(text, markup=False, highlight=False, soft_wrap=True)
    figures = {"introduction": introduction, "windows": found}
    report.save("cluster", where, figures)
    if args.record:
        report.record("cluster", where, figures)
        write_section("cluster", text, page=PAGE)
    return 0


def _measure(way: str, site: Path, folder: Path, lasts_s: float) -> dict[str, Any]:
    out = site / f"{way}.json"
    command = ["-m", "benchmarks.cluster.ways", way, "--folder", str(folder), "--lasts-s", f"{lasts_s}"]
    settings = {**_SETTINGS, "BUCKET_URL": folder.as_uri()}
    program = Program(
        [*command, "--out", str(out)], folder=site, settings=settings, log=site / f"{way}.log", python=str(PYTHON)
    )
    program.finish(_END_S)
    found: dict[str, Any] = json.loads(out.read_text())
    for name, window in found.items():
        notes.print(f"{NAMES[name]}: {window['frames'] / window['lasted_s']:.0f}/s", markup=False, highlight=False)
    return found


def _make_frames(folder: Path) -> None:
    (folder / "frames" / "camera_1").mkdir(parents=True)
    for number in range(_FRAMES):
        color, shape = (((0, 0, 255), "circle"), ((0, 255, 0), "square"))[number % 2]
        image = draw(shape, color=color, height=360, width=640, center=(200 + number, 180), size=100)
        (folder / "frames" / "camera_1" / f"frame_{1764252202 + number}.5.jpg").write_bytes(encode(image))


if __name__ == "__main__":
    sys.exit(main())
