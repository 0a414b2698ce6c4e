"""The trace that a request is a part of: handed on to its record, and named in log lines."""

from contextvars import ContextVar
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from velox.core.tracing import trace_id, traces
from velox.logs import bound

_NAMES: Final = frozenset({b"traceparent", b"tracestate"})
_current: ContextVar[tuple[tuple[str, bytes], ...]] = ContextVar("traces", default=())


def current() -> tuple[tuple[str, bytes], ...]:
    """Answer what is handed on of the request that is being answered: headers of its record."""
    return _current.get()


class Tracing:
    """ASGI middleware: takes W3C Trace Context from the headers. A request without it costs a look at their names."""

    def __init__(self, app: ASGIApp) -> None:
        """Stand before an app."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on."""
        said = [(name.decode(), value) for name, value in scope.get("headers", ()) if name in _NAMES]
        handed_on = tuple(traces(said)) if said else ()
        if not handed_on:
            await self._app(scope, receive, send)
            return
        token = _current.set(handed_on)
        try:
            with bound(trace_id=trace_id(handed_on)):
                await self._app(scope, receive, send)
        finally:
            _current.reset(token)
