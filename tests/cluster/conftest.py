"""A real Ray on this machine, with the programs that users run; all of it in the environment that Ray has to itself."""

import json
import signal
import sqlite3
import subprocess
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.e2e.pipeline import REPOSITORY, Pipeline, environment, wait_until
from tests.servers.kafka import KafkaServer
from tests.servers.process import PATIENCE, free_port
from tests.small_model import install
from velox.sources.drawing import draw
from velox.sources.jpeg import encode

PYTHON = REPOSITORY / ".venv-ray" / "bin" / "python"
START_S = 120.0 * PATIENCE
CONFIG = """
classifier1: {num_cpus: 0.5, max_batch_size: 32, batch_wait_timeout_s: 0.005}
classifier2: {model: "tests.cluster.brightness:Brightness", num_cpus: 0.5, max_batch_size: 32}
"""
RED, GREEN, BLACK = (0, 0, 255), (0, 255, 0), (0, 0, 0)


def picture(number: int, *, background: int = 128) -> bytes:
    """A red circle or a green square."""
    color, shape = ((RED, "circle"), (GREEN, "square"))[number % 2]
    image = draw(shape, color=color, height=360, width=640, center=(320, 180), size=100, background=background)
    return encode(image)


@dataclass
class Cluster:
    """`service_deployment.py` as it runs, and what belongs to it."""

    folder: Path
    pipeline: Pipeline
    port: int
    process: subprocess.Popen[bytes]

    @property
    def output(self) -> str:
        return (self.folder / "cluster.log").read_text(errors="replace")

    @property
    def database(self) -> Path:
        return self.folder / "frames.db"

    def put(self, keys: Mapping[str, bytes]) -> None:
        """Write frames into the bucket."""
        for key, payload in keys.items():
            path = self.folder / "bucket" / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(payload)

    def publish(self, *keys: str) -> None:
        self.pipeline.publish(*(key.encode() for key in keys))

    def rows(self, what: str = "*") -> list[sqlite3.Row]:
        """What is stored."""
        if not self.database.exists():
            return []
        with sqlite3.connect(self.database, timeout=30) as connection:
            connection.row_factory = sqlite3.Row
            try:
                return list(connection.execute(f"SELECT {what} FROM predictions"))  # noqa: S608 - a test's own
            except sqlite3.OperationalError:
                return []

    def wait_for_rows(self, count: int) -> None:
        wait_until(
            lambda: len(self.rows("id")) >= count,
            what=lambda: f"{count} rows, there are {len(self.rows('id'))}:\n{self.output}",
            timeout_s=START_S,
        )

    def reasons(self) -> dict[str, str]:
        """The dead letters, by value, with their reasons."""
        letters = self.pipeline.dead_letters()
        return {(letter.value() or b"").decode(): why["velox-dlq-reason"] for letter, why in letters}

    def ask(self, body: bytes, *, method: str = "POST", path: str = "/inference") -> tuple[int, dict[str, Any]]:
        """Ask over HTTP as any client would."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data=body, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - our own address
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

    def replicas(self, deployment: str) -> list[psutil.Process]:
        """The processes that run a deployment."""
        title = f"ray::ServeReplica:velox:{deployment}"  # and what it is doing
        each = psutil.Process(self.process.pid).children(recursive=True)
        return [child for child in each if _title(child).startswith(title)]

    def consumers(self) -> list[psutil.Process]:
        """The processes of the consumer actors."""
        each = psutil.Process(self.process.pid).children(recursive=True)
        return [child for child in each if _title(child).startswith("ray::ConsumerActor")]

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(START_S)


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def start(folder: Path, kafka: KafkaServer, *arguments: str, config: str = CONFIG, **settings: object) -> Cluster:
    """Start the cluster; it is up once ``wait_until_up`` returns."""
    (folder / "bucket").mkdir(exist_ok=True)
    (folder / "config.yaml").write_text(config)
    name = f"camera_{uuid.uuid4().hex[:12]}"
    kafka.create_topic(name, partitions=2)
    told = {
        "KAFKA_BOOTSTRAP_SERVER": kafka.bootstrap,
        "KAFKA_TOPIC": name,
        "KAFKA_CONSUMER_GROUP": f"group-{uuid.uuid4().hex[:8]}",
        "CODEC": "key",
        "BUCKET_URL": (folder / "bucket").as_uri(),
        "SINKS": "sqlite",
        "SQLITE_PATH": str(folder / "frames.db"),
        "STORE": "all",
        "MODEL_ARCH": "tiny_cnn",
        "METRICS_PORT": "0",
        **{key: str(value) for key, value in settings.items()},
    }
    pipeline = Pipeline(folder, kafka.bootstrap, name, "", "", told)
    port = free_port()
    command = [str(PYTHON), str(REPOSITORY / "service_deployment.py"), "--port", str(port), *arguments]
    with (folder / "cluster.log").open("wb") as log:
        # A session of its own, as under a service manager: what is sent to it is not sent to its children.
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment(RAY_ADDRESS="local", **told),
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    return Cluster(folder, pipeline, port, process)


def wait_until_up(cluster: Cluster) -> None:
    def is_up() -> bool:
        assert cluster.process.poll() is None, cluster.output
        return "Deployed classifier1" in cluster.output

    wait_until(is_up, what=lambda: f"deployed:\n{cluster.output}", timeout_s=3 * START_S)


def end(cluster: Cluster) -> None:
    """Leave nothing behind, whatever became of the test."""
    if cluster.process.poll() is None:
        family = psutil.Process(cluster.process.pid).children(recursive=True)
        cluster.process.send_signal(signal.SIGTERM)
        try:
            cluster.process.wait(60)
        except subprocess.TimeoutExpired:
            cluster.process.kill()
            cluster.process.wait()
        for each in family:
            if each.is_running():
                each.kill()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, kafka: KafkaServer, small_model: Path) -> Iterator[Cluster]:
    """One cluster for all tests of a module, as it takes half a minute to start."""
    folder = tmp_path_factory.mktemp("cluster")
    install(small_model, folder)
    made = start(folder, kafka, "--consumers", "1", INFERENCE_TIMEOUT_S=5)
    try:
        wait_until_up(made)
        yield made
    finally:
        end(made)


def eventually(holds: Callable[[], object], cluster: Cluster, what: str) -> None:
    wait_until(holds, what=lambda: f"{what}:\n{cluster.output}", timeout_s=START_S)
