"""How much of a body is read, how fast it has to come, and how much of all bodies together is held."""

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from time import monotonic
from typing import Final

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from velox.gateway.problems import Problem, answer
from velox.settings import MIB

_DIGITS: Final = 18
"""More of them are no length of this world."""
_PATIENCE_S: Final = 30.0
_SLOWEST_BYTES_PER_S: Final = 16 * 1024
_HELD_BYTES: Final = 256 * MIB
_LARGEST_HELD: Final = 8
"""So many of the largest bodies have room in any case."""


class Reading:
    """ASGI middleware, for one event loop.

    A ``Content-Length`` above the limit is answered before any of the body is read; one that lies, or is missing, is
    for FastAPI to find out, which counts what comes. A body that comes too slowly is given up (408): it has 30 s, and a
    second for each 16 KiB. While the bodies of all requests that are being answered have 256 MiB (or eight times the
    limit, if that is more), further ones are refused (503).
    """

    def __init__(self, app: ASGIApp, most_bytes: int, *, clock: Callable[[], float] = monotonic) -> None:
        """Stand before an app; ``most_bytes`` is MAX_BODY_BYTES."""
        self._app = app
        self._most_bytes = most_bytes
        self._clock = clock
        self.held_bytes = 0
        self.most_held_bytes = max(_HELD_BYTES, _LARGEST_HELD * most_bytes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        said = Headers(scope=scope).get("content-length", "")
        if said.isdecimal() and (len(said) > _DIGITS or int(said) > self._most_bytes):
            detail = f"the body says that it has {said[:_DIGITS]} bytes, and MAX_BODY_BYTES={self._most_bytes}"
            refusal = answer(Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail), scope["path"])
            await refusal(scope, receive, send)
            return
        body = _Body(self, receive, self._clock)
        try:
            await self._app(scope, body.receive, send)
        finally:
            self.held_bytes -= body.bytes


class _Body:
    """The body of one request, as it comes."""

    def __init__(self, reading: Reading, receive: Receive, clock: Callable[[], float]) -> None:
        self._reading = reading
        self._receive = receive
        self._clock = clock
        self._began_at = clock()
        self._is_complete = False
        self.bytes = 0

    async def receive(self) -> Message:
        """Wait for the next part; for whatever comes after the body, as long as it takes.

        Raises:
            HTTPException: 408 or 503. Of another kind, FastAPI would call it a body that cannot be parsed.
        """
        if self._is_complete:
            return await self._receive()
        left_s = _PATIENCE_S + self.bytes / _SLOWEST_BYTES_PER_S - (self._clock() - self._began_at)
        try:
            async with asyncio.timeout(max(0.0, left_s)):
                message = await self._receive()
        except TimeoutError as error:
            detail = f"after {self.bytes} bytes the body came too slowly; send it again, over a faster line"
            raise HTTPException(HTTPStatus.REQUEST_TIMEOUT, detail, {"Connection": "close"}) from error
        more = len(message.get("body", b""))
        self.bytes += more
        self._reading.held_bytes += more
        if self._reading.held_bytes > self._reading.most_held_bytes:
            detail = "more bodies are being read than there is memory for; try again"
            raise HTTPException(HTTPStatus.SERVICE_UNAVAILABLE, detail, {"Retry-After": "1"})
        self._is_complete = not message.get("more_body", False)
        return message
