"""One run of one design: from the start of its process until all its records are stored."""

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import psutil

from benchmarks.programs import BenchmarkError, Program
from benchmarks.rig import Rig, watch
from benchmarks.throughput.plan import Job
from benchmarks.throughput.variants import NAIVE

_LIMIT_S: Final = 600.0
_STEADY: Final = (0.1, 0.95)
"""The steady part of a run, as shares of its documents: all processes have joined in, and none has run out of work."""
_RUNS_IT: Final = re.compile(r"INFO - (.* runs the model.*)")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a job."""

    job: Job
    documents: int
    files: int
    start_s: float
    """From the start of the process to the first stored document."""
    per_s: float
    """Documents a second in the steady part."""
    cpu_ms: Mapping[str, float]
    """CPU milliseconds a document in that part: ``fetcher`` (the main process), ``inference`` (its inference processes
    together), and of the servers on the same cores ``broker`` and ``database``."""
    says: str
    """What its log says of the backend; empty when it says nothing."""
    labels: Mapping[object, str]
    """Top-1 label by partition and offset."""


@dataclass(frozen=True, slots=True)
class Mark:
    """Where a run was at one moment."""

    at_s: float
    documents: int
    cpu_s: Mapping[str, float]


def run(at: Rig, job: Job, settings: Mapping[str, str]) -> Outcome:
    """Start a job's design, let it store the job's records, and stop it.

    Raises:
        BenchmarkError: it ended by itself, stood still, or was too fast to be measured.
    """
    start = at.naive if job.design == NAIVE else at.consumer
    documents = at.documents(job.name)
    with start(job.name, settings={**settings, **job.design.settings}) as program:
        began = time.monotonic()
        start_s, marks = 0.0, list[Mark]()
        for found in watch(documents, job.count, program, title=job.name, limit_s=_LIMIT_S):
            if found and not start_s:
                start_s = time.monotonic() - began
            if len(marks) < len(_STEADY) and found >= _STEADY[len(marks)] * job.count:
                marks.append(Mark(time.monotonic(), found, _cpu_s(at, program)))
        program.stop()
        said = _RUNS_IT.search(program.log.read_text(errors="replace"))
    per_s, cpu_ms = steady(marks, job.name)
    outcome = Outcome(
        job=job,
        documents=documents.count_documents({}),
        files=at.files(job.name),
        start_s=start_s,
        per_s=per_s,
        cpu_ms=cpu_ms,
        says=said[1] if said else "",
        labels={(found["partition"], found["offset"]): found["predicted_label"] for found in documents.find()},
    )
    at.client.drop_database(job.name)
    return outcome


def steady(marks: Sequence[Mark], name: str) -> tuple[float, dict[str, float]]:
    """Answer documents a second, and CPU milliseconds a document by role, between two marks.

    Raises:
        BenchmarkError: there is nothing between them.
    """
    first, last = marks[0], marks[-1]
    stored = last.documents - first.documents
    if not stored:
        raise BenchmarkError(f"{name}: all {last.documents} documents came at once; measure more of them")
    used = {role: cpu_s - first.cpu_s.get(role, 0.0) for role, cpu_s in last.cpu_s.items()}
    return stored / (last.at_s - first.at_s), {role: 1000 * cpu_s / stored for role, cpu_s in used.items()}


def problems(outcomes: Sequence[Outcome]) -> list[str]:
    """Say which runs did not store what they should have: figures of those are worth nothing.

    Velox has to store each record once, as a document and as a file. The naive design is stopped before the end, maybe
    between a file and its document.
    """
    found: list[str] = []
    for outcome in outcomes:
        stored = f"{outcome.documents} documents, {outcome.files} files, {len(outcome.labels)} positions"
        if outcome.job.design == NAIVE:
            is_right = outcome.documents >= outcome.job.count and outcome.files - outcome.documents in {0, 1}
        else:
            is_right = {outcome.documents, outcome.files, len(outcome.labels)} == {outcome.job.count}
        if not is_right:
            found.append(f"{outcome.job.name}: {stored}; {outcome.job.count} were to be stored")
    return found


def _cpu_s(at: Rig, program: Program) -> dict[str, float]:
    used = {"fetcher": 0.0, "inference": 0.0}
    for name, cpu_s in program.cpu_s().items():
        used["fetcher" if name.startswith("main") else "inference"] += cpu_s
    for role, server in (("broker", at.kafka), ("database", at.mongo)):
        times = psutil.Process(server.pid).cpu_times()
        used[role] = times.user + times.system
    return used
