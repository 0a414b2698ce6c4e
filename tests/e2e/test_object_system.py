"""The fourth system whole: from a folder of photographs to rows, by its own commands."""

import os
import shutil
import sqlite3
import subprocess
import sys
import uuid
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.e2e.conftest import PipelineFactory
from tests.e2e.pipeline import wait_until
from tests.photographs import SAMPLES, sample
from tests.servers.postgres import PostgresServer
from tests.servers.s3 import S3Server
from tests.small_model import install
from velox.settings import Settings
from velox.sources.shapes import ShapesSource

REPOSITORY = Path(__file__).parents[2]
FILE = str(REPOSITORY / "pipelines/objects.env")


def run(folder: Path, *words: str, **settings: str) -> str:
    """Run a command to its good end; answer what it says."""
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(REPOSITORY), "INFERENCE_PROCESSES": "1", **settings}
    ran = subprocess.run(
        [sys.executable, "-m", "velox", *words],
        cwd=folder, env=env, text=True, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout
    return ran.stdout


@pytest.mark.timeout(300)
def test_two_commands_bring_photographs_into_a_folder_and_their_names_into_a_file(tmp_path: Path) -> None:
    """With the weights that come with a package: those of squeezenet1_1 have to be downloaded."""
    (tmp_path / "photos" / "pets").mkdir(parents=True)
    for name in SAMPLES:
        shutil.copy(sample(name), tmp_path / "photos" / "pets" / name)
    assert "Uploaded 3 objects" in run(tmp_path, "upload", "photos", "--env-file", FILE)
    assert len(list((tmp_path / "bucket/pets").iterdir())) == 3
    said = run(tmp_path, "up", "--env-file", FILE, MODEL_ARCH="mobilenet_v2")
    assert "Produced 3 = predicted 3 + dead letters 0" in said
    with closing(sqlite3.connect(tmp_path / "objects.db")) as connection:
        rows = connection.execute("SELECT image_key, category, confidence, hostname, time FROM prediction_results")
        found = {key: (category, confidence, host) for key, category, confidence, host, time in rows if time}
        assert len(connection.execute("select image_key from image_info").fetchall()) == 3
    assert set(found) == {f"pets/{name}" for name in SAMPLES}
    assert all(found[f"pets/{name}"][0] in right for name, right in SAMPLES.items()), found
    assert all(0 < confidence <= 1 and host for _, confidence, host in found.values())

    assert "3 were there already" in run(tmp_path, "upload", "photos", "--env-file", FILE)
    again = run(tmp_path, "up", "--env-file", FILE, MODEL_ARCH="mobilenet_v2")
    assert "Produced 0 = predicted 0 + dead letters 0" in again, "nothing is new"


def test_keys_go_through_three_partitions_and_three_consumers_to_rows_that_name_their_objects(
    pipeline: PipelineFactory, s3: S3Server, postgres: PostgresServer, small_model: Path, tmp_path: Path
) -> None:
    install(small_model, tmp_path)
    shown: dict[str, str] = {}
    for number, item in zip(range(120), ShapesSource(Settings(), ""), strict=False):
        path = tmp_path / "pictures" / f"warehouse/{number:04}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(item.payload)
        shown[f"warehouse/{number:04}.jpg"] = f"{item.metadata['color_label']}_{item.metadata['shape_label']}"
    bucket = f"imagenet-{uuid.uuid4().hex[:8]}"
    s3.make_bucket(bucket)
    database = f"db_{uuid.uuid4().hex[:12]}"
    postgres.execute("postgres", f"CREATE DATABASE {database}")
    url = postgres.url(database)
    told = {**s3.environment(bucket), "KEYS_URL": url, "POSTGRES_DSN": url, "SINKS": "postgres", "STORE": "all"}
    model = {"MODEL": "velox.models.image_classifier:ImageClassifier", "MODEL_ARCH": "tiny_cnn"}
    settings: dict[str, Any] = {**told, **model}
    one = pipeline(partitions=3, CODEC="key", **settings)

    run(tmp_path, "upload", "pictures", **told)
    consumers = [one.consume() for _ in range(3)]
    for consumer in consumers:
        consumer.wait_until_ready()
    wait_until(lambda: all(consumer.metric("velox_assigned_partitions") == 1 for consumer in consumers), what="shared")
    producer = one.produce("--source", "keys")
    assert producer.process.wait(60) == 0, producer.output

    def rows() -> list[tuple[str, str, int]]:
        with closing(psycopg.connect(url)) as connection:
            query = "SELECT image_key, category, partition FROM prediction_results"
            return connection.execute(query).fetchall()

    wait_until(lambda: len(rows()) >= 120, what=lambda: f"120 rows, there are {len(rows())}:\n{consumers[0].output}")
    wait_until(lambda: one.uncommitted() == 0, what="all committed")
    assert {key: category for key, category, _ in rows()} == shown
    assert len(rows()) == 120
    assert set(Counter(partition for *_, partition in rows())) == {0, 1, 2}
    assert sum(consumer.metric("velox_object_bytes_total") > 0 for consumer in consumers) == 3, "each has downloaded"
    assert [consumer.stop() for consumer in consumers] == [0, 0, 0]
