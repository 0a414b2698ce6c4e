"""The gateway as a real process over real Kafka and SQLite: what it accepts is safe, whatever dies."""

import json
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from httpx2 import HTTPError

from tests.e2e.gateway import GatewayProgram, finish
from tests.e2e.pipeline import REPOSITORY, ConsumerProgram, read_all, wait_until
from tests.servers.kafka import KafkaServer
from velox.settings.env_file import read

TOPIC = "ml.prediction.requests"
SENTIMENT = read(REPOSITORY / "pipelines" / "api-sentiment.env")


class GatewayFactory(Protocol):
    """Starts a gateway; keyword arguments are settings."""

    def __call__(self, *, bootstrap: str = "", **settings: object) -> GatewayProgram: ...


@pytest.fixture
def gateway(kafka: KafkaServer, tmp_path: Path) -> Iterator[GatewayFactory]:
    """Starts gateways on the session's broker, all with one database."""
    made: list[GatewayProgram] = []

    def start(*, bootstrap: str = "", **settings: object) -> GatewayProgram:
        made.append(GatewayProgram(tmp_path, bootstrap or kafka.bootstrap, **settings))
        return made[-1]

    yield start
    for each in made:
        each.end()


@pytest.fixture
def ready(gateway: GatewayFactory) -> GatewayProgram:
    started = gateway()
    started.wait_until_ready()
    return started


def unique(name: str = "r") -> str:
    """Tests share the broker and its topic."""
    return f"{name}-{uuid.uuid4().hex[:12]}"


def records(kafka: KafkaServer, *identities: str) -> list[tuple[str, dict[str, object]]]:
    """Keys and values in the topic of those requests."""
    found = [((r.key() or b"").decode(), json.loads(r.value() or b"")) for r in read_all(kafka.bootstrap, TOPIC, {})]
    return [(key, value) for key, value in found if key in identities]


def test_what_is_accepted_is_in_kafka_and_gets_its_result(ready: GatewayProgram, kafka: KafkaServer) -> None:
    answer = ready.predict("I love it!")
    assert answer.status_code == 202
    identity = answer.json()["request_id"]
    ((key, value),) = records(kafka, identity)
    assert (key, value["request_id"], value["text"]) == (identity, identity, "I love it!")
    assert ready.http.get(f"/predict/{identity}").json() == {"request_id": identity, "status": "pending"}
    finish(ready.database, [identity])
    assert ready.result(identity).items() >= {"label": "POSITIVE", "score": 0.9, "status": "completed"}.items()
    assert ready.http.get("/health").json()["status"] == "healthy"
    assert "velox_requests_pending" in ready.http.get("/metrics").text


def test_who_waits_or_listens_has_the_result_at_once(ready: GatewayProgram) -> None:
    identity = ready.predict("fine").json()["request_id"]
    told: list[str] = []

    def wait() -> None:
        told.append(ready.http.get(f"/v1/requests/{identity}?wait=50s").json()["state"])

    def listen() -> None:
        told.append(ready.http.get(f"/v1/requests/{identity}/events").text)

    threads = [threading.Thread(target=target) for target in (wait, listen)]
    for thread in threads:
        thread.start()
    wait_until(lambda: "velox_waiters 2.0" in ready.http.get("/metrics").text, what="two who wait")
    finish(ready.database, [identity])
    for thread in threads:
        thread.join(60)
    assert sorted(told, key=len)[0] == "completed"
    assert [line for line in sorted(told, key=len)[1].splitlines() if line.startswith("event")] == [
        "event: pending",
        "event: completed",
    ]


def test_any_gateway_answers_for_any_other(gateway: GatewayFactory) -> None:
    first, second = gateway(), gateway()
    first.wait_until_ready()
    second.wait_until_ready()
    identity = first.predict("fine").json()["request_id"]
    first.kill()
    assert second.http.get(f"/predict/{identity}").json()["status"] == "pending"
    finish(second.database, [identity])
    assert second.result(identity)["label"] == "POSITIVE"


@pytest.mark.parametrize(("failpoint", "in_kafka"), [("after_enter", 0), ("after_ack", 1)])
def test_a_gateway_that_dies_before_its_answer_finds_the_request_under_its_key(
    gateway: GatewayFactory, kafka: KafkaServer, failpoint: str, in_kafka: int
) -> None:
    dying = gateway(VELOX_FAILPOINT=f"{failpoint}:1:kill", VELOX_TESTING=1)
    dying.wait_until_ready()
    body, key = {"model": "sentiment", "text": "fine", "id": unique()}, {"Idempotency-Key": unique("key")}
    with pytest.raises(HTTPError):
        dying.http.post("/v1/requests", json=body, headers=key)
    assert dying.process.wait(60) == -signal.SIGKILL
    assert len(records(kafka, body["id"])) == in_kafka
    dying.run()
    dying.wait_until_ready()
    again = dying.http.post("/v1/requests", json=body, headers=key)
    assert (again.status_code, again.json()["id"]) == (202, body["id"])
    assert len(records(kafka, body["id"])) == in_kafka + 1, "sent again under the same id: stored once"
    assert dying.http.get("/v1/models").json()["models"][0]["pending"] == 1


def test_a_gateway_that_is_told_to_stop_answers_who_waits_and_ends_well(ready: GatewayProgram) -> None:
    identity = ready.predict("fine").json()["request_id"]
    told: list[str] = []
    waiting = threading.Thread(
        target=lambda: told.append(ready.http.get(f"/v1/requests/{identity}?wait=50s").json()["state"])
    )
    waiting.start()
    wait_until(lambda: "velox_waiters 1.0" in ready.http.get("/metrics").text, what="one who waits")
    assert ready.stop() == 0
    waiting.join(60)
    assert told == ["pending"]
    assert "Stopped: all is answered" in ready.output


def test_a_gateway_without_kafka_lives_and_says_so_and_takes_requests_when_it_is_there(
    gateway: GatewayFactory,
) -> None:
    server = KafkaServer()
    started = gateway(bootstrap=server.bootstrap, ACCEPT_TIMEOUT_S=0.5)
    wait_until(lambda: "Kafka" in started.http.get("/readyz").text, what="not ready because of Kafka")
    assert started.status("/livez") == 200
    assert started.http.get("/health").json().items() >= {"status": "degraded", "kafka_connected": False}.items()
    refused = started.predict("fine", request_id="r-1")
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
    assert started.http.get("/predict/r-1").json()["label"] == "ERROR"
    with server:
        started.wait_until_ready()
        # As clients do: half a second is little for the first record after an outage.
        wait_until(lambda: started.predict("fine", request_id="r-1").status_code == 202, what="it is accepted")
        assert {key for key, _ in records(server, "r-1")} == {"r-1"}
        assert started.http.get("/predict/r-1").json()["status"] == "pending"


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"RATE_LIMIT": "60"}, "RATE_LIMIT=60: '60' is no rate: write 60/minute"),
        ({"REQUESTS_URL": "nonsense"}, "REQUESTS_URL"),
        ({"KAFKA_SECURITY_PROTOCOL": "SSL", "KAFKA_SSL_CA_LOCATION": "/no/file"}, "KAFKA_SSL_CA_LOCATION=/no/file"),
    ],
)
def test_a_gateway_that_cannot_be_right_does_not_start(
    gateway: GatewayFactory, settings: dict[str, str], told: str
) -> None:
    started = gateway(**settings)
    assert started.process.wait(60) == 2
    assert told in started.output.splitlines()[-1]


def key_command(started: GatewayProgram, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "velox", "key", *arguments],
        cwd=started.folder,
        env=started.env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_elsewhere_than_on_this_machine_a_key_is_asked_for_which_one_command_makes(gateway: GatewayFactory) -> None:
    started = gateway(GATEWAY_HOST="0.0.0.0")  # noqa: S104 - for as long as the test runs, and it asks for a key
    started.wait_until_it_says("so that nobody can ask: `velox key create NAME` makes one")
    started.wait_until_ready()
    assert started.predict("fine").status_code == 401
    made = key_command(started, "create", "shop", "--rate", "2/day")
    assert made.returncode == 0
    key = made.stdout.strip()
    header = {"Authorization": f"Bearer {key}"}
    accepted = started.http.post("/predict", json={"text": "fine"}, headers=header)
    assert accepted.status_code == 202
    identity = accepted.json()["request_id"]
    assert started.http.get(f"/predict/{identity}", headers=header).json()["status"] == "pending"
    assert started.http.get(f"/predict/{identity}", headers=header).status_code == 429
    other = {"X-API-Key": key_command(started, "create", "other").stdout.strip()}
    assert started.http.get(f"/predict/{identity}", headers=other).status_code == 404
    for said in (started.output, key_command(started, "list").stdout, made.stderr):
        assert key.split("_", 2)[2] not in said
    assert key.split("_")[1] in key_command(started, "list").stdout


def test_a_port_that_is_taken_is_told(gateway: GatewayFactory, ready: GatewayProgram) -> None:
    port = ready.url.rpartition(":")[2]
    second = gateway(GATEWAY_PORT=port)
    assert second.process.wait(60) == 2
    assert f"GATEWAY_PORT={port}: Address already in use; choose another" in second.output


def test_a_database_that_cannot_be_written_is_waited_for(gateway: GatewayFactory, tmp_path: Path) -> None:
    in_the_way = tmp_path / "later"
    in_the_way.touch()
    started = gateway(REQUESTS_URL=f"sqlite:///{in_the_way}/requests.db")
    wait_until(lambda: "The store is not there" in started.output, what=lambda: started.output)
    assert "later" in started.http.get("/readyz").json()["cause"]
    assert started.predict("fine").status_code == 503
    in_the_way.unlink()
    started.wait_until_ready()
    assert started.predict("fine").status_code == 202


@pytest.fixture
def work(kafka: KafkaServer, tmp_path: Path) -> Iterator[Callable[[GatewayProgram], ConsumerProgram]]:
    """Starts workers with the pipeline of the repository, which store where a gateway looks."""
    made: list[ConsumerProgram] = []
    group = unique("group")

    def start(gateway: GatewayProgram) -> ConsumerProgram:
        own = {"KAFKA_CONSUMER_GROUP": group, "METRICS_PORT": "0"}
        made.append(ConsumerProgram(folder=tmp_path, env=gateway.env | SENTIMENT | own))
        return made[-1]

    yield start
    for each in made:
        each.end()


def test_a_worker_answers_what_the_gateway_and_what_others_have_asked(
    ready: GatewayProgram, kafka: KafkaServer, work: Callable[[GatewayProgram], ConsumerProgram]
) -> None:
    good, bad, late = unique("good"), unique("bad"), unique("late")
    ready.predict("I love it!", request_id=good)
    ready.predict("It is horrible.", request_id=bad)
    question = {"model": "sentiment", "text": "Too late.", "id": late, "deadline_s": 0.001}
    assert ready.http.post("/v1/requests", json=question).status_code == 202
    foreign = unique("foreign")
    producer = Producer({"bootstrap.servers": kafka.bootstrap})
    producer.produce(TOPIC, json.dumps({"request_id": foreign, "text": "I hate it!"}).encode())
    assert producer.flush(60) == 0
    worker = work(ready)
    waited = ready.http.get(f"/v1/requests/{good}?wait=60s")
    assert waited.json().items() >= {"state": "completed", "label": "POSITIVE", "answered_by": "vader"}.items(), (
        worker.output
    )
    assert waited.headers["velox-model-version"]
    assert float(waited.headers["velox-inference-ms"]) >= 0
    assert ready.result(bad).items() >= {"label": "NEGATIVE", "model_name": "vader", "status": "completed"}.items()
    assert ready.result(foreign)["label"] == "NEGATIVE"
    assert ready.result(late)["label"] == "ERROR"
    assert ready.http.get(f"/v1/requests/{late}").json()["error"]["reason"] == "deadline_passed"
    asked = ready.http.post("/inference", json={"model_name": "text_processing", "data": "I love it!"}).json()
    assert ready.result(asked["request_id"])["label"] == "POSITIVE"
    told = ready.http.get(f"/result/{asked['request_id']}").json()["result"]["predictions"]
    assert [each["label"] for each in told] == ["positive", "negative"]


def test_a_request_that_is_cancelled_has_no_result_though_it_was_predicted(
    ready: GatewayProgram, work: Callable[[GatewayProgram], ConsumerProgram]
) -> None:
    cancelled, other = unique("cancelled"), unique("other")
    for identity in (cancelled, other):
        ready.predict("I love it!", request_id=identity)
    assert ready.http.delete(f"/v1/requests/{cancelled}").json()["state"] == "pending"
    work(ready)
    ready.result(other)
    again = ready.http.post("/inference", json={"model_name": "sentiment", "data": "I love it!"}).json()
    ready.result(again["request_id"])
    found = ready.http.get(f"/v1/requests/{cancelled}").json()
    assert (found["state"], found["label"]) == ("cancelled", None)
    assert ready.http.get(f"/predict/{cancelled}").status_code == 404


def test_a_topic_that_a_gateway_creates_has_the_partitions_that_its_worker_would_give_it(
    gateway: GatewayFactory, kafka: KafkaServer, tmp_path: Path
) -> None:
    topic = unique("topic")
    (tmp_path / "models.toml").write_text('[mine]\nenv_file = "mine.env"\n')
    text = (REPOSITORY / "pipelines/api-sentiment.env").read_text()
    (tmp_path / "mine.env").write_text(text.replace(TOPIC, topic).replace("PARTITIONS=3", "PARTITIONS=4"))
    started = gateway(MODELS_PATH=tmp_path / "models.toml")
    started.wait_until_it_says(f"Created topic {topic}: 4 partitions")
    started.wait_until_ready()
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})

    def partitions() -> int:
        return len(admin.list_topics(topic, timeout=30).topics[topic].partitions)

    wait_until(lambda: partitions() == 4, what="4 partitions")
