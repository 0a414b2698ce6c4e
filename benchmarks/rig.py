"""What benchmarks run against: a real Kafka, a MongoDB-protocol server, a model and a topic full of images."""

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pymongo import MongoClient
from pymongo.collection import Collection
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.programs import BenchmarkError, Program
from benchmarks.report import REPOSITORY
from tests.servers.kafka import KafkaServer
from tests.servers.mongo import MongoServer

Document = dict[str, Any]
TOPIC = "image_data"
COLLECTION = "shapes_found"
_PRODUCE_S = 600.0
_HEAP_MIB = 4096
"""Room for two million documents: a server that runs out of memory would be measured instead of Velox."""
_MODEL_FILES = ("model.pth", "classes.json", "model.json", "model.onnx", "model.int8.onnx")
_POLL_S = 0.05

_WIDTH = None if sys.stdout.isatty() else 120
console = Console(width=_WIDTH)
notes = Console(stderr=True, width=_WIDTH)


@dataclass(slots=True)
class Rig:
    """Running servers and a folder with a model; every run of a consumer gets a group and a database of its own."""

    kafka: KafkaServer
    mongo: MongoServer
    folder: Path
    client: MongoClient[Document]
    settings: dict[str, str] = field(default_factory=dict)
    """For every program started here, on top of the addresses."""

    def produce(self, count: int, *, source: str, settings: Mapping[str, str] | None = None) -> None:
        """Fill the topic with the real producer, which ends well only when every record was acknowledged."""
        command = [str(REPOSITORY / "producer.py"), "--count", str(count), "--rate", "0", "--source", source]
        with self.start(command, "producer", "producer", settings) as producer:
            producer.finish(_PRODUCE_S)

    def producer(self, count: int, *, rate: float) -> Program:
        """Start the real producer at a steady rate."""
        command = [str(REPOSITORY / "producer.py"), "--count", str(count), "--rate", str(rate), "--source", "shapes"]
        return self.start(command, "producer", "steady")

    def consumer(self, name: str, *, settings: Mapping[str, str] | None = None) -> Program:
        """Start Velox's consumer; the same ``name`` again goes on where it was left."""
        return self.start([str(REPOSITORY / "consumer.py")], "velox", name, settings)

    def naive(self, name: str, *, settings: Mapping[str, str] | None = None) -> Program:
        """Start the naive design."""
        return self.start(["-m", "benchmarks.naive"], "naive", name, settings)

    def documents(self, name: str) -> Collection[Document]:
        """What a run has stored."""
        return self.client[name][COLLECTION]

    def files(self, name: str) -> int:
        """Count the images a run has stored."""
        return sum(1 for _ in (self.folder / name).glob("hit_*.jpg"))

    def start(
        self,
        command: list[str],
        kind: str,
        name: str,
        settings: Mapping[str, str] | None = None,
        *,
        python: str = sys.executable,
    ) -> Program:
        """Start any program; by default it speaks of a group, a database and a folder with its ``name``."""
        own = {
            "KAFKA_BOOTSTRAP_SERVER": self.kafka.bootstrap,
            "KAFKA_TOPIC": TOPIC,
            "KAFKA_CONSUMER_GROUP": name,
            "MONGO_URI": self.mongo.uri,
            "DB_NAME": name,
            "STORAGE_PATH": str(self.folder / name),
            "METRICS_PORT": "0",
        }
        log = self.folder / f"{kind}-{name}.log"
        given = {**own, **self.settings, **(settings or {})}
        return Program(command, folder=self.folder, settings=given, log=log, python=python)


@contextmanager
def rig(settings: Mapping[str, str]) -> Iterator[Rig]:
    """Start the servers, and stop them and remove everything at the end."""
    notes.print("Starting Kafka and a MongoDB-protocol server (the first time they are downloaded)")
    with (
        KafkaServer() as kafka,
        MongoServer(heap_mib=_HEAP_MIB) as mongo,
        tempfile.TemporaryDirectory(prefix="velox-bench-") as folder,
    ):
        client: MongoClient[Document]
        with MongoClient(mongo.uri) as client:
            yield Rig(kafka, mongo, Path(folder), client, dict(settings))


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """Let the user choose what `provide_model` provides."""
    parser.add_argument(
        "--model", type=Path, default=Path("model.pth"), metavar="PATH", help="weights, with classes.json beside them"
    )


def provide_model(at: Rig, model: Path) -> str:
    """Copy the model's files to where programs look for them; return what to call it.

    Raises:
        BenchmarkError: there is none.
    """
    if not model.exists():
        raise BenchmarkError(f"{model} does not exist: train a model (make train), or name another with --model PATH")
    for name in _MODEL_FILES:
        source = model if name == "model.pth" else model.with_name(name)
        if source.exists():
            shutil.copy(source, at.folder / name)
    return f"the model {model.name}"


def watch(
    documents: Collection[Document], count: int, program: Program, *, title: str, limit_s: float
) -> Iterator[int]:
    """Yield how many documents there are, as often as is cheap, until there are ``count``.

    Raises:
        BenchmarkError: the program ended, or ``limit_s`` passed without all of them.
    """
    began = time.monotonic()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=notes, transient=True, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task(title, total=count)
        while True:
            found = documents.estimated_document_count()
            progress.update(task, completed=found)
            yield found
            if found >= count:
                return
            program.check()
            if time.monotonic() - began > limit_s:
                raise BenchmarkError(f"{title}: {found} of {count} documents after {limit_s:g} s; see {program.log}")
            time.sleep(_POLL_S)
