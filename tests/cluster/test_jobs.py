"""`ray job submit` to a cluster of two nodes: cameras, models and consumers on both, and an end without loss."""

import json
import shutil
import sqlite3
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.nodes import Nodes
from tests.e2e.pipeline import REPOSITORY, Pipeline, wait_until
from tests.servers.kafka import KafkaServer
from tests.servers.process import PATIENCE, free_port
from tests.small_model import install

CONFIG = """
classifier1: {num_cpus: 1, max_batch_size: 32, batch_wait_timeout_s: 0.005}
classifier2: {model: "tests.cluster.brightness:Brightness", num_cpus: 1, max_batch_size: 32}
"""
WAIT_S = 180.0 * PATIENCE


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Nodes]:
    made = Nodes(tmp_path)
    try:
        made.start()
        yield made
    finally:
        made.stop()
        shutil.rmtree(made.temporary, ignore_errors=True)


def counted(database: Path) -> Counter[tuple[str, str]]:
    """How many results there are of each topic and model."""
    if not database.exists():
        return Counter()
    with sqlite3.connect(database, timeout=30) as connection:
        try:
            found = connection.execute("SELECT topic, model, count(*) FROM predictions GROUP BY topic, model")
            return Counter({(topic, model): count for topic, model, count in found})
        except sqlite3.OperationalError:
            return Counter()


@pytest.mark.timeout(600)
def test_cameras_and_models_are_jobs_on_two_nodes(
    nodes: Nodes, kafka: KafkaServer, small_model: Path, tmp_path: Path
) -> None:
    hall = f"hall{uuid.uuid4().hex[:6]}"
    work = tmp_path / "work"
    work.mkdir()
    install(small_model, work)
    for name in ("service_deployment.py", "ray_producer.py"):
        shutil.copy(REPOSITORY / name, work)
    (work / "config.yaml").write_text(CONFIG)
    cameras = [f"{hall}_{number}" for number in range(1, 5)]
    (work / "cameras.yaml").write_text(
        json.dumps({"cameras": [{"id": name, "url": "synthetic:", "fps": 5} for name in cameras]})
    )
    group = f"group-{hall}"
    told = {
        "PYTHONPATH": str(REPOSITORY),
        "KAFKA_BOOTSTRAP_SERVER": kafka.bootstrap,
        "KAFKA_TOPIC": f"^{hall}_[0-9]+$",
        "KAFKA_CONSUMER_GROUP": group,
        "DEAD_LETTER_TOPIC": f"{hall}.dlq",
        "CODEC": "key",
        "BUCKET_URL": (tmp_path / "bucket").as_uri(),
        "SOURCE": "cameras",
        "SINKS": "sqlite",
        "SQLITE_PATH": str(tmp_path / "frames.db"),
        "STORE": "all",
        "MODEL_ARCH": "tiny_cnn",
        "METRICS_PORT": "0",
        "CAMERAS_PORT": "0",
        "AUTO_OFFSET_RESET": "earliest",
    }
    environment = ("--working-dir", str(work), "--runtime-env-json", json.dumps({"env_vars": told}), "--no-wait")

    def submit(name: str, *command: str) -> None:
        nodes.job("submit", "--submission-id", f"{hall}-{name}", *environment, "--", "python", *command, folder=work)

    def status(name: str) -> str:
        return nodes.job("status", f"{hall}-{name}", folder=work)

    def logs(name: str) -> str:
        return nodes.job("logs", f"{hall}-{name}", folder=work)[-4000:]

    submit("cameras", "ray_producer.py", "--producers", "2")
    submit("models", "service_deployment.py", "--consumers", "2", "--port", f"{free_port()}")
    database = tmp_path / "frames.db"
    wanted = {(camera, model) for camera in cameras for model in ("classifier1", "classifier2")}

    def all_are_seen() -> bool:
        assert "failed" not in status("models").lower(), logs("models")
        assert "failed" not in status("cameras").lower(), logs("cameras")
        found = counted(database)
        return all(found[each] >= 10 for each in wanted)

    wait_until(all_are_seen, what=lambda: f"{counted(database)}\n{logs('cameras')}\n{logs('models')}", timeout_s=WAIT_S)
    assert len(replicas_by_node(nodes)) == 2, "one core each: there is no room for both models on one of them"
    nodes.job("stop", f"{hall}-cameras", folder=work)
    one = Pipeline(tmp_path, kafka.bootstrap, f"{hall}_1", "", "", {"KAFKA_CONSUMER_GROUP": group})
    wait_until(lambda: one.uncommitted() == 0, what=lambda: f"all committed:\n{logs('models')}", timeout_s=WAIT_S)
    nodes.job("stop", f"{hall}-models", folder=work)
    found = counted(database)
    for topic in cameras:
        read = len(one.records(topic))
        assert found[topic, "classifier1"] == found[topic, "classifier2"] == read, "each frame, by each model, once"
    assert f"{hall}.dlq" not in one.topics() or one.records(f"{hall}.dlq") == []


def replicas_by_node(nodes: Nodes) -> set[int]:
    """The raylets that have a replica of a model among their processes."""
    found = set()
    for process in nodes.children():
        if " ".join(process.cmdline()).startswith("ray::ServeReplica:velox:classifier"):
            found.add(process.parents()[0].pid)
    return found
