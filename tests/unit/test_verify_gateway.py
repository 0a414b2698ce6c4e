"""What ``velox verify --through gateway`` asks, hears and finds, without any process."""

import base64
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook

from tests.requests import make_request
from velox.client import ClientError
from velox.core.envelope import CHECKSUM_HEADER, Codec, checksum
from velox.core.letters import Content
from velox.core.states import State
from velox.errors import BadRecordError, BrokerUnavailableError, Reason, SettingsError
from velox.models.numbered import LABELS, NumberedTexts, text
from velox.records import ID_HEADER, Partition
from velox.requests import Request
from velox.settings import Settings
from velox.tools.verify.gateway import asking
from velox.tools.verify.gateway.answers import problems_of_rows, problems_of_webhooks
from velox.tools.verify.gateway.asking import Asking
from velox.tools.verify.gateway.questions import Questions
from velox.tools.verify.gateway.receiver import Receiver, Taken, is_signed
from velox.tools.verify.places import Places
from velox.tools.verify.plan import Plan
from velox.tools.verify.premises import establish

SECRET = f"whsec_{base64.b64encode(b'k' * 24).decode()}"


def make_questions(*, poison: float = 0.0) -> Questions:
    return Questions("ab12", Codec.JSON, poison, None)


def accept(*numbers: int) -> Places:
    accepted = Places()
    for number in numbers:
        accepted.accept(number)
    return accepted


class Rows:
    """What the store has of the first four requests: all of them answered rightly, until told otherwise."""

    def __init__(self, questions: Questions) -> None:
        self.rows: dict[str, Request] = {}
        for number in range(4):
            self.put(questions.id(number), label=questions.label(number))

    def put(self, identity: str, **fields: Any) -> None:  # noqa: ANN401 - any field
        self.rows[identity] = replace(make_request(identity), **{"state": State.COMPLETED, **fields})

    def look(self, ids: Sequence[str]) -> Mapping[str, Request]:
        return {identity: self.rows[identity] for identity in ids if identity in self.rows}


def test_the_model_answers_each_text_by_its_number_and_refuses_any_other() -> None:
    model = NumberedTexts(Settings())
    assert [p.label for p in model.predict([model.decode(text(n).encode()) for n in (4, 5)])] == list(LABELS)
    with pytest.raises(BadRecordError) as error:
        model.decode(b"This is no number at all.")
    assert error.value.reason is Reason.UNDECODABLE


def test_a_share_of_the_texts_is_bad_and_has_to_fail() -> None:
    questions = make_questions(poison=0.5)
    asked = [questions.ask(number) for number in range(200)]
    bad = [number for number, said in enumerate(asked) if said != text(number)]
    assert 40 < len(bad) == questions.poisoned < 160
    assert {questions.due(number) for number in bad} == {"undecodable"}
    assert asked == [questions.text(number) for number in range(200)]


def test_a_record_is_whole_if_the_gateway_wrote_it_and_nobody_else() -> None:
    questions = make_questions()
    identity = questions.id(3).encode()

    def content(value: bytes, key: bytes = identity) -> Content:
        return Content(key, value, ((ID_HEADER, identity), (CHECKSUM_HEADER, checksum(value))))

    right = json.dumps({"request_id": questions.id(3), "text": text(3)}).encode()
    other = json.dumps({"request_id": questions.id(3), "text": text(4)}).encode()
    assert questions.is_whole(3, content(right))
    assert not questions.is_whole(3, content(other))
    assert not questions.is_whole(3, content(right, key=b"another"))
    assert not questions.is_whole(3, Content(identity, right + b" ", content(right).headers))


def test_every_accepted_request_that_ended_as_it_has_to_is_no_problem() -> None:
    questions = make_questions()
    assert problems_of_rows(questions, accept(0, 1, 2, 3), 4, Rows(questions).look) == []


def test_a_request_that_nobody_knows_or_that_has_not_ended_or_ended_wrongly_is_named() -> None:
    questions = make_questions()
    stored = Rows(questions)
    del stored.rows[questions.id(0)]
    stored.put(questions.id(1), state=State.PENDING)
    stored.put(questions.id(2), label=LABELS[0])
    stored.put(questions.id(3), state=State.FAILED, label=None, error_reason="not_accepted")
    assert problems_of_rows(questions, accept(0, 1, 2, 3), 4, stored.look) == [
        "1 request accepted and unknown: verify-ab12-00000000",
        "1 request accepted and without an end: verify-ab12-00000001",
        "2 requests ended wrongly: verify-ab12-00000002 (numbered_detection, not numbered_other), "
        "verify-ab12-00000003 (not_accepted, not numbered_other)",
    ]


def test_what_was_not_accepted_may_have_any_end() -> None:
    questions = make_questions()
    stored = Rows(questions)
    stored.rows.clear()
    assert problems_of_rows(questions, accept(), 4, stored.look) == []


def test_a_bad_text_has_to_fail_for_its_reason() -> None:
    questions = make_questions(poison=1.0)
    questions.ask(0)
    stored = Rows(questions)
    assert "verify-ab12-00000000 (numbered_detection, not undecodable)" in str(
        problems_of_rows(questions, accept(0), 1, stored.look)
    )
    stored.put(questions.id(0), state=State.FAILED, label=None, error_reason="undecodable")
    assert problems_of_rows(questions, accept(0), 1, stored.look) == []


def test_each_result_has_to_be_delivered_as_it_is_and_under_one_id() -> None:
    questions = make_questions()
    right = {questions.id(n): [Taken(f"w-{n}", str(questions.label(n)))] * 2 for n in range(5)}
    assert problems_of_webhooks(questions, accept(0, 1, 2, 3, 4), 5, right) == []
    wrong = {identity: list(taken) for identity, taken in right.items()}
    del wrong[questions.id(0)]
    wrong[questions.id(1)].insert(0, Taken("w-1", "undecodable"))
    wrong[questions.id(2)].append(Taken("w-9", str(questions.label(2))))
    wrong[questions.id(3)].append(Taken("w-4", str(questions.label(3))))
    assert problems_of_webhooks(questions, accept(0, 1, 2, 3, 4), 5, wrong) == [
        "1 request not delivered: verify-ab12-00000000",
        "1 request delivered wrongly: verify-ab12-00000001 (undecodable, not numbered_other)",
        "3 requests delivered under several webhook-ids, or under that of another: verify-ab12-00000002, "
        "verify-ab12-00000003, verify-ab12-00000004",
    ]


def signed(body: bytes, secret: str = SECRET) -> dict[str, str]:
    """Sign as the library does that webhook workers use."""
    now = datetime.now(UTC)
    return {
        "webhook-id": "w-1",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret).sign("w-1", now, body.decode()),
    }


def test_the_receiver_knows_a_signature_by_the_standards_text() -> None:
    headers = signed(b"{}")
    assert is_signed(SECRET, headers, b"{}")
    assert not is_signed(SECRET, headers, b"{ }")
    assert not is_signed(SECRET, headers | {"webhook-id": "w-2"}, b"{}")
    assert not is_signed(SECRET, signed(b"{}", f"whsec_{base64.b64encode(b'x' * 24).decode()}"), b"{}")
    assert not is_signed(SECRET, {}, b"{}")


def test_the_receiver_counts_what_it_takes_and_what_is_forged() -> None:
    body = json.dumps({"data": {"id": "r-1", "label": "fine", "error": None}}).encode()
    with Receiver(SECRET) as receiver:
        assert receiver.take(signed(body), body) is HTTPStatus.NO_CONTENT
        assert receiver.take(signed(body), body) is HTTPStatus.NO_CONTENT
        assert receiver.take({}, body) is HTTPStatus.UNAUTHORIZED
        assert receiver.take(signed(b"[]"), b"[]") is HTTPStatus.BAD_REQUEST
    assert (dict(receiver.taken), receiver.forged) == ({"r-1": [Taken("w-1", "fine")] * 2}, 2)


def test_a_receiver_that_is_down_refuses_all() -> None:
    with Receiver(SECRET, down_s=3600) as receiver:
        assert receiver.take(signed(b"{}"), b"{}") is HTTPStatus.SERVICE_UNAVAILABLE
    assert (receiver.refused, dict(receiver.taken)) == (1, {})


class PretendedClient:
    """Accepts all but one; which one is known by its text."""

    def __init__(self, _url: str, **_options: object) -> None:
        self.is_closed = False

    def submit(self, _model: str, *, text: str, **_fields: object) -> None:
        if text == "This is number 1.":
            raise ClientError("no")

    def close(self) -> None:
        self.is_closed = True


def test_it_asks_until_each_has_its_answer_and_the_topics_end_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "Client", PretendedClient)
    here, answers = Partition("t", 0), [BrokerUnavailableError("away")]

    def ends() -> dict[Partition, int]:
        if answers:
            raise answers.pop()
        return {here: 2}

    run = Asking("http://gateway", make_questions(), ends, rate=0, webhook_url=None)
    end_at = time.monotonic() + 20
    while (run.published < 3 or run.waiting) and time.monotonic() < end_at:
        run.publish(3)
        run.poll(0.01)
    run.close()
    assert (run.delivered, run.failed, run.refused) == (2, 1, {1: "no"})
    assert (0 in run.acknowledged, 1 in run.acknowledged, run.acknowledged.get(0)) == (True, False, None)
    assert (run.ends, answers) == ({here: 2}, [])


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"kill_gateway": 1}, "--kill-gateway needs --through gateway"),
        ({"webhooks": True}, "--webhooks needs --through gateway"),
        ({"through_gateway": True, "kill_webhooks": 1}, "--kill-webhooks needs --webhooks"),
        ({"through_gateway": True, "receiver_down_s": 1.0}, "--receiver-down needs --webhooks"),
        ({"through_gateway": True, "topics": 2}, "--through gateway and --topics"),
        ({"through_gateway": True, "own_model": True}, "--through gateway and --own-model"),
        ({"through_gateway": True, "webhooks": True, "receiver_down_s": 1e6}, "--receiver-down 1e"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: dict[str, Any], named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        Plan(**arguments).check(Settings())


def test_its_worker_reads_texts_and_answers_into_requests_of_the_runs_own(tmp_path: Path) -> None:
    user = Settings(sinks=("disk", "mongo"), requests_url=f"sqlite:///{tmp_path}/mine.db")
    own = establish(user, Plan(through_gateway=True), "ab12", None)
    assert (own.settings.codec, own.settings.json_payload, own.settings.sinks) == (Codec.JSON, "text", ("requests",))
    assert own.settings.model.endswith(":NumberedTexts")
    assert own.settings.requests_url.get_secret_value().endswith("/mine.verify_ab12.db")
