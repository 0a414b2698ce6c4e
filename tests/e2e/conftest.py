"""A pipeline for each test, and one small model trained for all of them."""

import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from tests.e2e.pipeline import REPOSITORY, Pipeline, with_results
from tests.servers.kafka import KafkaServer, TopicFactory
from tests.servers.mongo import MongoServer

MODEL_FILES = ("model.pth", "classes.json", "model.json", "model.onnx", "model.int8.onnx")
"""What a training writes."""
SMALL_MODEL = {"MODEL_ARCH": "tiny_cnn", "SAMPLES_PER_CLASS": "100", "EPOCHS": "6"}


@pytest.fixture(scope="session")
def small_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the model that `train.py` makes of the default shapes in a few seconds."""
    folder = tmp_path_factory.mktemp("small-model")
    env = {**os.environ, **SMALL_MODEL, "PYTHONPATH": str(REPOSITORY)}
    trained = subprocess.run(
        [sys.executable, str(REPOSITORY / "train.py")], cwd=folder, env=env, capture_output=True, text=True, check=False
    )
    assert trained.returncode == 0, trained.stdout + trained.stderr
    return folder


class PipelineFactory(Protocol):
    """Makes a pipeline; keyword arguments are settings."""

    def __call__(self, *, partitions: int = 6, **settings: object) -> Pipeline: ...


@pytest.fixture
def pipeline(
    tmp_path: Path, kafka: KafkaServer, mongo: MongoServer, topic: TopicFactory, database: str
) -> Iterator[PipelineFactory]:
    """Makes pipelines whose model answers with the payload's own text: quick, and fragile on demand."""
    made: list[Pipeline] = []

    def make(*, partitions: int = 6, **settings: object) -> Pipeline:
        name = topic(partitions)
        env = {
            "KAFKA_BOOTSTRAP_SERVER": kafka.bootstrap,
            "KAFKA_TOPIC": name,
            "KAFKA_CONSUMER_GROUP": f"group-{uuid.uuid4().hex[:8]}",
            "MONGO_URI": mongo.uri,
            "DB_NAME": database,
            "METRICS_PORT": "0",
            "STORE": "all",
            "INFERENCE_PROCESSES": "1",
            "CODEC": "raw",
            "MODEL": "tests.e2e.fragile:FragileModel",
            **{key: str(value) for key, value in settings.items()},
        }
        made.append(Pipeline(tmp_path, kafka.bootstrap, name, mongo.uri, database, with_results(env)))
        return made[-1]

    yield make
    for each in made:
        each.end()


@pytest.fixture
def shapes(pipeline: PipelineFactory, small_model: Path, tmp_path: Path) -> Pipeline:
    """A pipeline as users run it: framed JPEGs and the small trained model."""
    for name in MODEL_FILES:
        shutil.copy(small_model / name, tmp_path / name)
    return pipeline(CODEC="framed", MODEL="velox.models.image_classifier:ImageClassifier", MODEL_ARCH="tiny_cnn")
