"""Whatever a client sends, it hears what is wrong with it: never 5xx, never a trace of what is inside."""

import json
import random
from collections.abc import Iterator
from typing import Any

import pytest

from tests.gateways import Running

NESTED = b"[" * 50_000
JSONS: list[Any] = [
    *(None, True, 0, -1, 1e308, 10**400, "", "x", "\0", "\ud800", "\u202e", "a" * 6000, [], {}, [[[]]]),
    *({"text": None}, {"text": {"text": "x"}}, {"image": "===="}, {"image": "data:;base64,"}, ["text"]),
]
FIELDS = {
    "/predict": ["text", "request_id", "created_at"],
    "/inference": ["model_name", "data", "webhook_url"],
    "/v1/requests": ["model", "text", "image", "id", "version", "deadline_s", "webhook_url", "more"],
}
GOOD = {
    "/predict": {"text": "fine"},
    "/inference": {"model_name": "text_processing", "data": "fine"},
    "/v1/requests": {"model": "sentiment", "text": "fine"},
}
PATHS = [
    *("/predict/%00", "/predict/%ff", "/status/..%2f..", "/result/%F0%9F%98%80", "/v1/requests/%20", "/v1/%00"),
    *("/v1/requests?limit=1e9", "/v1/requests?after=%00", "/v1/requests?after=nan:x", "/v1/requests?state[]=x"),
    *("/v1/requests?model=%00", "/v1/requests?after=1:%00", "/v1/requests/x?wait=%00", "/v1/requests/x?wait=٣s"),
    *("/v1/requests/%00/events", "/v1/requests/%00/webhook", "//predict", "/predict/"),
]
BODIES = [b"", b"\0", b"\xff\xfe", b"null", b"{", b'{"a":1}{"a":1}', NESTED, b"NaN", b"-Infinity", b'"' + b"x" * 5000]
TYPES = ["application/json", "text/plain", "multipart/form-data", "multipart/form-data; boundary=x", "\x80", "a/b;c=d"]


def seeded() -> Iterator[tuple[str, dict[str, Any]]]:
    """Bodies with one to three fields of other kinds; the same ones each time."""
    draw = random.Random(13)  # noqa: S311 - the same ones each time
    for _ in range(60):
        for path, names in FIELDS.items():
            changed = {draw.choice(names): draw.choice(JSONS) for _ in range(draw.randint(1, 3))}
            yield path, {**GOOD[path], **changed}


def is_told(status: int, text: str) -> bool:
    return 200 <= status < 500 and "Traceback" not in text and "site-packages" not in text


def test_fields_of_any_kind_are_told() -> None:
    running = Running()

    async def calls(client: Any) -> list[str]:  # noqa: ANN401 - httpx2's client
        wrong = []
        for path, body in seeded():
            content = json.dumps(body).encode()
            answer = await client.post(path, content=content, headers={"Content-Type": "application/json"})
            if not is_told(answer.status_code, answer.text):
                wrong.append(f"{path} {content[:200]!r}: {answer.status_code} {answer.text[:200]}")
        return wrong

    assert running.do(calls) == []


@pytest.mark.parametrize("path", [*FIELDS, "/inference/file?model_name=text_processing", "/v1/batches"])
def test_bodies_of_any_kind_are_told(path: str) -> None:
    running = Running()

    async def calls(client: Any) -> list[str]:  # noqa: ANN401 - httpx2's client
        wrong = []
        for body in BODIES:
            for kind in TYPES:
                answer = await client.post(path, content=body, headers=[(b"Content-Type", kind.encode("latin-1"))])
                if not is_told(answer.status_code, answer.text):
                    wrong.append(f"{kind} {body[:20]!r}: {answer.status_code} {answer.text[:200]}")
        return wrong

    assert running.do(calls) == []
    assert not running.asker.asked


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "PUT", "OPTIONS", "TRACE", "x"])
def test_paths_and_methods_of_any_kind_are_told(method: str) -> None:
    running = Running()

    async def calls(client: Any) -> list[str]:  # noqa: ANN401 - httpx2's client
        answers = [(path, await client.request(method, path)) for path in PATHS]
        return [f"{p}: {a.status_code} {a.text[:200]}" for p, a in answers if not is_told(a.status_code, a.text)]

    assert running.do(calls) == []
    assert running.gateway.metrics.total("velox_http_requests_total") == len(PATHS)


@pytest.mark.parametrize("path", ["/predict", "/inference", "/v1/requests"])
def test_a_body_that_is_no_text_is_told_as_one_that_is_no_json(path: str) -> None:
    answer = Running().post(path, content=b"\x80", headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    told = answer.json()
    assert (told["errors"] if path.startswith("/v1") else told["detail"])[0]["loc"] == ["body"]


def test_a_method_that_is_none_of_a_path_is_told_all_that_are() -> None:
    running = Running()
    answer = running.do(lambda client: client.request("PATCH", "/v1/requests/r-1"))
    assert (answer.status_code, answer.headers["Allow"]) == (405, "DELETE, GET")
