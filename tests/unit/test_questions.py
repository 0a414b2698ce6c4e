"""`POST /inference`: what is taken as a question, and what an answer says."""

import json
from http import HTTPStatus
from typing import Any

import pytest

from velox.cluster import questions
from velox.cluster.questions import Answer, Question
from velox.errors import BadRecordError, Reason
from velox.records import Box, ModelInfo, Prediction

PATH = "frames/camera_7/frame_1764252202.123456.jpg"
NOW = 1764252202.623456
FIRST, SECOND = (ModelInfo(name, version, (), "cpu") for name, version in (("classifier1", "v1"), ("classifier2", "")))


def asked(**said: object) -> Question:
    question = questions.read(json.dumps(said).encode())
    assert isinstance(question, Question), question
    return question


def refused(body: object) -> Answer:
    made = questions.read(body if isinstance(body, bytes) else json.dumps(body).encode())
    assert isinstance(made, Answer), made
    return made


def test_a_path_alone_is_a_question_and_says_whose_frame_it_is() -> None:
    assert asked(img_path=PATH) == Question(PATH, "camera_7")
    assert asked(img_path=PATH).pointer.key == PATH


def test_who_names_a_camera_gets_it_back() -> None:
    assert asked(img_path=PATH, camera_id="door", more=1).camera_id == "door"


def test_the_age_is_told_by_the_seconds_in_the_name() -> None:
    assert asked(img_path=PATH).age_ms(NOW) == pytest.approx(500, abs=0.2)
    assert asked(img_path="frames/door.jpg").age_ms(NOW) is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff",
        b"[" * 100_000,
        b'{"img_path": "a"}' + b" " * 70_000,
        [],
        {},
        {"img_path": 7},
        {"img_path": PATH, "camera_id": 7},
        {"img_path": PATH, "camera_id": "c" * 250},
        {"img_path": ""},
        {"img_path": "/etc/passwd"},
        {"img_path": "frames/../../etc/passwd"},
        {"img_path": "frames//a.jpg"},
        {"img_path": "a\nb.jpg"},
        {"img_path": "a" * 2000},
    ],
)
def test_what_is_no_question_about_a_frame_is_malformed(body: object) -> None:
    made = refused(body)
    assert made.status == HTTPStatus.UNPROCESSABLE_ENTITY
    assert made.body["detail"]


def test_a_frame_that_is_gone_is_not_found_and_one_that_cannot_be_read_is_malformed() -> None:
    gone, large = (BadRecordError(reason, "why") for reason in (Reason.OBJECT_MISSING, Reason.TOO_LARGE))
    assert questions.unread(gone).status == HTTPStatus.NOT_FOUND
    assert questions.unread(large).status == HTTPStatus.UNPROCESSABLE_ENTITY


def test_a_frame_that_is_too_old_is_gone_for_ever() -> None:
    question = asked(img_path=PATH)
    made = questions.too_old(question, NOW, stale_after_s=0.4)
    assert made is not None
    assert made.status == HTTPStatus.GONE
    assert questions.too_old(question, NOW, stale_after_s=0.6) is None
    assert questions.too_old(asked(img_path="frames/door.jpg"), NOW, stale_after_s=0) is None, "nobody knows"


def test_an_answer_has_the_results_of_all_models() -> None:
    said = [(FIRST, Prediction("red_circle", 0.98123456789)), (SECOND, Prediction("door", 0.5))]
    made = questions.answer(asked(img_path=PATH), said, NOW)
    assert made.status == HTTPStatus.OK
    assert dict(made.body) == {
        "img_path": PATH,
        "camera_id": "camera_7",
        "age_ms": pytest.approx(500, abs=0.2),
        "results": {
            "classifier1": {"label": "red_circle", "confidence": 0.981235, "model_version": "v1"},
            "classifier2": {"label": "door", "confidence": 0.5, "model_version": ""},
        },
        "errors": {},
    }


def test_a_model_that_fails_has_its_entry_among_the_errors() -> None:
    said: Any = [(FIRST, BadRecordError(Reason.UNDECODABLE, "torn")), (SECOND, "ActorDiedError: gone")]
    body = questions.answer(asked(img_path=PATH), said, NOW).body
    assert body["results"] == {}
    assert body["errors"] == {"classifier1": "undecodable: torn", "classifier2": "ActorDiedError: gone"}


def test_boxes_are_told_where_there_are_some() -> None:
    box = Box("text", 0.9, 0.1, 0.2, 0.3, 0.4)
    body = questions.answer(asked(img_path=PATH), [(FIRST, Prediction("text", 0.9, boxes=(box,)))], NOW).body
    assert body["results"]["classifier1"]["boxes"] == [box._asdict()]
    json.dumps(body)


def test_who_is_turned_away_hears_when_to_come_again() -> None:
    assert questions.refuse(HTTPStatus.SERVICE_UNAVAILABLE, "full").headers == {"Retry-After": "1"}
    assert questions.refuse(HTTPStatus.NOT_FOUND, "gone").headers == {}
