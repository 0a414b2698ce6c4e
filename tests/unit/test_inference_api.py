"""The API for any model, as its users know it."""

import json
from base64 import b64encode
from typing import Any

import pytest

from tests.gateways import Running
from tests.pictures import drawn, encoded
from velox.core.envelope import unframe
from velox.core.states import State, WebhookState

PICTURE = encoded(drawn((48, 36)), "JPEG")
LARGE = encoded(drawn((64, 64)), "JPEG")


@pytest.fixture
def running() -> Running:
    return Running()


def submitted(running: Running, **body: Any) -> str:  # noqa: ANN401 - any field
    answer = running.post("/inference", json={"model_name": "text_processing", "data": "I love it!", **body})
    assert answer.status_code == 200, answer.text
    identity = answer.json()["request_id"]
    assert answer.json() == {"request_id": identity, "status": "submitted", "result": None, "error": None}
    return str(identity)


@pytest.mark.parametrize("data", ["I love it!", {"text": "I love it!"}])
def test_a_text_is_submitted(running: Running, data: object) -> None:
    identity = submitted(running, data=data)
    ((topic, _, value, _),) = running.asker.asked
    assert topic == "ml.prediction.requests"
    assert json.loads(value).items() >= {"request_id": identity, "text": "I love it!"}.items()


@pytest.mark.parametrize("prefix", ["", "data:image/jpeg;base64,"])
@pytest.mark.parametrize("is_object", [True, False])
def test_an_image_is_submitted_in_base64(running: Running, prefix: str, is_object: bool) -> None:
    coded = prefix + b64encode(PICTURE).decode()
    identity = submitted(running, model_name="image_classification", data={"image": coded} if is_object else coded)
    ((topic, key, value, _),) = running.asker.asked
    metadata, payload = unframe(value)
    assert (topic, key.decode(), payload) == ("image_classification.requests", identity, PICTURE)
    assert (metadata["dtype"], metadata["request_id"]) == ("jpeg", identity)


def test_files_are_submitted(running: Running) -> None:
    for model, content in (("image_classification", PICTURE), ("text_processing", b"\xef\xbb\xbfI love it!")):
        answer = running.post(f"/inference/file?model_name={model}", files={"file": ("file", content)})
        assert (answer.status_code, answer.json()["status"]) == (200, "submitted")
    (_, _, image, _), (_, _, text, _) = running.asker.asked
    assert unframe(image)[1] == PICTURE
    assert json.loads(text)["text"] == "I love it!"


def test_a_request_can_be_followed_to_its_result(running: Running) -> None:
    identity = submitted(running)
    row = running.store.rows[identity]
    assert running.get(f"/status/{identity}").json() == {
        "request_id": identity,
        "status": "submitted",
        "created_at": row.created_at,
        "completed_at": None,
        "result_url": None,
    }
    assert running.get(f"/result/{identity}").json() == {
        "request_id": identity,
        "status": "submitted",
        "result": None,
        "error": None,
    }
    running.store.answer(identity, score=0.75)
    status = running.get(f"/status/{identity}").json()
    assert (status["status"], status["result_url"]) == ("completed", f"/result/{identity}")
    assert status["completed_at"] >= status["created_at"]
    result = running.get(f"/result/{identity}")
    assert result.json() == {
        "request_id": identity,
        "status": "completed",
        "result": {
            "predictions": [{"label": "positive", "score": 0.75}, {"label": "negative", "score": 0.25}],
            "processing_time": 0.035568,
        },
        "error": None,
    }
    assert result.headers["velox-inference-ms"] == "34.57"


def test_a_request_that_failed_says_why(running: Running) -> None:
    identity = submitted(running)
    running.store.change(identity, state=State.FAILED, error_reason="undecodable", error_detail="cut", completed_at=2.0)
    assert running.get(f"/status/{identity}").json()["status"] == "failed"
    said = running.get(f"/result/{identity}").json()
    assert (said["status"], said["result"], said["error"]) == ("failed", None, "undecodable: cut")


@pytest.mark.parametrize("is_done", [True, False])
def test_what_is_deleted_is_not_found_any_more(running: Running, is_done: bool) -> None:
    identity = submitted(running)
    if is_done:
        running.store.answer(identity)
    answer = running.request("DELETE", f"/status/{identity}")
    assert (answer.status_code, list(answer.json())) == (200, ["message"])
    for path in (f"/status/{identity}", f"/result/{identity}"):
        assert running.get(path).status_code == 404
    assert running.request("DELETE", f"/status/{identity}").status_code == 404
    assert running.gateway.metrics.total("velox_requests_total", outcome="cancelled") == (0 if is_done else 1)


def test_a_webhook_is_entered_with_the_request(running: Running) -> None:
    row = running.store.rows[submitted(running, webhook_url="https://hooks.example.com/x")]
    assert (row.webhook_url, row.webhook_form) == ("https://hooks.example.com/x", "plain")
    assert row.webhook_state is WebhookState.WAITING


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        ({"model_name": "no_such", "data": "x"}, 422, "there are sentiment, text_processing, image_classification"),
        ({"data": "x"}, 422, "model_name"),
        ({"model_name": "text_processing", "data": 7}, 422, "data is a text"),
        ({"model_name": "text_processing", "data": ""}, 422, "1 to 5000 characters"),
        ({"model_name": "text_processing", "data": {"txt": "x"}}, 422, "data is a text"),
        ({"model_name": "image_classification", "data": "no base64"}, 422, "no base64"),
        ({"model_name": "image_classification", "data": [1, 2]}, 422, "an image's file in base64"),
        ({"model_name": "image_classification", "data": ""}, 422, "the image has no bytes"),
        ({"model_name": "image_classification", "data": b64encode(b"%PDF-1.7").decode()}, 422, "a PDF file"),
        ({"model_name": "image_classification", "data": b64encode(PICTURE[:40]).decode()}, 422, "no pixels"),
        (
            {"model_name": "image_classification", "data": b64encode(LARGE).decode()},
            413,
            "MAX_IMAGE_SIDE=60",
        ),
        ({"model_name": "text_processing", "data": "x", "webhook_url": "ftp://x/"}, 422, "https:// or http://"),
        ({"model_name": "text_processing", "data": "x", "webhook_url": "http://me@x/"}, 422, "a user or a password"),
    ],
)
def test_bad_input_is_told_and_costs_nothing(body: dict[str, Any], status: int, told: str) -> None:
    running = Running(max_image_side=60)
    answer = running.post("/inference", json=body)
    assert answer.status_code == status
    assert told in answer.text
    assert not running.asker.asked
    assert not running.store.rows


def test_a_file_for_texts_that_is_none_is_told(running: Running) -> None:
    answer = running.post("/inference/file?model_name=text_processing", files={"file": ("file", PICTURE)})
    assert answer.status_code == 422
    assert "no text in UTF-8" in answer.text
