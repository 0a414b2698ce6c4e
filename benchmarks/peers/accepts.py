"""What the gateway accepts a second, beside one of FastAPI and aiokafka."""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks import report
from benchmarks.gateway import Site, stores
from benchmarks.peers.accept_outcomes import Row, Taken, section
from benchmarks.peers.ending import add_record, end
from benchmarks.peers.installed import versions
from benchmarks.peers.kill_systems import PEERS_PYTHON, aiokafka
from benchmarks.programs import BenchmarkError, Program
from benchmarks.rig import notes
from tests.servers.kafka import KafkaServer
from tests.servers.process import ServerError
from velox.client import Client, Question, Refused

PEER: Final = "FastAPI + aiokafka, results in memory"
_PATIENCE_S: Final = 180.0
_BATCH: Final = 1000
_TEXT: Final = "The weather was fine and the food was great."


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured."""

    rounds: int
    requests: int
    clients: int
    batches: int


PLAN: Final = Plan(rounds=3, requests=3000, clients=32, batches=5)
QUICK: Final = Plan(rounds=1, requests=400, clients=32, batches=2)


def ask(url: str, gateway: Program, plan: Plan, folder: Path) -> Taken:
    """Have clients ask one by one, each as soon as its last request was accepted; the first tenth is a warm-up."""
    _load(url, plan.requests // 10, plan.clients, folder)
    before_s = gateway.tree_cpu_s()
    told = _load(url, plan.requests, plan.clients, folder)
    used_s = gateway.tree_cpu_s() - before_s
    if told["errors"]:
        raise BenchmarkError(f"{url} did not accept everything: {told['errors']}")
    p50_ms, p99_ms = told["accept_ms"]["50"], told["accept_ms"]["99"]
    return Taken(per_s=told["accepted_per_s"], p50_ms=p50_ms, p99_ms=p99_ms, cpu_ms=1000 * used_s / plan.requests)


def _load(url: str, requests: int, clients: int, folder: Path) -> dict[str, Any]:
    figures = folder / "load.json"
    figures.unlink(missing_ok=True)
    words = [str(report.REPOSITORY / "scripts" / "load_test.py"), "--url", url, "--json", str(figures)]
    words += ["--requests", str(requests), "--concurrency", str(clients)]
    with Program(words, folder=folder, settings={}, log=folder / "load.log") as asking:
        asking.settle(_PATIENCE_S)
        if not figures.exists():
            asking.check()
    found: dict[str, Any] = json.loads(figures.read_text())
    return found


def ask_batches(url: str, gateway: Program, plan: Plan) -> Taken:
    """Submit batches of 1,000 one after the other."""
    questions = [Question(model="sentiment", text=_TEXT) for _ in range(_BATCH)]
    took: list[float] = []
    before_s = gateway.tree_cpu_s()
    with Client(url) as client:
        for _ in range(plan.batches):
            began = time.perf_counter()
            refused = [each for each in client.submit_batch(questions) if isinstance(each, Refused)]
            took.append(time.perf_counter() - began)
            if refused:
                raise BenchmarkError(f"{url} refused {len(refused)} of a batch: {refused[0]}")
    used_s = gateway.tree_cpu_s() - before_s
    asked = plan.batches * _BATCH
    return Taken(per_s=asked / sum(took), p50_ms=1000 * median(took), p99_ms=None, cpu_ms=1000 * used_s / asked)


def measure(plan: Plan, folder: Path) -> list[Row]:
    """Measure each gateway in turn, as often as asked."""
    taken: dict[str, list[Taken]] = {}
    with stores(folder) as found:
        for number in range(1, plan.rounds + 1):
            for name, one in _round(found, plan, folder):
                taken.setdefault(name, []).append(one)
                notes.print(f"round {number}, {name}: {one.per_s:.0f}/s, {one.cpu_ms:.2f} ms of CPU each")
    return [Row(name, rounds) for name, rounds in taken.items()]


def _round(found: Mapping[str, str], plan: Plan, folder: Path) -> Iterator[tuple[str, Taken]]:
    with aiokafka(folder) as system:
        try:
            system.start()
            yield PEER, ask(system.url, system.program("gateway"), plan, folder)
        finally:
            system.close()
    for store, url in found.items():
        with _site(folder, store, url) as site:
            yield f"Velox, {store}", ask(site.url, site.gateway, plan, folder)
            site.drained()
            yield f"Velox, {store}, batches of {_BATCH:,}", ask_batches(site.url, site.gateway, plan)
            site.drained()


@contextmanager
def _site(folder: Path, store: str, url: str) -> Iterator[Site]:
    with KafkaServer() as kafka:
        site = Site(folder, kafka.bootstrap, store, url)
        try:
            yield site
        finally:
            site.close()


def main(argv: Sequence[str] | None = None) -> int:
    """Measure all, print the table; 2 when something could not run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers.accepts", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round of 400 requests")
    add_record(parser)
    args = parser.parse_args(argv)
    plan = QUICK if args.quick else PLAN
    where = report.circumstances()
    installed = versions(str(PEERS_PYTHON))
    if "aiokafka" not in installed:
        notes.print("benchmark: .venv-peers has no aiokafka: make bench-peers installs it", style="red", markup=False)
        return 2
    try:
        with tempfile.TemporaryDirectory(prefix="velox-bench-") as name:
            rows = measure(plan, Path(name))
    except (BenchmarkError, ServerError) as error:
        notes.print(f"benchmark: {error}", style="red", markup=False)
        return 2
    introduction = (
        f"{where.text()}\n\n{plan.rounds} rounds of {plan.requests} requests, {plan.clients} clients that each ask "
        "again as soon as they have an id; clients, gateway, worker, Kafka and store share the machine. aiokafka "
        f"{installed['aiokafka']} and fastapi {installed['fastapi']} as in the test above. A batch is one HTTP request "
        "with JSON Lines; its times are the whole batch's."
    )
    text = section(introduction, rows)
    figures = {"introduction": introduction, "rows": [asdict(row) for row in rows]}
    end("accepts", where, figures, text, recorded=args.record)
    return 0


if __name__ == "__main__":
    sys.exit(main())
