"""A gateway and its workers that are told everything by the names of another system, as real processes."""

import uuid
from pathlib import Path

import pytest

from tests.e2e.gateway import GatewayProgram
from tests.e2e.pipeline import REPOSITORY, Program, environment
from tests.servers.kafka import KafkaServer


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the one model of the sentiment service."""
    (tmp_path / "models.toml").write_text(f'[sentiment]\nenv_file = "{REPOSITORY}/pipelines/api-sentiment.env"\n')
    return tmp_path


def test_a_gateway_and_a_worker_understand_the_names_of_the_sentiment_service(folder: Path, kafka: KafkaServer) -> None:
    store = {"REQUESTS_URL": f"sqlite:///{folder}/requests.db"}
    told = {"GW_KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap, "GW_HOST": "127.0.0.1", "GW_LOG_LEVEL": "INFO"}
    gateway = GatewayProgram(folder, "", **store, **told)
    names = {
        "MLW_KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap,
        "MLW_KAFKA_CONSUMER_GROUP": f"group-{uuid.uuid4().hex[:8]}",
        "MLW_METRICS_PORT": 0,
        "MLW_MODEL_MAX_LENGTH": 512,
    }
    worker = Program("consumer", "--models", "all", folder=folder, env=environment(**store, **names))
    try:
        gateway.wait_until_ready()
        identity = gateway.predict("I love this product!").json()["request_id"]
        assert gateway.result(identity)["label"] == "POSITIVE", worker.output
        assert worker.stop() == 0, worker.output
        for program, old in ((gateway, told), (worker, names)):
            assert {name: program.output.count(f"{name} ") for name in old} == dict.fromkeys(old, 1)
    finally:
        gateway.end()
        worker.end()
