"""The trace that a request is a part of: handed on to its record, named in log lines, and told in spans if wanted."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from velox.core.tracing import TRACEPARENT, Span, Spans, Value, parent_of, sampled, trace_id, traces
from velox.gateway.watching import route_of
from velox.logs import bound

Traces = tuple[tuple[str, bytes], ...]

_NAMES: Final = frozenset({b"traceparent", b"tracestate"})
_FAILED: Final = 500
_UNTOLD: Final = frozenset({"/health", "/livez", "/readyz", "/metrics"})
"""Asked again and again, by machines."""
_current: ContextVar[Traces] = ContextVar("traces", default=())
_spans: ContextVar[Spans | None] = ContextVar("spans", default=None)


def current() -> Traces:
    """Answer what is handed on of the request that is being answered: headers of its record."""
    return _current.get()


def told() -> str:
    """Answer the ``traceparent`` under which more spans of this request may come; empty where none are wanted."""
    return sampled(_current.get()).decode() if _spans.get() is not None else ""


@contextmanager
def publishing(topic: str, request_id: str) -> Iterator[None]:
    """Tell in a span how long Kafka takes for a record; until then ``current`` names that span as the record's own."""
    spans = _spans.get()
    if spans is None:
        yield
        return
    where = {
        "messaging.system": "kafka",
        "messaging.operation.type": "send",
        "messaging.destination.name": topic,
        "velox.request.id": request_id,
    }
    span = spans.begin("publish", "producer", parent=parent_of(_current.get()), attributes=where)
    token = _current.set(_under(span, _current.get()))
    error: str | None = None
    try:
        yield
    except Exception as raised:
        error = type(raised).__name__
        raise
    finally:
        _current.reset(token)
        span.end(error=error)


class Tracing:
    """ASGI middleware: takes W3C Trace Context from the headers. A request without it costs a look at their names.

    With ``spans``, each request makes one, and a trace begins with it where the client has none.
    """

    def __init__(self, app: ASGIApp, spans: Spans | None = None) -> None:
        """Stand before an app."""
        self._app = app
        self._spans = spans

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on."""
        said = [(name.decode(), value) for name, value in scope.get("headers", ()) if name in _NAMES]
        handed_on = tuple(traces(said)) if said else ()
        if self._spans is not None and scope["type"] == "http" and scope["path"] not in _UNTOLD:
            await self._tell(self._spans, handed_on, scope, receive, send)
        elif handed_on:
            await self._under(handed_on, scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _under(self, handed_on: Traces, scope: Scope, receive: Receive, send: Send) -> None:
        token = _current.set(handed_on)
        try:
            with bound(trace_id=trace_id(handed_on)):
                await self._app(scope, receive, send)
        finally:
            _current.reset(token)

    async def _tell(self, spans: Spans, handed_on: Traces, scope: Scope, receive: Receive, send: Send) -> None:
        method, status = scope["method"], _FAILED
        span = spans.begin(method, "server", parent=parent_of(handed_on), attributes={"http.request.method": method})

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        token = _spans.set(spans)
        try:
            await self._under(_under(span, handed_on), scope, receive, watched)
        finally:
            _spans.reset(token)
            route = route_of(scope)
            told: dict[str, Value] = {"http.route": route, "http.response.status_code": status}
            error = None if status < _FAILED else f"answered {status}"
            span.end(name=f"{method} {route}", attributes=told, error=error)


def _under(span: Span, handed_on: Traces) -> Traces:
    """Hand on a span in the place of what it came under."""
    return (TRACEPARENT, span.traceparent), *(each for each in handed_on if each[0] != TRACEPARENT)
