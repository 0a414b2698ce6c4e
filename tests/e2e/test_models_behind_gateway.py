"""The gateway and a consumer of several models, over real Kafka and one database: models come, change and fail."""

import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.gateway import GatewayProgram
from tests.e2e.pipeline import QUICK_SESSION, Program, wait_until
from tests.servers.kafka import KafkaServer, TopicFactory

LEXICON = "velox.models.lexicon_sentiment:LexiconSentiment"


class Api:
    """A gateway and its models in one folder."""

    def __init__(self, folder: Path, bootstrap: str, topic: TopicFactory) -> None:
        self.folder = folder
        self._topic = topic
        self._topics: dict[str, str] = {}
        self._bootstrap = bootstrap
        self._programs: list[Program] = []

    def model(self, name: str, **settings: str) -> None:
        """Write a model's pipeline file; its topic stays the same when it is written again."""
        topic = self._topics.setdefault(name, self._topics.get(name) or self._topic(3))
        told = {
            "KAFKA_TOPIC": topic,
            "KAFKA_CONSUMER_GROUP": f"group-{topic}",
            "CODEC": "json",
            "JSON_ID_FIELD": "request_id",
            "MODEL": LEXICON,
            "SINKS": "requests",
            "TARGET_LABELS": "[]",
            "INFERENCE_PROCESSES": "1",
            "PIPELINE": name,
            **settings,
        }
        (self.folder / f"{name}.env").write_text("".join(f"{key}={value}\n" for key, value in told.items()))

    def catalogue(self, *names: str) -> None:
        text = "".join(f'[{name}]\nenv_file = "{name}.env"\n' for name in names)
        (self.folder / "models.toml").write_text(text)

    def start(self) -> GatewayProgram:
        gateway = GatewayProgram(self.folder, self._bootstrap)
        self._programs.append(gateway)
        env = {**gateway.env, **QUICK_SESSION, "METRICS_PORT": "0"}
        self._programs.append(Program("consumer", "--models", "all", folder=self.folder, env=env))
        gateway.wait_until_ready()
        return gateway

    @property
    def worker(self) -> Program:
        return self._programs[1]

    def end(self) -> None:
        for program in self._programs:
            program.end()


@pytest.fixture
def api(tmp_path: Path, kafka: KafkaServer, topic: TopicFactory) -> Iterator[Api]:
    made = Api(tmp_path, kafka.bootstrap, topic)
    yield made
    made.end()


def told(gateway: GatewayProgram, name: str) -> dict[str, Any]:
    models = gateway.http.get("/v1/models").json()["models"]
    return next((each for each in models if each["name"] == name), {})


def wait_for_state(api: Api, gateway: GatewayProgram, name: str, state: str) -> dict[str, Any]:
    wait_until(
        lambda: told(gateway, name).get("state") == state,
        what=lambda: f"{name} {state}: {told(gateway, name)}\n{api.worker.output}",
    )
    return told(gateway, name)


def test_a_model_changes_while_requests_come_and_each_is_answered_once(api: Api) -> None:
    api.model("sentiment")
    api.catalogue("sentiment")
    gateway = api.start()
    wait_for_state(api, gateway, "sentiment", "ready")
    asked: dict[str, str] = {}
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            for text, label in (("I love it!", "POSITIVE"), ("It is horrible.", "NEGATIVE")):
                identity = f"r-{uuid.uuid4().hex}"
                assert gateway.predict(text, request_id=identity).status_code == 202
                asked[identity] = label

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        api.model("sentiment", BATCH_SIZE="3")
        api.worker.wait_until_it_says("Model sentiment: the new one is ready, the old one drains")
    finally:
        stop.set()
        asking.join()
    assert len(asked) > 10
    assert {identity: gateway.result(identity)["label"] for identity in asked} == asked
    assert api.worker.stop() == 0, api.worker.output


def test_a_model_that_cannot_be_loaded_takes_no_requests_and_says_why_and_another_answers(api: Api) -> None:
    api.model("sentiment")
    api.model("broken", MODEL="velox.models.text_classifier:TextClassifier", MODEL_PATH="/no/such/folder")
    api.catalogue("sentiment", "broken")
    gateway = api.start()
    wait_for_state(api, gateway, "sentiment", "ready")
    assert "/no/such/folder" in wait_for_state(api, gateway, "broken", "failing")["cause"]
    refused = gateway.http.post("/v1/requests", json={"model": "broken", "text": "I love it!"})
    assert refused.status_code == 503, refused.text
    assert refused.headers["Retry-After"]
    identity = gateway.predict("I love it!").json()["request_id"]
    assert gateway.result(identity)["label"] == "POSITIVE"
    api.model("late")
    api.catalogue("sentiment", "late")
    wait_for_state(api, gateway, "late", "ready")
    accepted = gateway.http.post("/v1/requests", json={"model": "late", "text": "It is horrible."})
    assert accepted.status_code == 202, accepted.text
    answer = gateway.http.get(f"{accepted.headers['Location']}?wait=30s").json()
    assert answer["state"] == "completed", answer
    assert told(gateway, "broken") == {}
