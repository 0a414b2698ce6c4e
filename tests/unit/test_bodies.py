"""A result is written as the users of the old API read it, and as events of the new one."""

import json
from typing import Any

import pytest

from tests.requests import make_request
from velox.core.states import State
from velox.requests.bodies import event_body, request_body, result_body

FIVE = (("Egyptian cat", 0.5), ("tabby", 0.2), ("tiger cat", 0.1), ("lynx", 0.05), ("Persian cat", 0.01))
PENDING: dict[str, Any] = {
    "state": State.PENDING,
    "label": None,
    "score": None,
    "scores": (),
    "timings": None,
    "completed_at": None,
}
FAILED: dict[str, Any] = PENDING | {
    "state": State.FAILED,
    "error_reason": "not_an_image",
    "error_detail": "4 bytes of text",
}


def test_a_text_has_both_labels_in_small_letters_and_no_numbers() -> None:
    assert result_body(make_request(model="text_processing", class_ids=(1, 0))) == {
        "request_id": "r1",
        "status": "completed",
        "result": {
            "predictions": [{"label": "positive", "score": 0.9}, {"label": "negative", "score": 0.1}],
            "processing_time": 0.021,
        },
        "error": None,
    }


def test_an_image_has_its_five_best_classes_with_their_numbers() -> None:
    scores, numbers = (*FIVE, ("Siamese cat", 0.001)), (285, 281, 282, 287, 283, 284)
    body = result_body(make_request(model="image_classification", label=FIVE[0][0], scores=scores, class_ids=numbers))
    assert body["result"]["predictions"] == [
        {"class_id": number, "label": label, "score": score}
        for number, (label, score) in zip(numbers[:5], FIVE, strict=True)
    ]


def test_a_model_that_gives_only_the_best_label_has_one_prediction() -> None:
    body = result_body(make_request(scores=()))
    assert body["result"]["predictions"] == [{"label": "POSITIVE", "score": 0.9}]


def test_a_pending_request_has_neither_result_nor_error() -> None:
    body = result_body(make_request(**PENDING))
    assert body == {"request_id": "r1", "status": "submitted", "result": None, "error": None}


@pytest.mark.parametrize(
    ("detail", "error"), [("4 bytes of text", "not_an_image: 4 bytes of text"), (None, "not_an_image")]
)
def test_a_failed_request_says_why(detail: str | None, error: str) -> None:
    body = result_body(make_request(**FAILED | {"error_detail": detail}))
    assert body == {"request_id": "r1", "status": "failed", "result": None, "error": error}


def test_a_time_that_nobody_measured_is_not_made_up() -> None:
    assert result_body(make_request(timings=None))["result"]["processing_time"] is None


def test_an_event_says_how_the_request_ended_and_when() -> None:
    request = make_request()
    assert event_body(request) == {
        "type": "request.completed",
        "timestamp": "2023-11-14T22:13:21.500Z",
        "data": request_body(request),
    }
    assert event_body(make_request(**FAILED))["type"] == "request.failed"


def test_a_request_is_written_with_its_answer() -> None:
    body = request_body(make_request())
    assert body["state"] == "completed"
    assert body["created_at"] == "2023-11-14T22:13:20.250Z"
    assert body["scores"] == [{"label": "POSITIVE", "score": 0.9}, {"label": "NEGATIVE", "score": 0.1}]
    assert body["error"] is None
    assert request_body(make_request(**FAILED))["error"] == {"reason": "not_an_image", "detail": "4 bytes of text"}


def test_no_body_tells_the_owner_the_webhook_or_the_fingerprint() -> None:
    request = make_request(owner="key-7", webhook_url="http://127.0.0.1/secret", idempotency="once")
    for body in (result_body(request), event_body(request)):
        for secret in ("key-7", "secret", "f" * 64, "once"):
            assert secret not in json.dumps(body)
