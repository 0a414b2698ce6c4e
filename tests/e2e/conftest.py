"""A pipeline for each test."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import pytest

from tests.e2e.models import Models
from tests.e2e.pipeline import Pipeline, with_results
from tests.servers.kafka import KafkaServer, TopicFactory
from tests.servers.mongo import MongoServer
from tests.small_model import install


class PipelineFactory(Protocol):
    """Makes a pipeline; keyword arguments are settings."""

    def __call__(self, *, partitions: int = 6, **settings: object) -> Pipeline: ...


@contextmanager
def pipelines(folder: Path, kafka: KafkaServer, mongo: MongoServer, *, database: str) -> Iterator[PipelineFactory]:
    """A factory of pipelines, each with a topic of its own; at the end, nothing of them runs any more."""
    made: list[Pipeline] = []

    def make(*, partitions: int = 6, **settings: object) -> Pipeline:
        name = f"topic-{uuid.uuid4().hex[:12]}"
        kafka.create_topic(name, partitions=partitions)
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
        made.append(Pipeline(folder, kafka.bootstrap, name, mongo.uri, database, with_results(env)))
        return made[-1]

    yield make
    for each in made:
        each.end()


@pytest.fixture
def pipeline(tmp_path: Path, kafka: KafkaServer, mongo: MongoServer, database: str) -> Iterator[PipelineFactory]:
    """Makes pipelines whose model answers with the payload's own text: quick, and fragile on demand."""
    with pipelines(tmp_path, kafka, mongo, database=database) as make:
        yield make


@pytest.fixture
def shapes(pipeline: PipelineFactory, small_model: Path, tmp_path: Path) -> Pipeline:
    """A pipeline as users run it: framed JPEGs and the small trained model."""
    install(small_model, tmp_path)
    return pipeline(CODEC="framed", MODEL="velox.models.image_classifier:ImageClassifier", MODEL_ARCH="tiny_cnn")


@pytest.fixture
def models(tmp_path: Path, kafka: KafkaServer, topic: TopicFactory) -> Iterator[Models]:
    made = Models(tmp_path, kafka.bootstrap, topic)
    yield made
    for program in made.programs:
        program.end()
