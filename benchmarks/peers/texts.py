"""Texts a second and what each costs: Velox beside a synchronous FastAPI, LitServe and mosec, with DistilBERT."""

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks import report
from benchmarks.peers.catalogue import CORES
from benchmarks.peers.ending import add_record, end
from benchmarks.peers.installed import versions
from benchmarks.peers.kill_systems import PEERS_PYTHON
from benchmarks.peers.text_models import provide
from benchmarks.peers.text_outcomes import Row, section
from benchmarks.peers.text_systems import BATCH, CONNECTIONS, SERVERS, Job, from_kafka, served, through_gateway
from benchmarks.peers.window import Window
from benchmarks.programs import BenchmarkError
from benchmarks.rig import notes
from tests.servers.process import ServerError

PEER: Final = "FastAPI + pipeline"
LENGTHS: Final = (32, 128)
MODELS: Final = ("tiny", "full")
_IN_TOPIC: Final = {"tiny": 10_000, "full": 200}
"""Texts for each second: more than any machine with two cores judges."""
_A_BATCH: Final = {"tiny": 1000, "full": 100}


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured."""

    rounds: int
    warm_s: float
    lasts_s: float


PLAN: Final = Plan(rounds=2, warm_s=1, lasts_s=5)
QUICK: Final = Plan(rounds=1, warm_s=0.5, lasts_s=3)

System = Callable[[Job, Path], Iterator[tuple[int, Window]]]
SYSTEMS: Final[dict[str, System]] = {
    "Velox, texts on Kafka": from_kafka,
    "Velox, batches through the gateway": through_gateway,
    **{name: partial(served, name) for name in SERVERS},
}


def terms(installed: Mapping[str, str]) -> list[list[str]]:
    """Say on which terms each was measured."""
    libraries = f"transformers {installed.get('transformers', '?')}, torch {installed.get('torch', '?')}"
    return [
        ["Velox", f"its defaults, {CORES} inference processes of 1 thread, ONNX Runtime; the full model in int8 "
         "(`PRECISION=int8`: with random weights `auto` cannot know whether the labels agree); results in SQLite"],
        [PEER, f"fastapi {installed.get('fastapi', '?')}, {libraries}; fp32, one process, a text a call; 1 thread "
         f"for the tiny model, which is quickest, {CORES} that sleep while they wait for the full one"],
        ["LitServe", f"litserve {installed.get('litserve', '?')}, {libraries}; fp32, {CORES} workers of 1 thread, "
         f"`max_batch_size={BATCH}`, `batch_timeout=0.01`, `fast_queue=True`"],
        ["mosec", f"mosec {installed.get('mosec', '?')}, {libraries}; fp32, {CORES} workers of 1 thread, "
         f"`max_batch_size={BATCH}`, `max_wait_time=10`"],
    ]  # fmt: skip


def measure(plan: Plan, models: Sequence[str], only: str) -> list[Row]:
    """Measure each system with each model in turn, as often as asked."""
    taken: dict[tuple[str, int, str], list[Window]] = {}
    for number in range(1, plan.rounds + 1):
        for model in models:
            job = _job(model, plan)
            for name, system in SYSTEMS.items():
                if only.lower() not in name.lower():
                    continue
                with tempfile.TemporaryDirectory(prefix="velox-bench-") as folder:
                    for tokens, window in system(job, Path(folder)):
                        taken.setdefault((model, tokens, name), []).append(window)
                        notes.print(f"round {number}, {model}, {tokens} tokens, {name}: {window.per_s:.1f}/s")
    return [
        Row(model=model, tokens=tokens, system=name, windows=windows)
        for (model, tokens, name), windows in taken.items()
    ]


def _job(model: str, plan: Plan) -> Job:
    return Job(
        model=model,
        folder=provide(model),
        lengths=LENGTHS,
        warm_s=plan.warm_s,
        lasts_s=plan.lasts_s,
        in_topic=round(_IN_TOPIC[model] * (plan.warm_s + plan.lasts_s + 2)),
        a_batch=_A_BATCH[model],
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Measure all, print the table; 2 when something could not run."""
    args = _parser().parse_args(argv)
    plan = QUICK if args.quick else PLAN
    plan = replace(plan, rounds=args.rounds or plan.rounds)
    where = report.circumstances()
    installed = versions(str(PEERS_PYTHON))
    try:
        notes.print("Making the models, the first time (3 minutes)")
        rows = measure(plan, args.models, args.only)
    except (BenchmarkError, ServerError) as error:
        notes.print(f"benchmark: {error}", style="red", markup=False)
        return 2
    introduction = (
        f"{where.text()}\n\nRounds: {plan.rounds}, {plan.lasts_s:g} s each. The tiny DistilBERT has 2 layers of 64, "
        "the full one has the architecture of `distilbert-base` (66 million parameters) and random weights, on which "
        f"speed does not depend. Servers that batch are asked by {CONNECTIONS} connections, the synchronous one by 2; "
        "clients, Kafka and servers share the machine. CPU is that of the server's processes; of gateway and consumer "
        "for Velox."
    )
    about = terms(installed)
    text = section(introduction, rows, about, peer=PEER)
    figures = {"introduction": introduction, "rows": [asdict(row) for row in rows], "terms": about}
    end("texts", where, figures, text, recorded=args.record)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers.texts", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round of 3 s each")
    parser.add_argument("--rounds", type=int, default=0, metavar="N", help="default: 2; 1 with --quick")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=MODELS, help="default: both")
    parser.add_argument("--only", default="", metavar="TEXT", help="systems whose name contains it (default: all)")
    add_record(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
