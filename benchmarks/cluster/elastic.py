"""Replicas under a load script that sends 150 requests every 0.1 s for 40 s: how many there are, drawn over time."""

import argparse
import json
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import psutil

from benchmarks import report
from benchmarks.programs import BenchmarkError, Program
from benchmarks.rig import console, notes

PYTHON: Final = report.REPOSITORY / ".venv-ray" / "bin" / "python"
PICTURE: Final = report.REPOSITORY / "docs" / "replicas.svg"
AT_ONCE, EVERY_S, LOAD_S = 150, 0.1, 40.0
_AFTER_S: Final = 45.0
_LOOK_S: Final = 0.5
_PORT: Final = 18124
_START_S: Final = 240.0
_CONFIG: Final = """
classifier1:
  model: tests.cluster.slow:Slow
  num_cpus: 0.1
  min_replicas: 1
  max_replicas: 4
  target_drain_s: 2
  look_back_period_s: 3
  metrics_interval_s: 1
  upscale_delay_s: 3
  downscale_delay_s: 6
  max_batch_size: 4
  graceful_shutdown_timeout_s: 5
inference: {max_ongoing_requests: 200}
"""
_SETTINGS: Final = {
    "RAY_ADDRESS": "local",
    "RAY_SERVE_REPLICA_AUTOSCALING_METRIC_PUSH_INTERVAL_S": "1",
    "RAY_SERVE_HANDLE_AUTOSCALING_METRIC_PUSH_INTERVAL_S": "1",
    "CODEC": "key",
    "SINKS": "sqlite",
}


@dataclass(frozen=True, slots=True)
class Sight:
    """What was seen at a moment."""

    at_s: float
    replicas: int
    answered: int
    """Requests since the last look: with a result."""
    refused: int
    """Turned away, as queues were full."""


class Load:
    """Sends requests in bursts; what finds all callers busy is not sent, as a script with so many threads would not."""

    def __init__(self, url: str, body: bytes) -> None:
        self.counts: Counter[str] = Counter()
        self._url, self._body = url, body
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(AT_ONCE)
        self._out = 0

    def burst(self) -> None:
        """Send as many as there are callers, at most 150."""
        with self._lock:
            free = AT_ONCE - self._out
            self._out += free
            self.counts["not sent"] += AT_ONCE - free
        for _ in range(free):
            self._pool.submit(self._ask)

    def _ask(self) -> None:
        request = urllib.request.Request(self._url, data=self._body, method="POST")  # noqa: S310 - our own
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - our own
                answer.read()
            outcome = "answered"
        except urllib.error.HTTPError as error:
            error.close()
            outcome = "refused"
        except OSError:
            outcome = "no answer"
        with self._lock:
            self._out -= 1
            self.counts[outcome] += 1


def watch(program: Program, load: Load) -> list[Sight]:
    """Look, while the load lasts and until the replicas have had time to go."""
    seen: list[Sight] = []
    began, before = time.monotonic(), Counter[str]()
    ending = threading.Event()

    def send() -> None:
        while (at := time.monotonic() - began) < LOAD_S and not ending.is_set():
            load.burst()
            ending.wait(max(0.0, EVERY_S - (time.monotonic() - began - at)))

    sender = threading.Thread(target=send, daemon=True)
    sender.start()
    while (at := time.monotonic() - began) < LOAD_S + _AFTER_S:
        program.check()
        now = Counter(load.counts)
        seen.append(
            Sight(round(at, 1), replicas(), now["answered"] - before["answered"], now["refused"] - before["refused"])
        )
        before = now
        time.sleep(_LOOK_S)
    ending.set()
    return seen


def replicas() -> int:
    """Count the processes of the model that descend from this one."""
    count = 0
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            count += " ".join(process.cmdline()).startswith("ray::ServeReplica:velox:classifier1")
    return count


def draw(seen: Sequence[Sight], path: Path) -> None:
    """Draw replicas and answers over time."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - a second to import

    figure = Figure(figsize=(8, 3.6), layout="constrained")
    replicas_axes, answers_axes = figure.subplots(2, sharex=True)
    times = [sight.at_s for sight in seen]
    replicas_axes.step(times, [sight.replicas for sight in seen], where="post", color="tab:blue")
    replicas_axes.set_ylabel("replicas")
    replicas_axes.set_ylim(0, max(sight.replicas for sight in seen) + 0.5)
    answers_axes.plot(times, [sight.answered / _LOOK_S for sight in seen], color="tab:green", label="answered/s")
    answers_axes.plot(times, [sight.refused / _LOOK_S for sight in seen], color="tab:red", label="503/s")
    answers_axes.legend(frameon=False)
    answers_axes.set_xlabel("s")
    for axes in (replicas_axes, answers_axes):
        axes.axvspan(0, LOAD_S, color="0.93", zorder=0)
    figure.savefig(path, metadata={"Date": None})


def main(argv: Sequence[str] | None = None) -> int:
    """Run it, say what was seen, and draw it with --record; 2 when it could not run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cluster.elastic", description=__doc__)
    parser.add_argument("--record", action="store_true", help="draw docs/replicas.svg")
    args = parser.parse_args(argv)
    where = report.circumstances()
    with tempfile.TemporaryDirectory(prefix="velox-elastic-") as site:
        folder = Path(site)
        (folder / "bucket").mkdir()
        (folder / "bucket" / "a.jpg").write_bytes(b"a frame")
        (folder / "config.yaml").write_text(_CONFIG)
        command = [str(report.REPOSITORY / "service_deployment.py"), "--consumers", "0", "--port", str(_PORT)]
        settings = {**_SETTINGS, "BUCKET_URL": (folder / "bucket").as_uri()}
        log = folder / "cluster.log"
        program = Program(command, folder=folder, settings=settings, log=log, python=str(PYTHON))
        try:
            _await(program, log)
            load = Load(f"http://127.0.0.1:{_PORT}/inference", json.dumps({"img_path": "a.jpg"}).encode())
            seen = watch(program, load)
        except BenchmarkError as error:
            notes.print(f"benchmark: {error}", style="red", markup=False)
            return 2
        finally:
            program.stop()
    steps = [replicas for replicas, _ in groupby(sight.replicas for sight in seen)]
    console.print(f"replicas, one after the other: {steps}; requests: {dict(load.counts)}", highlight=False)
    figures: dict[str, Any] = {"seen": [asdict(sight) for sight in seen], "requests": dict(load.counts)}
    report.save("elastic", where, figures)
    if args.record:
        draw(seen, PICTURE)
        report.record("elastic", where, {"steps": steps, "requests": dict(load.counts)})
    return 0


def _await(program: Program, log: Path) -> None:
    until = time.monotonic() + _START_S
    while "Deployed classifier1" not in log.read_text(errors="replace"):
        program.check()
        if time.monotonic() > until:
            raise BenchmarkError(f"not deployed within {_START_S:g} s; see {log}")
        time.sleep(_LOOK_S)


if __name__ == "__main__":
    sys.exit(main())
