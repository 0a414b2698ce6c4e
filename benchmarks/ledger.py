"""Every record accounted for, over a clean stop and a kill: ``python -m benchmarks.ledger --help``."""

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, cast

from confluent_kafka import Message
from rich.table import Table

from benchmarks import report
from benchmarks.memory import memory_table, sample
from benchmarks.programs import BenchmarkError, Program
from benchmarks.rig import TOPIC, Document, Rig, console, notes, rig, watch
from tests.servers.process import ServerError
from velox.kafka.dead_letters import dead_letter_topic
from velox.kafka.lag import Extent, Observer
from velox.records import ID_HEADER, Headers, Partition

_GROUP = "ledger"
_LIMIT_S = 1200.0
_READ_S = 120.0
_MEMORY_EVERY_S = 0.5
_TRAINING = {"SAMPLES_PER_CLASS": "100", "EPOCHS": "3"}
"""Enough for tiny_cnn to tell the drawn shapes apart, in seconds."""


@dataclass(frozen=True, slots=True)
class Ledger:
    """What went in and what came out."""

    produced: int
    acknowledged: int
    """Ids in the topic; the producer ended well, so the broker acknowledged each."""
    stored: int
    """Documents."""
    missing: int
    """Acknowledged ids without a document."""
    strangers: int
    """Documents under an id that was never acknowledged."""
    duplicates: int
    """Documents beyond the first for the same record of the topic."""
    dead_letters: int
    detections: int
    files: int
    read_again: int
    """Records that were stored but not committed when the kill came: written twice, visible once."""

    @property
    def problems(self) -> list[str]:
        """Say what is not as it must be; nothing when all is."""
        expected = {
            "acknowledged": self.produced,
            "stored": self.acknowledged,
            "missing": 0,
            "strangers": 0,
            "duplicates": 0,
            "dead_letters": 0,
            "files": self.detections,
        }
        return [
            f"{name} is {getattr(self, name)}, not {value}"
            for name, value in expected.items()
            if getattr(self, name) != value
        ]


def account(
    produced: int, ids: Sequence[str], documents: Sequence[Document], *, dead_letters: int, files: int, read_again: int
) -> Ledger:  # fmt: skip
    """Balance the ids in the topic with the documents in the sink."""
    stored = [found["_id"] for found in documents]
    positions = {(found["partition"], found["offset"]) for found in documents}
    return Ledger(
        produced=produced,
        acknowledged=len(set(ids)),
        stored=len(stored),
        missing=len(set(ids) - set(stored)),
        strangers=len(set(stored) - set(ids)),
        duplicates=len(stored) - len(positions),
        dead_letters=dead_letters,
        detections=sum(found["is_detection"] for found in documents),
        files=files,
        read_again=read_again,
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Produce, consume with two restarts, balance the books; 1 when they do not balance."""
    args = _parser().parse_args(argv)
    where = report.circumstances()
    try:
        with rig({"DEVICE": "cpu", "STORE": "all", "MODEL_ARCH": args.arch, **_TRAINING}) as at:
            notes.print(f"Training a {args.arch}")
            at.train()
            notes.print(f"Producing {args.count} records")
            at.produce(args.count, source="shapes")
            observer = Observer(at.kafka.bootstrap, _GROUP)
            try:
                began = time.monotonic()
                series, read_again = _consume(at, observer, args.count)
                took_s = time.monotonic() - began
                ledger = _balance(at, observer, args.count, read_again)
                extents = observer.extents(TOPIC)
                committed = observer.committed(list(extents))
            finally:
                observer.close()
    except (BenchmarkError, ServerError) as error:
        notes.print(f"benchmark: {error}", style="red", markup=False)
        return 2
    console.print(f"\n{where.text()}", highlight=False)
    console.print(f"One consumer, {args.arch}, STORE=all; SIGTERM and SIGKILL on the way; {took_s:.0f} s in all")
    console.print(_ledger_table(ledger), _offsets_table(extents, committed))
    console.print(memory_table(series, title="Resident memory of each process while it lived"))
    problems = [*ledger.problems, *uncommitted(extents, committed)]
    rows = {f"{p.topic}-{p.number}": [committed.get(p, 0), extent.high] for p, extent in extents.items()}
    figures: dict[str, Any] = {"ledger": asdict(ledger), "committed_and_end": rows, "rss_mib": series, "took_s": took_s}
    path = report.save("ledger", where, figures)
    console.print(f"Figures in {path.relative_to(report.REPOSITORY)}", highlight=False)
    for problem in problems:
        notes.print(problem, style="red")
    console.print("The books do not balance" if problems else "The books balance")
    return 1 if problems else 0


def uncommitted(extents: dict[Partition, Extent], committed: dict[Partition, int]) -> list[str]:
    """Name the partitions whose committed offset is not their end; one without records needs none."""
    return [
        f"{p.topic}-{p.number}: committed {committed.get(p)}, end {extent.high}"
        for p, extent in extents.items()
        if extent.high and committed.get(p) != extent.high
    ]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.ledger",
        description="Sends images through one consumer on a real Kafka and a MongoDB-protocol server; stops it after "
        "a third (SIGTERM), kills it after two thirds (SIGKILL), and balances what was acknowledged with what is "
        "stored. Ends with 0 only when every id is there exactly once and everything is committed.",
    )
    parser.add_argument("--count", type=int, default=20_000, metavar="N", help="images (default: 20000)")
    parser.add_argument("--arch", default="tiny_cnn", help="architecture to train and run (default: tiny_cnn)")
    return parser


def _consume(at: Rig, observer: Observer, count: int) -> tuple[dict[str, list[float]], int]:
    """Run the consumer three times over a third each; answer its memory and what was read again after the kill."""
    series: dict[str, list[float]] = {}
    read_again = documents = 0
    for life, (until, end) in enumerate(
        ((count // 3, _terminate), (2 * count // 3, Program.kill), (count, _terminate)), start=1
    ):
        with at.consumer(_GROUP) as program:
            stored = watch(at.documents(_GROUP), until, program, title=f"life {life} of 3", limit_s=_LIMIT_S)
            memory = sample(program, stored, interval_s=_MEMORY_EVERY_S, already=documents)
            end(program)
        series |= {f"life {life}, {role}": values for role, values in memory.items()}
        documents = at.documents(_GROUP).count_documents({})
        behind = documents - sum(observer.committed(list(observer.extents(TOPIC))).values())
        read_again += behind
        notes.print(f"life {life} ended with {documents} stored, {behind} of them not committed")
    return series, read_again


def _terminate(program: Program) -> None:
    code = program.stop()
    if code:
        raise BenchmarkError(f"the consumer answered SIGTERM with exit code {code}; see {program.log}")


def _balance(at: Rig, observer: Observer, count: int, read_again: int) -> Ledger:
    ids = [message_id(message) for message in observer.read_all(TOPIC, within_s=_READ_S)]
    dead = observer.extents(dead_letter_topic(TOPIC)).values()
    return account(
        count,
        ids,
        list(at.documents(_GROUP).find()),
        dead_letters=sum(extent.high for extent in dead),
        files=at.files(_GROUP),
        read_again=read_again,
    )


def message_id(message: Message) -> str:
    """Read the id that the producer gave a message; empty when it gave none."""
    headers = cast("Headers", message.headers() or ())
    return next((value.decode() for name, value in headers if name == ID_HEADER and value), "")


def _ledger_table(ledger: Ledger) -> Table:
    table = Table("ledger", "records", title="Ledger")
    for name, value in asdict(ledger).items():
        table.add_row(name.replace("_", " "), f"{value:,}")
    return table


def _offsets_table(extents: dict[Partition, Extent], committed: dict[Partition, int]) -> Table:
    table = Table("partition", "committed", "end", title="Offsets")
    for partition, extent in sorted(extents.items()):
        table.add_row(f"{partition.topic}-{partition.number}", str(committed.get(partition)), str(extent.high))
    return table


if __name__ == "__main__":
    sys.exit(main())
