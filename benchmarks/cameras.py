"""``make bench-cameras``: 150 cameras on this machine, by RTSP and drawn: frames a second, age, fairness, account."""

import argparse
import json
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks import report
from benchmarks.document import table, write_section
from benchmarks.programs import BenchmarkError, Program
from benchmarks.rig import console, notes
from tests import small_model
from tests.servers.kafka import KafkaServer
from tests.servers.process import ServerError, free_port
from tests.servers.rtsp import RtspServer
from velox.core.cameras import Cause
from velox.metrics.cameras import CameraMetrics
from velox.metrics.consumer import ConsumerMetrics
from velox.tools.up.scraping import Page, Scraper, by

PAGE: Final = report.REPOSITORY / "docs" / "performance.md"
PROCESSES: Final = 2
_FPS: Final = 5
_READY_S: Final = 120.0
_SETTLE_S: Final = 60.0
_TRIES: Final = 3
_LIVE: Final = 10
"""Cameras that are added and removed while the others run."""
_TITLES: Final = {
    "cameras": "cameras alone",
    "with a model": "with a small model behind them",
    "while 10 come and go": "the same, while 10 come and go",
}


@dataclass(frozen=True, slots=True)
class Window:
    """What went on in some seconds, all cameras together; ``predicted`` and the ages are 0 without a consumer."""

    lasted_s: float
    decoded: int
    published: int
    predicted: int
    dropped: Mapping[str, int]
    fairness: float
    """Jain's index of what of each camera was published; with a consumer, predicted."""
    age_p50_ms: float
    age_p95_ms: float
    cpu_s: float
    """Of the processes that read cameras and of consumers; the RTSP server and Kafka are not in it."""


class Site:
    """Cameras, a consumer and their servers."""

    def __init__(self, folder: Path, kafka: KafkaServer, urls: Mapping[str, str], size: str) -> None:
        """Describe the cameras; nothing is started."""
        self.folder = folder
        self.urls = urls
        self._size = size
        self._port = free_port()
        self._consumer_port = free_port()
        self.settings = {
            "VELOX_ENV_FILE": str(report.REPOSITORY / "pipelines/cameras.env"),
            "KAFKA_BOOTSTRAP_SERVER": kafka.bootstrap,
            "CAMERAS_PORT": str(self._port),
            "CAMERAS_PER_PROCESS": str(-(-len(urls) // PROCESSES)),
            "METRICS_PORT": str(self._consumer_port),
            "SQLITE_PATH": str(folder / "cameras.db"),
            "MODEL_ARCH": "tiny_cnn",
            "QUEUE_SIZE": "600",
            "AUTO_OFFSET_RESET": "latest",  # not what was published before there was a consumer
        }
        self.describe(urls)

    def describe(self, urls: Mapping[str, str]) -> None:
        """Write cameras.yaml, which the processes follow."""
        cameras = [{"id": name, "url": url} for name, url in urls.items()]
        defaults = {"fps": _FPS, "size": self._size}
        (self.folder / "cameras.yaml").write_text(json.dumps({"defaults": defaults, "cameras": cameras}))

    def start(self, *command: str) -> Program:
        """Start a command."""
        return Program(
            ["-m", "velox", *command], folder=self.folder, settings=self.settings, log=self.folder / f"{command[0]}.log"
        )

    def pages(self) -> tuple[list[Page], Page]:
        """Read what the processes count: those of cameras, and the consumer."""
        return [_page(self._port + number) for number in range(PROCESSES)], _page(self._consumer_port)

    def outcomes(self) -> dict[str, Counter[str]]:
        """Count each camera's frames by outcome."""
        found: dict[str, Counter[str]] = {}
        for page in self.pages()[0]:
            for labels, value in page.get(CameraMetrics.frames.name, {}).items():
                said = dict(labels)
                found.setdefault(said["camera"], Counter())[said["outcome"]] += int(value)
        return found

    def predicted(self) -> Counter[str]:
        """Count each camera's predictions."""
        page = self.pages()[1].get(ConsumerMetrics.records.name, {})
        return Counter(by("topic", {labels: n for labels, n in page.items() if ("outcome", "predicted") in labels}))

    def dropped(self) -> Counter[str]:
        """Count what consumers have dropped, by cause."""
        return Counter(by("cause", self.pages()[1].get(ConsumerMetrics.dropped.name, {})))

    def ages(self, since: float) -> list[float]:
        """Answer the ages in milliseconds, in order, of predictions since a time."""
        if not (self.folder / "cameras.db").exists():
            return []
        with closing(sqlite3.connect(self.folder / "cameras.db")) as connection:
            query = "SELECT age_ms FROM predictions WHERE predicted_at > ? ORDER BY age_ms"
            return [age for (age,) in connection.execute(query, (since,))]


def wait_until(holds: Any, what: str, programs: Sequence[Program], within_s: float) -> None:  # noqa: ANN401 - a callable
    """Wait for a condition.

    Raises:
        BenchmarkError: it did not come, or a program ended.
    """
    deadline = time.monotonic() + within_s
    while not holds():
        for program in programs:
            program.check()
        if time.monotonic() > deadline:
            msg = f"{what} did not come within {within_s:g} s"
            raise BenchmarkError(msg)
        time.sleep(0.5)


def measure(site: Site, programs: Sequence[Program], lasts_s: float, cameras: Sequence[str]) -> Window:
    """Count what goes on for a while."""
    began, at = time.time(), time.monotonic()
    before, predicted, dropped, cpu = site.outcomes(), site.predicted(), site.dropped(), _cpu_s(programs)
    time.sleep(lasts_s)
    lasted_s = time.monotonic() - at
    grown = {name: counts - before.get(name, Counter()) for name, counts in site.outcomes().items()}
    done = site.predicted() - predicted
    ages = site.ages(began)
    causes = Counter({cause.value: sum(counts[cause.value] for counts in grown.values()) for cause in Cause})
    causes += Counter({name: int(count) for name, count in (site.dropped() - dropped).items()})
    shares = [done[name] if done else grown.get(name, Counter())["published"] for name in cameras]
    return Window(
        lasted_s=lasted_s,
        decoded=sum(counts["decoded"] for counts in grown.values()),
        published=sum(counts["published"] for counts in grown.values()),
        predicted=int(sum(done.values())),
        dropped={name: count for name, count in causes.items() if count},
        fairness=sum(shares) ** 2 / (len(shares) * sum(share * share for share in shares)) if any(shares) else 0.0,
        age_p50_ms=ages[len(ages) // 2] if ages else 0.0,
        age_p95_ms=ages[int(len(ages) * 0.95)] if ages else 0.0,
        cpu_s=_cpu_s(programs) - cpu,
    )


def run(folder: Path, *, rtsp: int, drawn: int, size: str, lasts_s: float) -> tuple[dict[str, Window], int, int]:
    """Measure; answer the windows, and how many frames were decoded in all and how many of them have no account."""
    small_model.train(folder)
    width, height = (int(part) for part in size.split("x"))
    with KafkaServer() as kafka, RtspServer(rtsp, fps=_FPS, size=(width, height)) as server:
        urls = {f"camera_{n}": server.url(n) for n in range(1, rtsp + 1)}
        urls |= {f"camera_{n}": "synthetic:" for n in range(rtsp + 1, rtsp + drawn + 1)}
        site, names = Site(folder, kafka, urls, size), [*urls]
        with site.start("cameras", "run") as cameras:
            wait_until(lambda: _all_publish(site, names), "a frame of every camera", [cameras], _READY_S)
            time.sleep(5)
            found = {"cameras": measure(site, [cameras], lasts_s, names)}
            with site.start("consume") as consumer:
                wait_until(lambda: len(site.predicted()) >= len(names), "all", [cameras, consumer], _READY_S)
                time.sleep(5)
                found["with a model"] = measure(site, [cameras, consumer], lasts_s, names)
                more = {f"camera_{9000 + n}": "synthetic:" for n in range(_LIVE)}
                site.describe({**urls, **more})
                time.sleep(2)
                found["while 10 come and go"] = measure(site, [cameras, consumer], lasts_s / 2, names)
                site.describe({})
                wait_until(lambda: not _open(site), "an account of all frames", [cameras, consumer], _SETTLE_S)
                outcomes = site.outcomes()
        total = sum(counts["decoded"] for counts in outcomes.values())
        return found, total, sum(_gap(counts) for counts in outcomes.values())


def _page(port: int) -> Page:
    """Read a process's metrics; on a full machine it may take more than one try. Empty where there is no process."""
    tries = (Scraper(port).samples() for _ in range(_TRIES))
    return next((page for page in tries if page), {})


def _all_publish(site: Site, names: Sequence[str]) -> bool:
    found = site.outcomes()
    return all(found.get(name, Counter())["published"] for name in names)


def _gap(counts: Counter[str]) -> int:
    return counts["decoded"] - counts["published"] - sum(counts[cause.value] for cause in Cause)


def _open(site: Site) -> int:
    return sum(abs(_gap(counts)) for counts in site.outcomes().values())


def _cpu_s(programs: Sequence[Program]) -> float:
    return sum(program.tree_cpu_s() for program in programs)


def section(introduction: str, found: Mapping[str, Mapping[str, Any]]) -> str:
    """Write the section of the document."""
    rows = []
    for name, window in found.items():
        seconds = window["lasted_s"]
        causes = ", ".join(
            f"{cause} {count / seconds:.0f}" for cause, count in window["dropped"].items() if count > seconds / 2
        )
        frames = window["predicted"] or window["published"]
        rows.append(
            [
                _TITLES[name],
                f"{window['decoded'] / seconds:,.0f}",
                f"{window['published'] / seconds:,.0f}",
                f"{window['predicted'] / seconds:,.0f}" if window["predicted"] else "–",
                causes or "–",
                f"{window['age_p50_ms']:.0f} / {window['age_p95_ms']:.0f}" if window["predicted"] else "–",
                f"{window['fairness']:.3f}",
                f"{1000 * window['cpu_s'] / max(1, frames):.1f}",
            ]
        )
    titles = ("", "decoded/s", "published/s", "predicted/s", "dropped/s", "age ms p50 / p95", "Jain", "CPU ms a frame")
    return "\n".join([introduction, "", *table(titles, rows), ""])


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print the table; 2 when something could not run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cameras", description=__doc__)
    parser.add_argument("--rtsp", type=int, default=100, metavar="N", help="cameras by RTSP; default: 100")
    parser.add_argument("--drawn", type=int, default=50, metavar="N", help="cameras that are drawn; default: 50")
    parser.add_argument("--size", default="640x360", metavar="WxH", help="of a frame; default: 640x360")
    parser.add_argument("--lasts-s", type=float, default=20.0, help="seconds a window; default: 20")
    parser.add_argument(
        "--record", action="store_true", help="keep the figures, and write them into docs/performance.md"
    )
    args = parser.parse_args(argv)
    where = report.circumstances()
    try:
        with tempfile.TemporaryDirectory(prefix="velox-cameras-") as folder:
            found, total, lost = run(
                Path(folder), rtsp=args.rtsp, drawn=args.drawn, size=args.size, lasts_s=args.lasts_s
            )
    except (BenchmarkError, ServerError) as error:
        notes.print(f"benchmark: {error}", style="red", markup=False)
        return 2
    introduction = (
        f"{where.text()}\n\n{args.rtsp} cameras by RTSP, from a server on the same cores, and {args.drawn} drawn ones, "
        f"{args.size}, {_FPS} frames a second each if there is time; {args.lasts_s:g} s a window. The model is a small "
        f"network (`tiny_cnn`). Of {total:,} frames decoded in all, {lost} are neither published "
        "nor counted as dropped."
    )
    figures = {"introduction": introduction, "windows": {name: asdict(window) for name, window in found.items()}}
    text = section(introduction, figures["windows"])  # type: ignore[arg-type]  # made in the line above
    console.print(text, markup=False, highlight=False, soft_wrap=True)
    report.save("cameras", where, figures)
    if args.record:
        report.record("cameras", where, figures)
        write_section("cameras", text, page=PAGE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
