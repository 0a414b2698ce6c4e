"""The gateway's client: what it sends, what it makes of answers, and when it tries again."""

import ast
import asyncio
import base64
import json
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from inspect import isasyncgen
from pathlib import Path
from typing import Any, TypeVar

import httpx2
import pytest
from httpx2 import ASGITransport, MockTransport, Response

import velox.client
from tests.gateways import Running
from velox.client import (
    Accepted,
    AccessError,
    AsyncClient,
    BusyError,
    Client,
    Failure,
    GatewayError,
    InvalidRequestError,
    NotFoundError,
    Page,
    Question,
    Refused,
    Request,
    RequestFailedError,
    Score,
    State,
    UnreachableError,
    UnreadableError,
    WaitTimeoutError,
    calls,
    steps,
)
from velox.client.reading import Answer
from velox.client.steps import Patience, Steps
from velox.core.ids import time_ordered_uuid

Read = TypeVar("Read")
Json = dict[str, Any]
ROOT = Path(__file__).parents[2]
ANSWERED: Json = {
    "id": "r-1",
    "model": "sentiment",
    "version": "7",
    "state": "completed",
    "label": "POSITIVE",
    "score": 0.9,
    "scores": [{"label": "POSITIVE", "score": 0.9}, {"label": "NEGATIVE", "score": 0.1}],
    "answered_by": "vader",
    "error": None,
    "created_at": "2026-11-28T04:00:00.250Z",
    "completed_at": "2026-11-28T04:00:01.000Z",
    "expires_at": "2026-11-29T04:00:00.250Z",
    "timings": {"queued_s": 0.5},
    "a_field_of_a_newer_version": 1,
}
PENDING: Json = ANSWERED | {
    "state": "pending",
    "label": None,
    "score": None,
    "scores": [],
    "completed_at": None,
    "timings": None,
}
FAILED: Json = PENDING | {"state": "failed", "error": {"reason": "undecodable", "detail": "no JPEG"}}


class Api:
    """Answers what it is told to, in that order, the last one again and again; keeps what it was asked."""

    def __init__(self, is_async: bool) -> None:
        self.is_async = is_async
        self.replies: list[Response | httpx2.TransportError] = []
        self.asked: list[httpx2.Request] = []

    def do(self, make: Callable[[Any], Any], **options: Any) -> Any:  # noqa: ANN401 - whatever a method answers
        """Do something with a client of the kind that is tested, by default one that tries nothing again."""
        given: Any = {"retry_for_s": 0, "transport": MockTransport(self._answer), **options}
        if not self.is_async:
            with Client("http://api", **given) as client:
                found = make(client)
                return list(found) if isinstance(found, Iterator) else found

        async def on_loop() -> object:
            async with AsyncClient("http://api", **given) as client:
                found = make(client)
                return [each async for each in found] if isasyncgen(found) else await found

        return asyncio.run(on_loop())

    def _answer(self, request: httpx2.Request) -> Response:
        self.asked.append(request)
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        if isinstance(reply, httpx2.TransportError):
            raise reply
        return reply


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def api(request: pytest.FixtureRequest) -> Api:
    return Api(request.param)


def said(request: httpx2.Request) -> Json:
    body: Json = json.loads(request.content)
    return body


def events(*bodies: Json) -> Response:
    text = "".join(f"event: {body['state']}\ndata: {json.dumps(body)}\n\n: ping\n\n" for body in bodies)
    return Response(200, text=text, headers={"Content-Type": "text/event-stream; charset=utf-8"})


def test_its_public_names_are_there() -> None:
    assert set(velox.client.__all__) <= set(dir(velox.client))


def test_the_page_on_the_client_names_all_of_it_and_its_examples_can_be_read() -> None:
    page = (ROOT / "docs" / "client.md").read_text()
    examples = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len(examples) == 4
    for example in examples:
        names = [
            alias.name for node in ast.parse(example).body if isinstance(node, ast.ImportFrom) for alias in node.names
        ]
        assert set(names) - {"Path"} <= set(velox.client.__all__)
    methods = {name for name in vars(Client) if not name.startswith("_")} - {"close"}
    assert methods == set(re.findall(r"^\| `(\w+)\(", page, re.MULTILINE))
    assert methods == {name for name in vars(AsyncClient) if not name.startswith("_")} - {"close"}
    errors = {name for name in velox.client.__all__ if name.endswith("Error")} - {"ClientError"}
    assert errors == set(re.findall(r"^\| `(\w+Error)`", page, re.MULTILINE))


def test_a_text_is_submitted_with_all_that_was_said(api: Api) -> None:
    api.replies = [Response(202, json=PENDING)]
    made = api.do(
        lambda client: client.submit(
            "sentiment",
            text="I love it!",
            id="r-1",
            idempotency_key="k",
            deadline_s=5,
            version="7",
            webhook_url="https://h/x",
        ),
        api_key="secret",
    )
    (asked,) = api.asked
    assert (asked.method, str(asked.url)) == ("POST", "http://api/v1/requests")
    assert said(asked) == {
        "model": "sentiment",
        "text": "I love it!",
        "id": "r-1",
        "deadline_s": 5,
        "version": "7",
        "webhook_url": "https://h/x",
    }
    assert asked.headers["Idempotency-Key"] == "k"
    assert asked.headers["Authorization"] == "Bearer secret"
    assert made == Request(
        id="r-1",
        model="sentiment",
        state=State.PENDING,
        version="7",
        answered_by="vader",
        created_at=datetime(2026, 11, 28, 4, 0, 0, 250_000, UTC),
        expires_at=datetime(2026, 11, 29, 4, 0, 0, 250_000, UTC),
    )


def test_an_image_is_sent_in_base64(api: Api) -> None:
    api.replies = [Response(202, json=PENDING)]
    api.do(lambda client: client.submit("image_classification", image=b"\xff\xd8"))
    assert base64.b64decode(said(api.asked[0])["image"]) == b"\xff\xd8"
    assert "Authorization" not in api.asked[0].headers


def test_a_question_without_an_id_or_a_key_gets_an_id(api: Api) -> None:
    api.replies = [Response(202, json=PENDING)]
    api.do(lambda client: client.submit("sentiment", text="a"))
    api.do(lambda client: client.submit("sentiment", text="a", idempotency_key="k"))
    first, second = map(said, api.asked)
    assert len(first["id"]) == len(str(time_ordered_uuid()))
    assert "id" not in second


@pytest.mark.parametrize("options", [{}, {"text": "a", "image": b"b"}, {"idempotency_key": "k"}])
def test_a_question_has_a_text_or_an_image(api: Api, options: Json) -> None:
    with pytest.raises(ValueError, match="give exactly one of them"):
        api.do(lambda client: client.submit("sentiment", **options))
    assert api.asked == []


def test_a_result_is_read(api: Api) -> None:
    api.replies = [Response(200, json=ANSWERED)]
    found = api.do(lambda client: client.get("r-1"))
    assert (found.label, found.score, found.version, found.answered_by) == ("POSITIVE", 0.9, "7", "vader")
    assert found.scores == (Score("POSITIVE", 0.9), Score("NEGATIVE", 0.1))
    assert found.timings == {"queued_s": 0.5}
    assert found.has_ended


def test_an_id_from_anywhere_is_a_part_of_the_path_and_no_more(api: Api) -> None:
    api.replies = [Response(404, json={"status": 404, "detail": "no request"})]
    with pytest.raises(NotFoundError):
        api.do(lambda client: client.get("../models?x"))
    assert api.asked[0].url.raw_path == b"/v1/requests/..%2Fmodels%3Fx"


def test_who_waits_asks_until_it_has_ended(api: Api) -> None:
    api.replies = [Response(200, json=PENDING), Response(200, json=ANSWERED)]
    assert api.do(lambda client: client.wait("r-1", timeout_s=30)).label == "POSITIVE"
    assert api.asked[0].url.params["wait"] == "20000ms"
    assert api.asked[0].extensions["timeout"]["read"] == 50


def test_who_waits_in_vain_is_told(api: Api) -> None:
    api.replies = [Response(200, json=PENDING)]
    with pytest.raises(WaitTimeoutError, match="r-1 has not ended within 0 s") as told:
        api.do(lambda client: client.wait("r-1", timeout_s=0))
    assert told.value.request_id == "r-1"


def test_predict_submits_and_waits(api: Api) -> None:
    api.replies = [Response(202, json=PENDING), Response(200, json=ANSWERED)]
    assert api.do(lambda client: client.predict("sentiment", text="I love it!")).label == "POSITIVE"
    assert [request.method for request in api.asked] == ["POST", "GET"]


def test_what_is_answered_at_once_is_not_waited_for(api: Api) -> None:
    api.replies = [Response(200, json=ANSWERED)]
    api.do(lambda client: client.predict("sentiment", text="I love it!"))
    assert len(api.asked) == 1


def test_predict_raises_where_there_is_no_prediction(api: Api) -> None:
    api.replies = [Response(202, json=PENDING), Response(200, json=FAILED)]
    with pytest.raises(RequestFailedError, match="request r-1 ended as failed: undecodable: no JPEG") as told:
        api.do(lambda client: client.predict("image_classification", image=b"x"))
    assert told.value.request.failure == Failure("undecodable", "no JPEG")


def test_a_stream_tells_each_state_once_and_ends_with_the_final_one(api: Api) -> None:
    api.replies = [events(PENDING, PENDING, ANSWERED)]
    found = api.do(lambda client: client.stream("r-1"))
    assert [each.state for each in found] == [State.PENDING, State.COMPLETED]
    assert str(api.asked[0].url) == "http://api/v1/requests/r-1/events"


def test_a_stream_that_is_refused_or_none_is_told(api: Api) -> None:
    api.replies = [Response(404, json={"detail": "no request"})]
    with pytest.raises(NotFoundError, match="no request"):
        api.do(lambda client: client.stream("r-1"))
    api.replies = [Response(200, text="<html>")]
    with pytest.raises(UnreadableError, match="no stream of events"):
        api.do(lambda client: client.stream("r-1"))


def test_a_stream_that_ends_too_early_is_opened_again(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "_FIRST_S", 0)
    busy = Response(503, json={"detail": "busy"})
    api.replies = [events(PENDING), busy, httpx2.ReadError("broken"), events(PENDING, ANSWERED)]
    found = api.do(lambda client: client.stream("r-1"))
    assert [each.state for each in found] == [State.PENDING, State.COMPLETED]
    assert len(api.asked) == 4


def test_a_stream_ends_when_its_time_is_over(api: Api) -> None:
    api.replies = [events(PENDING)]
    with pytest.raises(WaitTimeoutError):
        api.do(lambda client: client.stream("r-1", timeout_s=0))


def test_requests_are_listed(api: Api) -> None:
    api.replies = [Response(200, json={"requests": [ANSWERED, FAILED], "after": "x"})]
    page: Page = api.do(lambda client: client.list(model="sentiment", state=State.FAILED, after="y", limit=2))
    assert [each.state for each in page.requests] == [State.COMPLETED, State.FAILED]
    assert page.after == "x"
    assert dict(api.asked[0].url.params) == {"model": "sentiment", "state": "failed", "after": "y", "limit": "2"}


def test_a_request_is_cancelled(api: Api) -> None:
    api.replies = [Response(200, json=PENDING)]
    assert api.do(lambda client: client.cancel("r-1")).state is State.PENDING
    assert (api.asked[0].method, api.asked[0].url.path) == ("DELETE", "/v1/requests/r-1")


def test_models_are_named(api: Api) -> None:
    model = {"name": "sentiment", "kind": "text", "topic": "t", "pending": 3, "state": "failing", "cause": "no file"}
    api.replies = [Response(200, json={"models": [model]})]
    (found,) = api.do(lambda client: client.models())
    assert (found.name, found.pending, found.state, found.cause) == ("sentiment", 3, "failing", "no file")


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, AccessError),
        (404, NotFoundError),
        (413, InvalidRequestError),
        (422, InvalidRequestError),
        (429, BusyError),
        (500, GatewayError),
        (503, BusyError),
    ],
)
def test_a_refusal_is_an_error_of_its_kind(api: Api, status: int, kind: type[GatewayError]) -> None:
    problem = {"type": "about:blank", "title": "x", "status": status, "detail": "why", "errors": [{"loc": ["body"]}]}
    api.replies = [Response(status, json=problem, headers={"Retry-After": "7"})]
    with pytest.raises(kind, match=f"^{status}: why$") as told:
        api.do(lambda client: client.get("r-1"))
    assert type(told.value) is kind
    assert (told.value.status, told.value.detail, told.value.errors) == (status, "why", [{"loc": ["body"]}])
    assert told.value.retry_after_s == 7


@pytest.mark.parametrize("body", [b"<html>502</html>", b"[1]", b""])
def test_a_refusal_by_somebody_else_is_told_as_far_as_it_can_be(api: Api, body: bytes) -> None:
    api.replies = [Response(502, content=body)]
    with pytest.raises(GatewayError, match=r"502: (<html>|\[1\]|no reason)"):
        api.do(lambda client: client.get("r-1"))


@pytest.mark.parametrize(
    "body", ["<html>", "[]", "{}", json.dumps(ANSWERED | {"state": "new"}), json.dumps(ANSWERED | {"scores": 1})]
)
def test_what_is_no_answer_of_a_gateway_is_told(api: Api, body: str) -> None:
    api.replies = [Response(200, text=body)]
    with pytest.raises(UnreadableError):
        api.do(lambda client: client.get("r-1"))


def test_nobody_there_is_told(api: Api) -> None:
    api.replies = [httpx2.ConnectError("refused")]
    with pytest.raises(UnreachableError, match="http://api does not answer: refused"):
        api.do(lambda client: client.get("r-1"))


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://x", "", "http://"])
def test_a_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="url="):
        Client(url)


def test_what_is_busy_is_asked_again(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "_FIRST_S", 0)
    busy = Response(503, json={"detail": "busy"})
    api.replies = [
        busy,
        httpx2.ReadError("broken"),
        Response(429, json={"detail": "busy"}),
        Response(202, json=PENDING),
    ]
    assert api.do(lambda client: client.submit("sentiment", text="a"), retry_for_s=30).id == "r-1"
    assert len({request.content for request in api.asked}) == 1, "the same question under the same id"
    assert len(api.asked) == 4


class Script:
    """Runs steps on a clock of its own: each answer takes no time, each pause all of it."""

    def __init__(self, *answers: Answer | UnreachableError) -> None:
        self.now_s = 0.0
        self.answers = list(answers)
        self.pauses: list[float] = []
        self.made: list[calls.Call] = []

    def patience(self, for_s: float) -> Patience:
        return Patience(for_s, clock=lambda: self.now_s, jitter=lambda: 1.0)

    def run(self, made: Steps[Read]) -> Read:
        try:
            call = next(made)
            while True:
                self.made.append(call)
                self.pauses.append(call.after_s)
                self.now_s += call.after_s
                answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                call = made.throw(answer) if isinstance(answer, Exception) else made.send(answer)
        except StopIteration as end:
            result: Read = end.value
            return result


def answer(status: int, body: Json, **headers: str) -> Answer:
    return Answer(status, {name.replace("_", "-"): value for name, value in headers.items()}, json.dumps(body).encode())


BUSY = answer(503, {"detail": "busy"})


def test_pauses_double_and_end_in_time() -> None:
    script = Script(BUSY)
    with pytest.raises(BusyError):
        script.run(steps.call(calls.models(), script.patience(30), steps.models))
    assert script.pauses == [0, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10]
    assert script.now_s <= 30


def test_a_pause_is_as_long_as_the_gateway_asks_for() -> None:
    script = Script(answer(429, {}, retry_after="7"), answer(503, {}, retry_after="Tue"), answer(200, PENDING))
    script.run(steps.call(calls.look("r-1"), script.patience(30), steps.request))
    assert script.pauses == [0, 7, 0.4]


def test_who_is_asked_to_wait_longer_than_there_is_time_does_not() -> None:
    script = Script(answer(429, {"detail": "much"}, retry_after="3600"))
    with pytest.raises(BusyError) as told:
        script.run(steps.call(calls.look("r-1"), script.patience(30), steps.request))
    assert told.value.retry_after_s == 3600
    assert script.now_s == 0


@pytest.mark.parametrize("doubtful", [BUSY, UnreachableError("broken")])
def test_a_cancellation_that_may_have_been_done_is_not_made_again(doubtful: Answer | UnreachableError) -> None:
    script = Script(doubtful, answer(200, PENDING))
    with pytest.raises((BusyError, UnreachableError)):
        script.run(steps.call(calls.cancel("r-1"), script.patience(30), steps.request))
    assert len(script.made) == 1


def test_a_refusal_is_final() -> None:
    script = Script(answer(422, {"detail": "no model"}))
    with pytest.raises(InvalidRequestError):
        script.run(steps.submit(Question(model="x", text="a"), None, script.patience(30)))
    assert len(script.made) == 1


def test_who_waits_outlives_a_gateway_that_is_away_for_a_while() -> None:
    script = Script(UnreachableError("away"), BUSY, UnreachableError("away"), answer(200, ANSWERED))
    assert script.run(steps.wait("r-1", 60, script.patience(60))).label == "POSITIVE"


def test_a_gateway_that_answers_who_waits_too_early_is_not_asked_without_a_pause() -> None:
    script = Script(answer(200, PENDING))
    with pytest.raises(WaitTimeoutError):
        script.run(steps.wait("r-1", 10, script.patience(10)))
    assert len(script.made) <= 60
    assert script.now_s <= 10


def lines(call: calls.Call) -> list[Json]:
    return [json.loads(line) for line in (call.content or b"").splitlines()]


def told(*bodies: Json) -> Answer:
    return Answer(200, {}, b"".join(json.dumps(body).encode() + b"\n" for body in bodies))


def ask(script: Script, *questions: Question, for_s: float = 30) -> Sequence[Accepted | Refused]:
    return script.run(steps.batch(questions, script.patience(for_s)))


def test_a_batch_is_answered_line_by_line() -> None:
    script = Script(
        told(
            {"line": 1, "id": "a", "status": 202},
            {"line": 2, "status": 422, "detail": "no text"},
            {"line": 3, "id": "c", "status": 200},
        )
    )
    questions = [Question(model="sentiment", text=each, id=each) for each in "abc"]
    assert ask(script, *questions) == [Accepted("a"), Refused("b", 422, "no text"), Accepted("c", has_ended=True)]
    assert [each["id"] for each in lines(script.made[0])] == ["a", "b", "c"]


def test_only_lines_that_were_too_much_are_sent_again_under_their_ids() -> None:
    much = {"status": 429, "detail": "much"}
    script = Script(told({"id": "a", "status": 202}, much), told(much), told({"id": "b", "status": 202}))
    questions = [Question(model="sentiment", text="a", id="a"), Question(model="sentiment", text="b")]
    first, second = ask(script, *questions)
    assert (first, second) == (Accepted("a"), Accepted("b"))
    sent = [lines(call) for call in script.made]
    assert [len(each) for each in sent] == [2, 1, 1]
    assert sent[0][1] == sent[1][0] == sent[2][0]
    assert script.pauses == [0, 0.2, 0.2]


def test_what_stays_too_much_is_told_in_the_end() -> None:
    script = Script(told({"status": 429, "detail": "much"}))
    assert ask(script, Question(model="sentiment", text="a", id="a")) == [Refused("a", 429, "much")]
    assert script.now_s <= 30


def test_more_than_a_batch_holds_is_several() -> None:
    sizes = [len(part) for part in calls.parts([(number, b"x") for number in range(2500)])]
    assert sizes == [1000, 1000, 500]
    huge = b"x" * (calls.MOST_BYTES // 2)
    assert [len(part) for part in calls.parts([(0, huge), (1, b"x"), (2, huge), (3, huge * 3)])] == [2, 1, 1]
    assert list(calls.parts([])) == []


def test_an_answer_with_too_few_lines_is_none() -> None:
    with pytest.raises(UnreadableError, match="1 answers to 2 lines"):
        ask(Script(told({"id": "a", "status": 202})), *[Question(model="s", text="a", id="a")] * 2)


def test_it_speaks_with_the_gateway_itself() -> None:
    running = Running()
    running.asker.when_asked = running.store.answer

    async def ask() -> None:
        transport = ASGITransport(running.app, raise_app_exceptions=False)
        async with AsyncClient("http://api", transport=transport, retry_for_s=0) as client:
            found = await client.predict("sentiment", text="I love it!")
            assert (found.label, found.answered_by, found.state) == ("POSITIVE", "distilbert", State.COMPLETED)
            assert [each.state async for each in client.stream(found.id)] == [State.COMPLETED]
            batch = await client.submit_batch([Question(model="sentiment", text=each) for each in ("a", "")])
            assert [type(each) for each in batch] == [Accepted, Refused]
            assert len((await client.list(limit=1)).requests) == 1
            assert {model.name for model in await client.models()} >= {"sentiment"}
            assert (await client.cancel(found.id)).state is State.COMPLETED
            with pytest.raises(NotFoundError, match=found.id):
                await client.get(found.id)
            with pytest.raises(InvalidRequestError, match="no model 'x'"):
                await client.submit("x", text="a")

    asyncio.run(ask())
