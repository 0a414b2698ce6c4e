"""Refuses a body that says itself that it is too large; one that does not is counted while it comes."""

from http import HTTPStatus
from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from velox.gateway.problems import Problem, answer

_DIGITS: Final = 18
"""More of them are no length of this world."""


class Declared:
    """ASGI middleware: a ``Content-Length`` above the limit is answered before any of the body is read."""

    def __init__(self, app: ASGIApp, most_bytes: int) -> None:
        """Stand before an app; ``most_bytes`` is MAX_BODY_BYTES."""
        self._app = app
        self._most_bytes = most_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on, or refuse it."""
        said = Headers(scope=scope).get("content-length", "") if scope["type"] == "http" else ""
        if said.isdecimal() and (len(said) > _DIGITS or int(said) > self._most_bytes):
            detail = f"the body says that it has {said[:_DIGITS]} bytes, and MAX_BODY_BYTES={self._most_bytes}"
            refusal = answer(Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail), scope["path"])
            await refusal(scope, receive, send)
            return
        await self._app(scope, receive, send)
