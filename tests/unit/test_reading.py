"""A body is read as far, as fast and as much as it may be."""

import asyncio
from typing import Any

import pytest
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive, Scope, Send

from tests.fakes import FakeClock
from velox.gateway.reading import Reading

Messages = list[dict[str, Any]]
SCOPE: Scope = {"type": "http", "path": "/v1/requests", "headers": []}


def parts(*bodies: bytes) -> Messages:
    return [
        {"type": "http.request", "body": body, "more_body": number < len(bodies)}
        for number, body in enumerate(bodies, start=1)
    ]


class Reader:
    """An application that reads its body to the end, and then waits for the client to go away."""

    def __init__(self, reading_s: float = 0) -> None:
        self.clock = FakeClock()
        self.read: list[bytes] = []
        self.held: list[int] = []
        self.reading = Reading(self, 1000, clock=self.clock)
        self._reading_s = reading_s

    async def __call__(self, _scope: Scope, receive: Receive, _send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            self.read.append(message["body"])
            self.held.append(self.reading.held_bytes)
            self.clock.advance(self._reading_s)

    def request(self, messages: Messages, scope: Scope = SCOPE) -> list[Message]:
        sent: list[Message] = []

        async def receive() -> Message:
            await asyncio.sleep(0)
            if messages:
                return messages.pop(0)
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            sent.append(message)

        asyncio.run(self.reading(scope, receive, send))
        return sent


def test_a_body_is_held_until_its_request_is_answered() -> None:
    reader = Reader()
    reader.request(parts(b"a" * 300, b"b" * 400))
    assert reader.read == [b"a" * 300, b"b" * 400]
    assert reader.held == [300, 700]
    assert reader.reading.held_bytes == 0


@pytest.mark.parametrize("length", [b"1001", b"9" * 5000])
def test_a_body_that_says_that_it_is_too_large_is_not_read(length: bytes) -> None:
    reader = Reader()
    sent = reader.request(parts(b"a"), {**SCOPE, "headers": [(b"content-length", length)]})
    assert sent[0]["status"] == 413
    assert not reader.read


@pytest.mark.parametrize("length", [b"1000", b"-1", b"many", b""])
def test_what_is_no_length_above_the_limit_is_for_the_application(length: bytes) -> None:
    reader = Reader()
    reader.request(parts(b"a"), {**SCOPE, "headers": [(b"content-length", length)]})
    assert reader.read == [b"a"]


def test_a_body_that_comes_too_slowly_is_given_up() -> None:
    reader = Reader(reading_s=16)
    with pytest.raises(HTTPException, match="after 2 bytes the body came too slowly") as refusal:
        reader.request(parts(b"a", b"b", b"c"))
    assert refusal.value.status_code == 408
    assert reader.reading.held_bytes == 0


def test_a_large_body_has_more_time_and_after_it_there_is_no_limit() -> None:
    reader = Reader(reading_s=16)
    reader.request(parts(b"a" * 100_000, b"b" * 100_000, b"c" * 100_000))
    assert len(reader.read) == 3


def test_beyond_what_memory_is_for_bodies_are_refused() -> None:
    reader = Reader()
    reader.reading.most_held_bytes = 500
    with pytest.raises(HTTPException) as refusal:
        reader.request(parts(b"a" * 300, b"b" * 300))
    assert (refusal.value.status_code, refusal.value.headers) == (503, {"Retry-After": "1"})
    assert reader.reading.held_bytes == 0
    reader.request(parts(b"a" * 300))
