"""The same processes killed under the same load, in Velox and in two gateways one would write: what is lost?"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from benchmarks import report
from benchmarks.peers.catalogue import CORES
from benchmarks.peers.ending import add_record, end
from benchmarks.peers.installed import versions
from benchmarks.peers.kill_load import CLIENTS, STALL_S, Load
from benchmarks.peers.kill_outcomes import Outcome, section
from benchmarks.peers.kill_systems import PEERS_PYTHON, System, aiokafka, celery, verify
from benchmarks.programs import BenchmarkError
from benchmarks.rig import notes
from tests.servers.process import ServerError

_POLL_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is asked for, how fast, and how long results are waited for."""

    count: int
    lasts_s: float
    grace_s: float
    kills: Mapping[str, int]

    @property
    def faults(self) -> list[str]:
        """Name what is killed, in order: gateway and worker in turn, the broker in the middle."""
        turns = max(self.kills["gateway"], self.kills["worker"])
        names = [role for turn in range(turns) for role in ("gateway", "worker") if turn < self.kills[role]]
        middle = len(names) // 2
        return [*names[:middle], *["broker"] * self.kills["broker"], *names[middle:]]


KILLS: Final = {"gateway": 5, "worker": 5, "broker": 1}
PLAN: Final = Plan(count=2000, lasts_s=60, grace_s=120, kills=KILLS)
QUICK: Final = Plan(count=300, lasts_s=20, grace_s=0, kills=KILLS)


@dataclass(frozen=True, slots=True)
class Peer:
    """One of the gateways that one would write."""

    name: str
    libraries: Sequence[str]
    settings: str
    system: Callable[[Path], AbstractContextManager[System]]
    is_late_by_design: bool = False
    """Whether what a dead worker had is handed on by a timer: then results are waited for longer."""


PEERS: Final = (
    Peer(
        "FastAPI + Celery + Redis",
        ("fastapi", "celery", "redis"),
        "`task_acks_late`, `task_reject_on_worker_lost`, `worker_prefetch_multiplier=1`, `visibility_timeout` 10 s (by "
        f"default an hour), results in Redis; {CORES} worker processes; Redis with `appendonly yes`, `everysec`",
        celery,
        is_late_by_design=True,
    ),
    Peer(
        "FastAPI + aiokafka",
        ("fastapi", "aiokafka"),
        "`send_and_wait`, `acks=all`, idempotent; a task of the gateway reads the results into a dictionary; offsets "
        "are committed as by default, every 5 s",
        aiokafka,
    ),
)


def measure(peer: Peer, plan: Plan, folder: Path, installed: Mapping[str, str]) -> Outcome:
    """Ask one peer, kill its parts, and count."""
    began = time.monotonic()
    grace_s = plan.grace_s if peer.is_late_by_design else 0.0
    with peer.system(folder) as system:
        try:
            system.start()
            load = Load(system.url, plan.count, plan.lasts_s, grace_s)
            load.start()
            faults = plan.faults
            for number, role in enumerate(faults, 1):
                while len(load.accepted) < plan.count * number / (len(faults) + 1):
                    if not load.lives:
                        load.join()
                        raise BenchmarkError(f"the clients of {peer.name} ended too early")
                    system.await_gateway()
                    time.sleep(_POLL_S)
                notes.print(f"{peer.name}: {len(load.accepted)} accepted, killing the {role}")
                system.kill(role)
            load.faults_are_over.set()
            while load.lives:
                system.await_gateway()
                time.sleep(_POLL_S)
            load.join()
            doubled = system.doubled()
        finally:
            system.close()
    return Outcome(
        name=peer.name,
        versions={name: installed[name] for name in peer.libraries if name in installed},
        settings=peer.settings,
        accepted=len(load.accepted),
        missing=load.missing,
        late=load.late if grace_s else None,
        gone=load.gone,
        doubled=doubled,
        lasted_s=time.monotonic() - began,
        faults=plan.kills,
    )


def measure_velox(plan: Plan, folder: Path) -> Outcome:
    """Have ``velox verify`` do it."""
    began = time.monotonic()
    found = verify(folder, plan.count, plan.count / plan.lasts_s, plan.kills)
    done = {name: len(times) for name, times in found["recovery_s"].items()}
    return Outcome(
        name="Velox",
        versions={},
        settings="its defaults, SQLite; `velox verify --through gateway` asks, kills and looks at the end",
        accepted=found["acknowledged"],
        missing=None,
        late=None,
        gone=_count(found["missing"]),
        doubled=_count(found["doubled"]),
        lasted_s=time.monotonic() - began,
        faults={
            "gateway": done.get("kill gateway", 0),
            "worker": done.get("kill consumer", 0),
            "broker": done.get("broker restart", 0),
        },
    )


def _count(places: Mapping[str, Sequence[str]]) -> int:
    return len({identity for ids in places.values() for identity in ids})


def main(argv: Sequence[str] | None = None) -> int:
    """Measure all, print the table; 1 when Velox lost or doubled anything, or was not killed as often as asked."""
    args = _parser().parse_args(argv)
    plan = QUICK if args.quick else PLAN
    where = report.circumstances()
    installed = versions(str(PEERS_PYTHON))
    outcomes: list[Outcome] = []
    try:
        for peer in PEERS:
            if args.only.lower() in peer.name.lower():
                with tempfile.TemporaryDirectory(prefix="velox-bench-") as folder:
                    outcomes.append(measure(peer, plan, Path(folder), installed))
                notes.print(" ".join(outcomes[-1].figures()), markup=False)
        if args.only.lower() in "velox":
            notes.print(f"Velox: {plan.count} requests by velox verify")
            with tempfile.TemporaryDirectory(prefix="velox-bench-") as folder:
                outcomes.insert(0, measure_velox(plan, Path(folder)))
    except (BenchmarkError, ServerError) as error:
        notes.print(f"benchmark: {error}", style="red", markup=False)
        return 2
    introduction = (
        f"{where.text()}\n\n{plan.count} requests in at least {plan.lasts_s:g} s; under them SIGKILL for the gateway "
        f"× {plan.kills['gateway']}, the worker × {plan.kills['worker']} and the broker × {plan.kills['broker']}, each "
        f"with all its processes and started again at once. {CLIENTS} clients try again until they are given an id, "
        f"poll each second for the result, and call it lost after {STALL_S:g} s in which none came "
        f"({plan.grace_s:g} s more for Celery, which hands on by a timer what a dead worker had). "
        "At the end every id is asked for again. "
        "The work is trivial: it is the way that is tested."
    )
    figures = {"introduction": introduction, "outcomes": [asdict(one) for one in outcomes]}
    end("kills", where, figures, section(introduction, outcomes), recorded=args.record)
    velox = [one for one in outcomes if one.name == "Velox"]
    return 1 if any(one.gone or one.doubled or one.faults != plan.kills for one in velox) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers.kills", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="300 requests, results waited for 30 s only")
    parser.add_argument("--only", default="", metavar="TEXT", help="systems whose name contains it (default: all)")
    add_record(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
