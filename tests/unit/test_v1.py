"""Our own API: waiting, streaming, batches, lists, idempotency, deadlines."""

import asyncio
import json
import logging
import time
from typing import Any

import pytest
from httpx2 import Response

from tests.gateways import Client, Running
from velox import logs
from velox.core.states import State
from velox.errors import BadRecordError, BrokerUnavailableError, Reason

PROBLEM = "application/problem+json"


@pytest.fixture
def running() -> Running:
    return Running()


def submitted(running: Running, text: str = "I love it!", **body: Any) -> str:  # noqa: ANN401 - any field
    answer = running.post("/v1/requests", json={"model": "sentiment", "text": text, **body})
    assert answer.status_code == 202, answer.text
    assert answer.headers["Location"] == f"/v1/requests/{answer.json()['id']}"
    return str(answer.json()["id"])


def is_problem(answer: Response, status: int, told: str) -> None:
    assert answer.headers["Content-Type"] == PROBLEM
    said = answer.json()
    assert (answer.status_code, said["status"], said["type"]) == (status, status, "about:blank")
    assert said["title"]
    assert told in said["detail"]


def test_a_request_goes_from_pending_to_completed(running: Running) -> None:
    identity = submitted(running)
    said = running.get(f"/v1/requests/{identity}").json()
    assert (said["id"], said["model"], said["state"], said["label"]) == (identity, "sentiment", "pending", None)
    running.store.answer(identity)
    answer = running.get(f"/v1/requests/{identity}")
    said = answer.json()
    assert (said["state"], said["label"], said["answered_by"]) == ("completed", "POSITIVE", "distilbert")
    assert [each["label"] for each in said["scores"]] == ["POSITIVE", "NEGATIVE"]
    assert answer.headers["velox-model-version"] == "7"


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"model": "no_such", "text": "x"}, "there are sentiment"),
        ({"model": "sentiment"}, "sentiment reads texts: give text, and no image"),
        ({"model": "sentiment", "image": "eA=="}, "sentiment reads texts"),
        ({"model": "sentiment", "text": "x", "image": "eA=="}, "and no image"),
        ({"model": "image_classification", "text": "x"}, "reads images"),
        ({"model": "sentiment", "text": "x", "txet": "y"}, "body.txet: Extra inputs are not permitted"),
        ({"model": "sentiment", "text": "x", "deadline_s": 0}, "body.deadline_s"),
        ({"model": "sentiment", "text": "x", "version": "a b"}, "body.version"),
        ({"model": "sentiment", "text": "x", "id": "a/b"}, "body.id"),
    ],
)
def test_bad_input_is_a_problem(running: Running, body: dict[str, Any], told: str) -> None:
    is_problem(running.post("/v1/requests", json=body), 422, told)
    assert not running.store.rows


def test_what_is_not_there_is_a_problem(running: Running) -> None:
    is_problem(running.get("/v1/requests/never-made"), 404, "never-made")
    is_problem(running.get("/v1/requests/never-made/events"), 404, "never-made")
    is_problem(running.request("DELETE", "/v1/requests/never-made"), 404, "never-made")
    is_problem(running.get("/v1/no/such/path"), 404, "Not Found")
    is_problem(running.request("PUT", "/v1/requests"), 405, "Method Not Allowed")


def test_systems_that_are_away_are_a_problem_that_passes(running: Running) -> None:
    running.asker.failure = BrokerUnavailableError("no answer")
    answer = running.post("/v1/requests", json={"model": "sentiment", "text": "x"})
    is_problem(answer, 503, "Kafka does not take requests now")
    assert answer.headers["Retry-After"] == "1"
    running.store.is_away = True
    is_problem(running.get("/v1/requests/some"), 503, "the store of requests does not answer")


def test_a_record_that_kafka_would_never_take_is_413_and_its_request_is_failed(running: Running) -> None:
    running.asker.refusal = BadRecordError(Reason.TOO_LARGE, "11000000 bytes: larger than MAX_MESSAGE_BYTES allows")
    answer = running.post("/v1/requests", json={"model": "sentiment", "text": "x", "id": "r-1"})
    is_problem(answer, 413, "larger than MAX_MESSAGE_BYTES allows")
    assert running.store.rows["r-1"].state is State.FAILED


def test_what_is_logged_about_a_request_carries_its_id(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[dict[str, Any]] = []
    formatter = logs._JsonFormatter("gateway")
    handler = logging.Handler()
    monkeypatch.setattr(handler, "emit", lambda record: lines.append(json.loads(formatter.format(record))))
    running.asker.failure = BrokerUnavailableError("no answer")
    logger = logging.getLogger("velox.gateway")
    logger.addHandler(handler)
    try:
        running.post("/v1/requests", json={"model": "sentiment", "text": "x", "id": "r-1"})
    finally:
        logger.removeHandler(handler)
    assert "r-1" in [line.get("request_id") for line in lines]


def test_options_go_to_the_store_and_to_kafka(running: Running) -> None:
    before = time.time()
    identity = submitted(running, version="v2", deadline_s=60, webhook_url="https://hooks.example.com/x")
    row = running.store.rows[identity]
    assert row.deadline is not None
    assert before + 60 <= row.deadline <= time.time() + 60
    assert (row.version, row.webhook_form) == ("v2", "v1")
    ((_, _, _, headers),) = running.asker.asked
    assert int(headers["velox-deadline"] or 0) == int(row.deadline * 1000)
    assert headers["velox-model-version"] == b"v2"


def keyed(running: Running, text: str = "fine", key: str = "key-1") -> Response:
    return running.post("/v1/requests", json={"model": "sentiment", "text": text}, headers={"Idempotency-Key": key})


def test_the_same_key_is_the_same_request(running: Running) -> None:
    first, second = keyed(running), keyed(running)
    assert (first.status_code, second.status_code) == (202, 202)
    identity = first.json()["id"]
    assert second.json()["id"] == identity
    assert [key.decode() for _, key, _, _ in running.asker.asked] == [identity] * 2
    running.store.answer(identity)
    third = keyed(running)
    assert (third.status_code, third.json()["label"]) == (200, "POSITIVE")
    assert len(running.asker.asked) == 2


def test_a_key_of_another_question_is_refused(running: Running) -> None:
    keyed(running)
    is_problem(keyed(running, text="another"), 422, "Idempotency-Key")
    assert keyed(running, text="another", key="key-2").status_code == 202


def test_a_request_that_kafka_did_not_take_can_be_sent_again_under_its_key(running: Running) -> None:
    running.asker.failure = BrokerUnavailableError("no answer")
    assert keyed(running).status_code == 503
    running.asker.failure = None
    again = keyed(running)
    assert (again.status_code, again.json()["state"]) == (202, "pending")


def test_who_waits_gets_the_result_when_it_is_there(running: Running) -> None:
    identity = submitted(running)

    async def calls(client: Client) -> Response:
        waiting = asyncio.ensure_future(client.get(f"/v1/requests/{identity}?wait=30s"))
        while not running.gateway.metrics.total("velox_waiters"):
            await asyncio.sleep(0)
        running.store.answer(identity)
        return await waiting

    answer = running.do(calls)
    assert answer.json()["state"] == "completed"
    assert running.gateway.metrics.total("velox_waiters") == 0


@pytest.mark.parametrize("wait", ["1ms", "0.001", "0.001s", "0"])
def test_a_wait_ends_with_its_time(running: Running, wait: str) -> None:
    identity = submitted(running)
    assert running.get(f"/v1/requests/{identity}?wait={wait}").json()["state"] == "pending"


def test_a_wait_is_no_longer_than_wait_max_s() -> None:
    running = Running(wait_max_s=0)
    identity = submitted(running)
    assert running.get(f"/v1/requests/{identity}?wait=60m").json()["state"] == "pending"


@pytest.mark.parametrize("wait", ["soon", "-1", "1h", "", "1e9", "9999999999s"])
def test_a_wait_that_is_no_time_is_a_problem(running: Running, wait: str) -> None:
    is_problem(running.get(f"/v1/requests/{submitted(running)}?wait={wait}"), 422, "write 5s, 500ms or 1m")


def test_a_thousand_who_wait_are_one_question_to_the_store(running: Running) -> None:
    identities = [str(number) for number in range(200)]

    async def calls(client: Client) -> list[Response]:
        for identity in identities:
            await client.post("/v1/requests", json={"model": "sentiment", "text": "x", "id": identity})
        waits = [asyncio.ensure_future(client.get(f"/v1/requests/{identity}?wait=30s")) for identity in identities]
        while running.gateway.metrics.total("velox_waiters") < len(identities):
            await asyncio.sleep(0)
        running.store.calls.clear()
        for identity in identities:
            running.store.answer(identity)
        return list(await asyncio.gather(*waits))

    assert {answer.json()["state"] for answer in running.do(calls)} == {"completed"}
    looks = [rows for what, rows in running.store.calls if what == "look"]
    assert len(looks) < 20
    assert max(looks) >= 100


def test_a_client_that_goes_away_waits_no_longer(running: Running) -> None:
    identity = submitted(running)
    sent: list[Any] = []

    async def once() -> None:
        gone = asyncio.Event()
        messages = iter([{"type": "http.request", "body": b"", "more_body": False}])

        async def receive() -> dict[str, Any]:
            for message in messages:
                return message
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:  # noqa: ANN401 - ASGI's
            sent.append(message)

        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": f"/v1/requests/{identity}",
            "raw_path": b"",
            "query_string": b"wait=50s",
            "headers": [],
            "server": ("api", 80),
            "client": ("me", 1),
            "root_path": "",
        }
        task = asyncio.ensure_future(running.app(scope, receive, send))
        while not running.gateway.metrics.total("velox_waiters"):
            await asyncio.sleep(0)
        gone.set()
        await asyncio.wait_for(task, 30)

    asyncio.run(once())
    assert running.gateway.metrics.total("velox_waiters") == 0


def test_all_who_wait_are_let_go_when_the_gateway_stops(running: Running) -> None:
    identity = submitted(running)

    async def calls(client: Client) -> Response:
        waiting = asyncio.ensure_future(client.get(f"/v1/requests/{identity}?wait=50s"))
        while not running.gateway.metrics.total("velox_waiters"):
            await asyncio.sleep(0)
        running.gateway.waiting.stop()
        return await waiting

    assert running.do(calls).json()["state"] == "pending"


def events_of(answer: Response) -> list[tuple[str, dict[str, Any]]]:
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    blocks = [block.splitlines() for block in answer.text.strip().split("\n\n") if not block.startswith(":")]
    return [(name.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for name, data in blocks]


def test_events_tell_the_state_and_then_the_result(running: Running) -> None:
    identity = submitted(running)

    async def calls(client: Client) -> Response:
        stream = asyncio.ensure_future(client.get(f"/v1/requests/{identity}/events"))
        while not running.gateway.metrics.total("velox_waiters"):
            await asyncio.sleep(0)
        running.store.answer(identity)
        return await stream

    told = events_of(running.do(calls))
    assert [name for name, _ in told] == ["pending", "completed"]
    assert told[1][1]["label"] == "POSITIVE"


def test_events_of_what_has_ended_are_one(running: Running) -> None:
    identity = submitted(running)
    running.store.change(identity, state=State.CANCELLED)
    assert [name for name, _ in events_of(running.get(f"/v1/requests/{identity}/events"))] == ["cancelled"]


def lines(answer: Response) -> list[dict[str, Any]]:
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/x-ndjson")
    return [json.loads(line) for line in answer.text.splitlines()]


def test_a_batch_is_entered_at_once_and_answered_line_by_line(running: Running) -> None:
    batch = [{"model": "sentiment", "text": f"text {number}", "id": f"b-{number}"} for number in range(1000)]
    told = lines(running.post("/v1/batches", content="\n".join(map(json.dumps, batch))))
    assert told == [{"line": n, "id": f"b-{n - 1}", "status": 202} for n in range(1, 1001)]
    assert running.store.calls == [("enter", 1000)]
    assert [key.decode() for _, key, _, _ in running.asker.asked] == [each["id"] for each in batch]


def test_a_bad_line_of_a_batch_costs_only_itself(running: Running) -> None:
    batch = b'{"model": "sentiment", "text": "a", "id": "one"}\n\nnot json\n{"model": "no"}\r\n' + b"[]\n\xff\n"
    told = lines(running.post("/v1/batches", content=batch + b'{"model": "sentiment", "text": "b", "id": "two"}'))
    assert [each["status"] for each in told] == [202, 422, 422, 422, 422, 202]
    assert [each["line"] for each in told] == [1, 2, 3, 4, 5, 6]
    assert list(running.store.rows) == ["one", "two"]


def test_a_batch_says_which_lines_kafka_did_not_take(running: Running) -> None:
    running.asker.failure = BrokerUnavailableError("no answer")
    told = lines(running.post("/v1/batches", content=b'{"model": "sentiment", "text": "a"}\n' * 3))
    assert [each["status"] for each in told] == [503] * 3
    assert ("refuse", 3) in running.store.calls, "one statement for all of them"


def test_a_line_that_may_be_accepted_later_says_when() -> None:
    running = Running(max_pending=2)
    told = lines(running.post("/v1/batches", content=b'{"model": "sentiment", "text": "a"}\n' * 3))
    assert [each["status"] for each in told] == [202, 202, 429]
    assert told[2]["retry_after_s"] >= 1
    assert "retry_after_s" not in told[0]


@pytest.mark.parametrize("count", [0, 1001])
def test_a_batch_has_a_number_of_lines(running: Running, count: int) -> None:
    answer = running.post("/v1/batches", content=b'{"model": "sentiment", "text": "a"}\n' * count)
    is_problem(answer, 422, f"{count} lines: a batch has 1 to 1000")


def test_requests_are_listed_newest_first_in_pages(running: Running) -> None:
    for number in range(5):
        submitted(running, id=f"r{number}")
    running.store.answer("r3")
    running.store.change("r1", owner="key-7")
    page = running.get("/v1/requests?limit=2").json()
    assert [each["id"] for each in page["requests"]] == ["r4", "r3"]
    following = running.get(f"/v1/requests?limit=2&after={page['after']}").json()
    assert [each["id"] for each in following["requests"]] == ["r2", "r0"]
    assert following["after"] is None
    done = running.get("/v1/requests?state=completed&model=sentiment").json()
    assert [each["id"] for each in done["requests"]] == ["r3"]


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=1000", "state=done", "model=no_such", "after=no-page", "after=%00"]
)
def test_a_list_of_what_there_cannot_be_is_a_problem(running: Running, query: str) -> None:
    is_problem(running.get(f"/v1/requests?{query}"), 422, "")


def test_a_request_is_cancelled_and_shows_it(running: Running) -> None:
    identity = submitted(running)
    answer = running.request("DELETE", f"/v1/requests/{identity}")
    assert (answer.status_code, answer.json()["state"]) == (200, "pending")
    assert running.get(f"/v1/requests/{identity}").json()["state"] == "cancelled"
    assert running.request("DELETE", f"/v1/requests/{identity}").json()["state"] == "cancelled"


def test_a_request_that_has_ended_is_removed(running: Running) -> None:
    identity = submitted(running)
    running.store.answer(identity)
    assert running.request("DELETE", f"/v1/requests/{identity}").json()["state"] == "completed"
    assert running.get(f"/v1/requests/{identity}").status_code == 404


def test_models_are_listed_with_what_they_read(running: Running) -> None:
    submitted(running)
    told = {each["name"]: each for each in running.get("/v1/models").json()["models"]}
    assert told["sentiment"] == {
        "name": "sentiment",
        "kind": "text",
        "topic": "ml.prediction.requests",
        "pending": 1,
        "state": None,
        "cause": None,
    }
    assert told["image_classification"]["kind"] == "image"
    assert told.keys() == {"sentiment", "text_processing", "image_classification"}


def test_the_documentation_is_served_and_describes_what_may_go_wrong(running: Running) -> None:
    assert running.get("/docs").status_code == 200
    paths = running.get("/openapi.json").json()["paths"]
    for path in ("/predict", "/inference", "/inference/file", "/v1/requests", "/v1/batches"):
        assert {"413", "422"} <= paths[path]["post"]["responses"].keys()
    assert PROBLEM in paths["/v1/requests"]["post"]["responses"]["422"]["content"]
