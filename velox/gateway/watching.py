"""Measures each HTTP request and each statement of the store."""

import logging
from collections.abc import Callable, Sized
from time import perf_counter
from typing import Final, TypeVar

from prometheus_client.exposition import choose_encoder
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from velox.metrics.gateway import GatewayMetrics

log = logging.getLogger(__name__)

Items = TypeVar("Items", bound=Sized)
Answer = TypeVar("Answer")

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_NO_ROUTE: Final = "none"


class Watching:
    """ASGI middleware: counts answers, and times them to their first byte. Labels are few: the route, not the path."""

    def __init__(self, app: ASGIApp, metrics: GatewayMetrics) -> None:
        """Stand before an app."""
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status, took_s = perf_counter(), 500, 0.0

        async def watched(message: Message) -> None:
            nonlocal status, took_s
            if message["type"] == "http.response.start":
                status, took_s = message["status"], perf_counter() - started
            await send(message)

        self._metrics.http_active.inc()
        try:
            await self._app(scope, receive, watched)
        finally:
            self._metrics.http_active.dec()
            route, method = route_of(scope), scope["method"]
            self._metrics.http.labels(route, method if method in _METHODS else "other", str(status)).inc()
            self._metrics.http_seconds.labels(route).observe(took_s or perf_counter() - started)
            log.debug("%s %s: %d", method, scope["path"], status)


def route_of(scope: Scope) -> str:
    """Name the route of a request that was answered; not its path, of which there are many."""
    path: str = getattr(scope.get("route"), "path", _NO_ROUTE)
    return path


def exposition(metrics: GatewayMetrics, request: Request) -> Response:
    """Write the metrics in the form that the client asks for."""
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    return Response(encode(metrics.registry), headers={"Content-Type": content_type})


def timed(metrics: GatewayMetrics, statement: str, call: Callable[[Items], Answer]) -> Callable[[Items], Answer]:
    """Have a call of the store about several rows measured."""

    def measured(items: Items) -> Answer:
        metrics.store_batch.labels(statement).observe(len(items))
        with metrics.store.labels(statement).time():
            return call(items)

    return measured
