"""Objects from S3, alone and with a model behind them: Velox beside boto3, at several distances from the bucket."""

import argparse
import json
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import psycopg
import torch
from confluent_kafka import Producer
from torchvision.models import squeezenet1_1

from benchmarks import photos, report
from benchmarks.peers.ending import add_record, end
from benchmarks.peers.installed import versions
from benchmarks.peers.kill_systems import PEERS_PYTHON
from benchmarks.peers.object_outcomes import Row, section
from benchmarks.peers.window import Window
from benchmarks.programs import BenchmarkError, Program
from benchmarks.rig import notes
from tests.servers.kafka import KafkaServer
from tests.servers.postgres import PostgresServer
from tests.servers.process import ServerError
from tests.servers.s3 import S3Server
from tests.servers.toxiproxy import ToxiproxyServer

DELAYS_MS: Final = (0, 5, 20)
THREADS: Final = 16
"""As DOWNLOADS is by default."""
ONE: Final = "boto3, one at a time"
POOL: Final = f"boto3, {THREADS} threads"
VELOX: Final = "Velox"
_PHOTOS: Final = 100
_TOPIC: Final = "img_loc"
_KEYS: Final = 200_000
_WAIT_S: Final = 120.0
_POLL_S: Final = 0.1
_MODEL: Final = {
    "MODEL": "velox.models.imagenet:ImageNetClassifier",
    "MODEL_ARCH": "squeezenet1_1",
    "MODEL_PATH": "squeezenet.pth",
    "CLASSES_PATH": "squeezenet.json",
}


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured."""

    rounds: int
    lasts_s: float


PLAN: Final = Plan(rounds=2, lasts_s=6)
QUICK: Final = Plan(rounds=1, lasts_s=2)


@dataclass(frozen=True, slots=True)
class Site:
    """Servers, objects, keys and a model, ready to be measured."""

    folder: Path
    kafka: KafkaServer
    postgres: PostgresServer
    keys: tuple[str, ...]
    links: Mapping[int, Mapping[str, str]]
    """What clients are told of the bucket, by the delay on the way to it."""


@contextmanager
def site() -> Iterator[Site]:
    """Start everything, fill bucket and topic, and write the model's files."""
    notes.print("Starting Kafka, PostgreSQL, S3 and the slow links; drawing photographs")
    with (
        KafkaServer() as kafka,
        PostgresServer(durable=True) as postgres,
        S3Server() as s3,
        ToxiproxyServer() as toxiproxy,
        tempfile.TemporaryDirectory(prefix="velox-bench-") as name,
    ):
        folder = Path(name)
        bucket = s3.make_bucket("imagenet-files")
        photos.write(bucket, count=_PHOTOS)
        keys = tuple(sorted(path.relative_to(bucket).as_posix() for path in bucket.rglob("*.jpg")))
        kafka.create_topic(_TOPIC, partitions=3)
        producer = Producer({"bootstrap.servers": kafka.bootstrap, "queue.buffering.max.messages": _KEYS})
        for number in range(_KEYS):
            producer.produce(_TOPIC, keys[number % len(keys)].encode())
        producer.flush()
        torch.manual_seed(0)
        torch.save(squeezenet1_1(num_classes=1000).state_dict(), folder / "squeezenet.pth")
        notes.print("Exporting SqueezeNet 1.1, with random weights")
        with Program(["-m", "velox", "train"], folder=folder, settings=_MODEL, log=folder / "train.log") as train:
            train.finish(_WAIT_S)
        ports = {delay: toxiproxy.link(s3.port, delay_ms=delay) for delay in DELAYS_MS}
        links = {delay: s3.environment("imagenet-files", port=port) for delay, port in ports.items()}
        yield Site(folder, kafka, postgres, keys, links)


def downloads(at: Site, delay_ms: int, plan: Plan) -> Iterator[tuple[str, Window]]:
    """Download alone, by each in turn."""
    systems = {
        ONE: (str(PEERS_PYTHON), "boto3", "1"),
        POOL: (str(PEERS_PYTHON), "boto3", str(THREADS)),
        f"{VELOX}'s bucket, {THREADS} threads": (sys.executable, "velox", str(THREADS)),
    }
    told = {**at.links[delay_ms], "CODEC": "key", "KEYS": json.dumps(at.keys), "AWS_DEFAULT_REGION": "us-east-1"}
    for name, (python, *words) in systems.items():
        log = at.folder / f"{uuid.uuid4().hex}.log"
        command = ["-m", "benchmarks.peers.object_download", *words, f"{plan.lasts_s}"]
        with Program(command, folder=at.folder, settings=told, log=log, python=python) as program:
            program.finish(_WAIT_S)
        found = json.loads(log.read_text().splitlines()[-1])
        yield name, Window(count=found["objects"], lasted_s=found["lasted_s"], cpu_s=found["cpu_s"])


def predictions(at: Site, delay_ms: int, plan: Plan) -> Iterator[tuple[str, Window]]:
    """Go from keys in Kafka to rows in PostgreSQL, by each in turn."""
    systems = {ONE: (str(PEERS_PYTHON), ["-m", "benchmarks.peers.with_boto3"])}
    systems[VELOX] = (sys.executable, [str(report.REPOSITORY / "consumer.py")])
    for name, (python, command) in systems.items():
        database = f"db_{uuid.uuid4().hex[:12]}"
        at.postgres.execute("postgres", f"CREATE DATABASE {database}")
        told = {
            **at.links[delay_ms],
            **_MODEL,
            "AWS_DEFAULT_REGION": "us-east-1",
            "KAFKA_BOOTSTRAP_SERVER": at.kafka.bootstrap,
            "KAFKA_TOPIC": _TOPIC,
            "KAFKA_CONSUMER_GROUP": database,
            "CODEC": "key",
            "POSTGRES_DSN": at.postgres.url(database),
            "SINKS": "postgres",
            "STORE": "all",
            "METRICS_PORT": "0",
        }
        log = at.folder / f"{database}.log"
        with Program(command, folder=at.folder, settings=told, log=log, python=python) as program:
            yield name, _look(at.postgres.url(database), program, plan.lasts_s)


def _look(url: str, program: Program, lasts_s: float) -> Window:
    """Count rows for a time, from a second after the first ones."""
    until = time.monotonic() + _WAIT_S
    while not _rows(url):
        program.check()
        if time.monotonic() > until:
            raise BenchmarkError(f"no row after {_WAIT_S:g} s; see {program.log}")
        time.sleep(_POLL_S)
    time.sleep(1)
    first, began, used_s = _rows(url), time.monotonic(), program.tree_cpu_s()
    time.sleep(lasts_s)
    rows, lasted_s, used_s = _rows(url), time.monotonic() - began, program.tree_cpu_s() - used_s
    program.check()
    return Window(count=rows - first, lasted_s=lasted_s, cpu_s=used_s)


def _rows(url: str) -> int:
    with psycopg.connect(url) as connection:
        if not (connection.execute("SELECT to_regclass('prediction_results')").fetchone() or (None,))[0]:
            return 0
        ((count,),) = connection.execute("SELECT count(*) FROM prediction_results").fetchall()
    return int(count)


_PARTS: Final = {"download": downloads, "key to row": predictions}


def main(argv: Sequence[str] | None = None) -> int:
    """Measure all, print the table; 2 when something could not run."""
    args = _parser().parse_args(argv)
    plan = QUICK if args.quick else PLAN
    where = report.circumstances()
    taken: dict[tuple[str, int, str], list[Window]] = {}
    try:
        with site() as at:
            for number in range(1, plan.rounds + 1):
                for what, measure in _PARTS.items():
                    for delay_ms in DELAYS_MS:
                        for name, window in measure(at, delay_ms, plan):
                            taken.setdefault((what, delay_ms, name), []).append(window)
                            notes.print(f"round {number}, {what}, {delay_ms} ms, {name}: {window.per_s:.1f}/s")
    except (BenchmarkError, ServerError) as error:
        notes.print(f"benchmark: {error}", style="red", markup=False)
        return 2
    rows = [Row(what=what, delay_ms=delay, system=name, windows=found) for (what, delay, name), found in taken.items()]
    boto3 = versions(str(PEERS_PYTHON)).get("boto3", "?")
    introduction = (
        f"{where.text()}\n\n{plan.rounds} rounds of {plan.lasts_s:g} s each, objects of about 116 KB. The server, "
        "versitygw 1.8, runs on the same cores, and costs about as much as a download does; the delay is added on the "
        f"way back from it. boto3 {boto3}. `key to row`: keys from Kafka, the image from S3, SqueezeNet 1.1 with "
        "random weights, on which speed does not depend, a committed row in PostgreSQL (durable); one at a time on "
        "torch, as users had it, and Velox with its defaults."
    )
    text = section(introduction, rows, base=ONE)
    figures = {"introduction": introduction, "rows": [asdict(row) for row in rows]}
    end("objects", where, figures, text, recorded=args.record)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers.objects", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round of 2 s each")
    add_record(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
