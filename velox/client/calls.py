"""What is sent to a gateway, before anything is sent: pure."""

import json
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final
from urllib.parse import quote

from velox.client.values import Question
from velox.core.ids import time_ordered_uuid

MOST_LINES: Final = 1000
"""In one batch: the gateway takes no more."""
MOST_BYTES: Final = 8 * 2**20
"""In one batch, well below a gateway's MAX_BODY_BYTES as it is by default."""
_JSON: Final = {"Content-Type": "application/json"}
_JSON_LINES: Final = {"Content-Type": "application/x-ndjson"}


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the API."""

    method: str
    path: str
    params: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes | None = None
    longer_s: float = 0.0
    """How much longer than usual the answer may take."""
    after_s: float = 0.0
    """How long to wait before it is made."""
    is_repeatable: bool = True
    """Whether it may be made again when nobody knows whether it was done."""


def submit(question: Question, idempotency_key: str | None) -> Call:
    """Ask a model."""
    key = {} if idempotency_key is None else {"Idempotency-Key": idempotency_key}
    return Call("POST", "/v1/requests", headers={**_JSON, **key}, content=_json(question))


def look(request_id: str, wait_s: float = 0.0) -> Call:
    """Ask for a request; with ``wait_s``, once it has ended, or as it is after that time."""
    wait = {"wait": f"{round(1000 * wait_s)}ms"} if wait_s > 0 else {}
    return Call("GET", one(request_id), params=wait, longer_s=wait_s)


def events(request_id: str) -> Call:
    """Ask for a stream of a request's states."""
    return Call("GET", f"{one(request_id)}/events", headers={"Accept": "text/event-stream"})


def search(model: str | None, state: str | None, after: str | None, limit: int) -> Call:
    """List requests."""
    asked = {"model": model, "state": state, "after": after, "limit": str(limit)}
    return Call("GET", "/v1/requests", params={name: value for name, value in asked.items() if value is not None})


def cancel(request_id: str) -> Call:
    """Cancel a request, or remove it: done twice, it does both."""
    return Call("DELETE", one(request_id), is_repeatable=False)


def models() -> Call:
    """Ask for the models."""
    return Call("GET", "/v1/models")


def batch(lines: Sequence[bytes]) -> Call:
    """Ask much at once."""
    return Call("POST", "/v1/batches", headers=_JSON_LINES, content=b"".join(line + b"\n" for line in lines))


def one(request_id: str) -> str:
    """Answer the path of a request."""
    return f"/v1/requests/{quote(request_id, safe='')}"


def check(question: Question) -> None:
    """Look at what the gateway need not be asked about.

    Raises:
        ValueError: the question has a text and an image, or none of them.
    """
    if (question.text is None) == (question.image is None):
        msg = f"a question to {question.model} has a text or an image: give exactly one of them"
        raise ValueError(msg)


def named(question: Question) -> Question:
    """Give a question an id if it has none, so that it can be asked again and stay one request."""
    return question if question.id is not None else replace(question, id=str(time_ordered_uuid()))


def line(question: Question) -> bytes:
    """Write a question as a line of a batch."""
    return _json(question)


def parts(lines: Sequence[tuple[int, bytes]]) -> Iterator[list[tuple[int, bytes]]]:
    """Cut numbered lines into batches that a gateway takes; a line that is too long for any is one by itself."""
    part: list[tuple[int, bytes]] = []
    size = 0
    for number, text in lines:
        if part and (len(part) == MOST_LINES or size + len(text) + 1 > MOST_BYTES):
            yield part
            part, size = [], 0
        part.append((number, text))
        size += len(text) + 1
    if part:
        yield part


def _json(question: Question) -> bytes:
    said: dict[str, Any] = {
        "model": question.model,
        "text": question.text,
        "image": None if question.image is None else b64encode(question.image).decode(),
        "id": question.id,
        "version": question.version,
        "deadline_s": question.deadline_s,
        "webhook_url": question.webhook_url,
    }
    return json.dumps({name: value for name, value in said.items() if value is not None}).encode()
