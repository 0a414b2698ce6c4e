"""The API of the sentiment service, as its users know it."""

import json
import re

import pytest

from tests.gateways import Running
from velox.core.states import State
from velox.errors import BrokerUnavailableError

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


@pytest.fixture
def running() -> Running:
    return Running()


def test_a_text_is_accepted_once_it_is_in_kafka(running: Running) -> None:
    answer = running.post("/predict", json={"text": "This is amazing!"})
    assert answer.status_code == 202
    said = answer.json()
    assert UUID.fullmatch(said["request_id"])
    assert said == {
        "request_id": said["request_id"],
        "status": "pending",
        "message": "Request enqueued for processing",
    }
    ((topic, key, value, headers),) = running.asker.asked
    assert (topic, key.decode()) == ("ml.prediction.requests", said["request_id"])
    assert headers["velox-id"] == key
    record = json.loads(value)
    assert record.keys() == {"request_id", "text", "created_at"}
    assert (record["request_id"], record["text"]) == (said["request_id"], "This is amazing!")


def test_an_id_of_the_clients_own_is_the_requests_and_the_same_again_is_one_request(running: Running) -> None:
    body = {"request_id": "my-1", "text": "fine", "created_at": "2026-01-02T03:04:05Z"}
    for _ in range(2):
        answer = running.post("/predict", json=body)
        assert (answer.status_code, answer.json()["request_id"]) == (202, "my-1")
    assert list(running.store.rows) == ["my-1"]
    assert len(running.asker.asked) == 2, "nobody knows whether the first record came through"
    running.store.answer("my-1")
    assert running.post("/predict", json=body).status_code == 202
    assert len(running.asker.asked) == 2, "it has its result"


def test_an_id_that_is_another_requests_is_refused(running: Running) -> None:
    running.post("/predict", json={"request_id": "my-1", "text": "fine"})
    answer = running.post("/predict", json={"request_id": "my-1", "text": "bad"})
    assert answer.status_code == 422
    assert "my-1 was used for another question" in answer.text
    assert len(running.asker.asked) == 1


def test_a_result_looks_as_its_users_know_it(running: Running) -> None:
    identity = running.predicted()
    assert running.get(f"/predict/{identity}").json() == {"request_id": identity, "status": "pending"}
    running.store.answer(identity)
    answer = running.get(f"/predict/{identity}")
    said = answer.json()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00", said.pop("created_at"))
    assert (answer.status_code, said) == (
        200,
        {
            "request_id": identity,
            "label": "POSITIVE",
            "score": 0.987654,
            "model_name": "distilbert",
            "inference_time_ms": 34.57,
            "status": "completed",
        },
    )
    assert answer.headers["velox-queue-ms"] == "12.00"
    assert answer.headers["velox-inference-ms"] == "34.57"
    assert answer.headers["velox-model-version"] == "7"


def test_a_request_that_failed_has_the_label_error(running: Running) -> None:
    identity = running.predicted()
    running.store.change(identity, state=State.FAILED, error_reason="empty", error_detail="blank", completed_at=1.0)
    said = running.get(f"/predict/{identity}").json()
    assert (said["label"], said["score"], said["status"]) == ("ERROR", 0.0, "failed")
    assert said["created_at"] == "1970-01-01T00:00:01+00:00"


@pytest.mark.parametrize("path", ["never-made", "..%2f..%2fetc", "%00", "x" * 200])
def test_an_id_that_was_never_given_out_is_not_found(running: Running, path: str) -> None:
    answer = running.get(f"/predict/{path}")
    assert answer.status_code == 404
    assert answer.json().keys() == {"detail"}


def test_what_is_cancelled_or_somebody_elses_is_not_found(running: Running) -> None:
    identity, other = running.predicted(), running.predicted()
    running.store.change(identity, state=State.CANCELLED)
    running.store.change(other, owner="key-7")
    for each in (identity, other):
        assert running.get(f"/predict/{each}").status_code == 404


@pytest.mark.parametrize(
    ("body", "where"),
    [
        (b"{}", ["body", "text"]),
        (b'{"text": ""}', ["body", "text"]),
        (b'{"text": 7}', ["body", "text"]),
        (b'{"text": null}', ["body", "text"]),
        (b'{"text": "\\ud800"}', ["body", "text"]),
        (b'{"text": "a", "request_id": "../x"}', ["body", "request_id"]),
        (b'{"text": "a", "request_id": ""}', ["body", "request_id"]),
        (b'{"text": "a", "created_at": "yesterday"}', ["body", "created_at"]),
        (b'{"text": "' + b"x" * 5001 + b'"}', ["body", "text"]),
        (b'{"text"', ["body", 7]),
        (b"\xff\xfe", None),
        (b"", ["body"]),
        (b"[" * 100_000, None),
    ],
)
def test_bad_input_is_told_with_its_place_and_without_what_was_sent(
    running: Running, body: bytes, where: list[object] | None
) -> None:
    answer = running.post("/predict", content=body, headers={"Content-Type": "application/json"})
    assert 400 <= answer.status_code < 500
    if where is not None:
        assert answer.status_code == 422
        assert [each["loc"] for each in answer.json()["detail"]] == [where]
    assert "Traceback" not in answer.text
    assert not running.asker.asked


def test_the_longest_text_counts_in_characters(running: Running) -> None:
    assert running.post("/predict", json={"text": "\U0001f600" * 5000}).status_code == 202


def test_kafka_that_does_not_take_it_is_503_and_the_request_is_failed(running: Running) -> None:
    running.asker.failure = BrokerUnavailableError("no answer within 5 s")
    answer = running.post("/predict", json={"request_id": "my-1", "text": "fine"})
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "1"
    assert "no answer within" not in answer.text, "what is inside stays inside"
    row = running.store.rows["my-1"]
    assert (row.state, row.error_reason) == (State.FAILED, "not_accepted")
    running.asker.failure = None
    assert running.post("/predict", json={"request_id": "my-1", "text": "fine"}).status_code == 202
    assert running.get("/predict/my-1").json()["status"] == "pending"


def test_a_queue_that_is_full_is_503_and_the_request_is_failed(running: Running) -> None:
    running.asker.refusal = BrokerUnavailableError("20000 records wait for Kafka already")
    assert running.post("/predict", json={"request_id": "my-1", "text": "fine"}).status_code == 503
    assert running.store.rows["my-1"].state is State.FAILED


def test_a_store_that_is_away_is_503_and_nothing_is_produced(running: Running) -> None:
    running.store.is_away = True
    for answer in (running.post("/predict", json={"text": "fine"}), running.get("/predict/some")):
        assert answer.status_code == 503
        assert answer.headers["Retry-After"] == "1"
        assert "db:5432" not in answer.text
    assert not running.asker.asked


def test_beyond_max_pending_requests_are_refused_until_some_are_answered() -> None:
    running = Running(max_pending=2)
    for _ in range(2):
        running.predicted()
    answer = running.post("/predict", json={"text": "one more"})
    assert answer.status_code == 429
    assert int(answer.headers["Retry-After"]) >= 1
    assert "MAX_PENDING=2" in answer.json()["detail"]
    running.gateway.submitting._pressure.counted({"sentiment": 1})
    assert running.post("/predict", json={"text": "one more"}).status_code == 202


@pytest.mark.parametrize("path", ["/predict", "/v1/requests"])
@pytest.mark.parametrize("is_told", [True, False])
def test_a_body_that_is_too_large_is_413_whether_it_says_so_or_not(path: str, is_told: bool) -> None:
    running = Running(max_body_bytes=2000)

    async def chunks() -> object:
        for _ in range(30):
            yield b"x" * 100

    content = b"x" * 3000 if is_told else chunks()
    answer = running.post(path, content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == 413
    assert "application/" in answer.headers["Content-Type"]
    assert answer.json()["detail"]


def test_health_says_what_it_always_said(running: Running) -> None:
    answer = running.get("/health")
    assert answer.status_code == 200
    said = answer.json()
    assert said.pop("version")
    assert said == {"service": "velox-gateway", "status": "degraded", "kafka_connected": False}
    assert running.get("/readyz").json() == {"ready": False, "cause": "store: starting; Kafka: starting"}


def test_what_breaks_inside_is_500_without_a_trace(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_ids: object) -> None:
        raise ZeroDivisionError("secret")

    monkeypatch.setattr(running.gateway.waiting._looks, "_call", broken)
    answer = running.get("/predict/some")
    assert (answer.status_code, answer.json()) == (500, {"detail": "something went wrong here; it was logged"})


def test_requests_are_counted_by_route_and_never_by_path(running: Running) -> None:
    identity = running.predicted()
    running.get(f"/predict/{identity}")
    running.get("/no/such/path")
    metrics = running.gateway.metrics
    assert metrics.total("velox_http_requests_total", route="/predict", method="POST", status="202") == 1
    assert metrics.total("velox_http_requests_total", route="/predict/{request_id}", status="200") == 1
    assert metrics.total("velox_http_requests_total", route="none", status="404") == 1
    assert metrics.total("velox_requests_total", model="sentiment", outcome="accepted") == 1
    assert metrics.total("velox_accept_seconds_count", step="produce") == 1
    assert "velox_http_requests_total" in running.get("/metrics").text
