"""A link to an HTTP server that answers as servers in trouble do, in this process."""

import http.client
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

from tests.servers.process import HOST, free_port

Fault = Callable[["Exchange"], bool]
"""Answers a request instead of the server, and says so; may also wait, and leave it to the server."""


class Exchange(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    server: "FaultyHttp"

    def forward(self) -> None:
        """Have the fault answer, else the server."""
        self.server.seen.append(dict(self.headers))
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.server.fault(self):
            self.close_connection = True
            return
        status, headers, payload = self.asked(body)
        self.answer(status, headers, payload)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = forward  # noqa: N815 - names of the base

    def asked(self, body: bytes = b"") -> tuple[int, list[tuple[str, str]], bytes]:
        """Ask the server behind, by the same words: the signature covers the host's name."""
        connection = http.client.HTTPConnection(HOST, self.server.target_port, timeout=30)
        try:
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                connection.putheader(name, value)
            connection.endheaders(body or None)
            response = connection.getresponse()
            return response.status, response.getheaders(), response.read()
        finally:
            connection.close()

    def answer(self, status: int, headers: list[tuple[str, str]], payload: bytes, *, cut_at: int | None = None) -> None:
        """Answer; with `cut_at`, end the connection after so many bytes of what was announced."""
        self.send_response(status)
        for name, value in headers:
            if name.lower() not in {"content-length", "transfer-encoding", "connection"}:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        with suppress(ConnectionError):  # nobody may wait for it any more
            self.wfile.write(payload[:cut_at])

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Say nothing."""


class FaultyHttp(ThreadingHTTPServer):
    """Forwards to a port of this machine, until it is given a fault."""

    daemon_threads = True

    def __init__(self, target_port: int) -> None:
        self.port = free_port()
        super().__init__((HOST, self.port), Exchange)
        self.target_port = target_port
        self.fault: Fault = well
        self.seen: list[dict[str, str]] = []
        """The headers of each request."""
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shutdown()
        self.server_close()


def well(_exchange: Exchange) -> bool:
    """No fault."""
    return False


def busy(exchange: Exchange) -> bool:
    """As S3 asks to slow down."""
    text = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
    exchange.answer(503, [("Content-Type", "application/xml")], text)
    return True


def slow(seconds: float, only: str) -> Fault:
    """Wait with every answer about what has such a path."""

    def fault(exchange: Exchange) -> bool:
        if exchange.path.partition("?")[0].endswith(only):
            time.sleep(seconds)
        return False

    return fault


def cut(exchange: Exchange) -> bool:
    """End each answer that has a body in the middle of it."""
    status, headers, payload = exchange.asked()
    exchange.answer(status, headers, payload, cut_at=len(payload) // 2)
    return True


def elsewhere(port: int) -> Fault:
    """Send everybody on to another server."""

    def fault(exchange: Exchange) -> bool:
        exchange.answer(307, [("Location", f"http://{HOST}:{port}{exchange.path}")], b"")
        return True

    return fault
