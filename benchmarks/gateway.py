"""What the gateway accepts a second, and how soon there are results: ``python -m benchmarks.gateway --help``."""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks import report
from benchmarks.document import write_section
from benchmarks.gateway_table import MOST_MS, Measured, highest, ms, section
from benchmarks.meter import await_ready
from benchmarks.programs import BenchmarkError, Program
from benchmarks.report import REPOSITORY, Circumstances
from benchmarks.rig import console, notes
from tests.servers.kafka import KafkaServer
from tests.servers.postgres import PostgresServer
from tests.servers.process import HOST, ServerError, free_port
from velox.client import Client

LEAST: Final = 120
"""Requests in each run, however slow: enough to know the slowest of a hundred."""
_PATIENCE_S: Final = 180.0
_POLL_S: Final = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much is measured."""

    first_per_s: float
    factor: float
    """From one rate to the next."""
    steps: int
    tries: int
    """A rate counts when it is sustained in one of them: neighbours on the machine spoil runs, and improve none."""
    lasts_s: float
    idle_per_s: float
    idle_s: float


PLAN: Final = Plan(first_per_s=20, factor=1.4, steps=14, tries=2, lasts_s=8, idle_per_s=5, idle_s=30)
QUICK: Final = Plan(first_per_s=20, factor=2.0, steps=7, tries=1, lasts_s=4, idle_per_s=10, idle_s=12)


class Site:
    """A gateway and a model's consumer around one store; both take their settings' defaults."""

    def __init__(
        self, folder: Path, bootstrap: str, store: str, url: str, *, more: Mapping[str, str] | None = None
    ) -> None:
        """Start both; ``more`` is for the consumer."""
        self.store = store
        self._folder = folder
        self._port, self.metrics = free_port(), free_port()
        shared = {"KAFKA_BOOTSTRAP_SERVER": bootstrap, "REQUESTS_URL": url}
        own = {"GATEWAY_PORT": str(self._port), "MODELS_PATH": str(REPOSITORY / "models.toml")}
        pipeline = str(REPOSITORY / "pipelines" / "api-sentiment.env")
        self.gateway = self._start(["-m", "velox", "gateway"], {**shared, **own})
        await_ready(self.gateway, self._port)
        self.consumer = self._start(
            [str(REPOSITORY / "consumer.py"), "--env-file", pipeline],
            {**shared, "METRICS_PORT": str(self.metrics), **(more or {})},
        )
        await_ready(self.consumer, self.metrics)
        self._client = Client(self.url)

    @property
    def url(self) -> str:
        """Where the gateway is."""
        return f"http://{HOST}:{self._port}"

    def ask(self, what: str, rate: float, lasts_s: float, *, waits: bool = False) -> Measured:
        """Ask at a rate, and wait until everything is answered."""
        figures = self._folder / f"{self.store}.json"
        options = [
            "--rate",
            f"{rate:.3f}",
            "--requests",
            str(max(LEAST, round(rate * lasts_s))),
            "--json",
            str(figures),
        ]
        words = [
            str(REPOSITORY / "scripts" / "load_test.py"),
            "--url",
            self.url,
            *options,
            *(["--wait"] if waits else []),
        ]
        figures.unlink(missing_ok=True)
        before_s = self.gateway.tree_cpu_s()
        with self._start(words, {}) as asking:
            asking.settle(_PATIENCE_S)
        if not figures.exists():
            asking.check()
        told = json.loads(figures.read_text())
        used_s = self.gateway.tree_cpu_s() - before_s
        self.drained()
        return measured(self.store, what, told, cpu_s=used_s, load=os.getloadavg()[0])

    def close(self) -> None:
        """Stop both."""
        self._client.close()
        for program in (self.consumer, self.gateway):
            with program:
                program.stop()

    def _start(self, words: Sequence[str], settings: dict[str, str]) -> Program:
        log = self._folder / f"{self.store}-{Path(words[0]).stem}-{words[-1].rpartition('/')[2]}.log"
        return Program(words, folder=self._folder, settings=settings, log=log)

    def drained(self) -> None:
        """Wait until everything that was accepted has its result."""
        until = time.monotonic() + _PATIENCE_S
        while (pending := sum(model.pending for model in self._client.models())) > 0:
            self.consumer.check()
            if time.monotonic() > until:
                raise BenchmarkError(f"{pending} requests still without a result; see {self.consumer.log}")
            time.sleep(_POLL_S)


def measured(store: str, what: str, told: dict[str, Any], *, cpu_s: float, load: float) -> Measured:
    """Take the figures that the load test has written."""
    return Measured(
        store=store,
        what=what,
        rate=told["rate"],
        accepted_per_s=told["accepted_per_s"] or 0.0,
        accept_ms=told["accept_ms"],
        result_ms=told["result_ms"],
        cpu_ms=1000 * cpu_s / max(1, told["accepted"]),
        load=load,
        late_share=told["late_share"],
        problems=[f"{count} × {kind}" for kind, count in told["errors"].items()],
    )


def climb(site: Site, plan: Plan) -> Iterator[Measured]:
    """Ask at higher and higher rates, until one is not sustained."""
    rate = plan.first_per_s
    for _ in range(plan.steps):
        for _try in range(plan.tries):
            one = site.ask("accept", rate, plan.lasts_s)
            yield one
            if one.is_sustained:
                break
        else:
            return
        rate *= plan.factor


def measure(site: Site, plan: Plan) -> Iterator[Measured]:
    """Measure a store: accepting, then results while nearly nothing is asked, then at half of what it accepts."""
    site.ask("warm-up", plan.first_per_s, plan.lasts_s)
    taken: list[Measured] = []
    for one in climb(site, plan):
        taken.append(one)
        yield one
    yield site.ask("idle", plan.idle_per_s, plan.idle_s, waits=True)
    if (best := highest(taken)) is not None:
        yield site.ask("half", best.rate / 2, plan.lasts_s, waits=True)


@contextmanager
def stores(folder: Path) -> Iterator[dict[str, str]]:
    """Name the stores that there are on this machine, with their addresses."""
    with ExitStack() as stack:
        found = {"SQLite": f"sqlite:///{folder}/requests.db"}
        try:
            found["PostgreSQL"] = stack.enter_context(PostgresServer(durable=True)).url()
        except ServerError as error:
            notes.print(f"without PostgreSQL: {error}", markup=False)
        yield found


def introduction(where: Circumstances, plan: Plan) -> str:
    """Say what the figures hold for."""
    return (
        f"{where.text()}\n\nOne gateway process, the lexicon's consumer, Kafka, store and whoever asks share the "
        "machine. Requests come when they are due, whatever became of those before, and times count from then; at each "
        f"rate for {plan.lasts_s:g} s, and {LEAST} of them at least; each rate {plan.factor:g} times the one before. A "
        f"rate counts when all its requests were accepted, 99 of 100 within {MOST_MS:g} ms"
        + (f", in one of {plan.tries} tries." if plan.tries > 1 else ".")
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Measure all, print the table; 1 when a store sustains no rate at all."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gateway",
        description="Measures one gateway process with real Kafka, the lexicon's consumer and each store, all on this "
        "machine; requests come when they are due (an open loop). Writes benchmarks/results/gateway-….json.",
    )
    parser.add_argument("--quick", action="store_true", help="fewer rates, a few seconds each")
    parser.add_argument(
        "--record", action="store_true", help="keep the figures and write them into docs/performance.md"
    )
    args = parser.parse_args(argv)
    plan = QUICK if args.quick else PLAN
    where = report.circumstances()
    taken: list[Measured] = []
    try:
        with (
            tempfile.TemporaryDirectory(prefix="velox-bench-") as name,
            KafkaServer() as kafka,
            stores(Path(name)) as found,
        ):
            for store, url in found.items():
                site = Site(Path(name), kafka.bootstrap, store, url)
                try:
                    for one in measure(site, plan):
                        taken.append(one)
                        p50, p99 = ms(one.accept_ms["50"]), ms(one.accept_ms["99"])
                        late = f"{100 * one.late_share:.0f} % sent late"
                        notes.print(
                            f"{store}, {one.what}, {one.rate:.0f}/s: p50 {p50}, p99 {p99} ms; {late}", *one.problems
                        )
                finally:
                    site.close()
    except (BenchmarkError, ServerError) as error:
        notes.print(f"benchmark: {error}", style="red", markup=False)
        return 2
    told = introduction(where, plan)
    figures = {"introduction": told, "measured": [asdict(one) for one in taken]}
    text = section(told, taken)
    console.print(text, markup=False, highlight=False, soft_wrap=True)
    path = report.save("gateway", where, {"plan": asdict(plan), **figures})
    console.print(f"Figures in {path.relative_to(REPOSITORY)}", highlight=False)
    if args.record:
        report.record("gateway", where, figures)
        write_section("gateway", text)
    names = {one.store for one in taken}
    return 0 if all(highest([one for one in taken if one.store == each]) for each in names) else 1


if __name__ == "__main__":
    sys.exit(main())
