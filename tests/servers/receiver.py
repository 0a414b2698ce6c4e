"""A receiver of webhooks on a port of its own: answers what it is told to, and keeps what it got."""

import ssl
import threading
import time
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Final, Self

from tests.servers.process import HOST, free_port

_TRICKLE_S: Final = 0.02


@dataclass(frozen=True)
class Reply:
    """An answer; a trickling one sends a byte of a header now and then, and never ends."""

    status: int = 204
    headers: Mapping[str, str] = field(default_factory=dict)
    trickles: bool = False


@dataclass(frozen=True)
class Got:
    """A webhook as it came."""

    path: str
    headers: Mapping[str, str]
    """By their names in small letters."""
    body: bytes
    at: float
    """Unix seconds."""

    @property
    def id(self) -> str:
        """The webhook's id."""
        return self.headers["webhook-id"]


class Receiver:
    """Listens while it is entered. The port stays the same over ``close`` and ``open``."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.port = free_port()
        self.got: list[Got] = []
        self.replies: dict[str, list[Reply]] = defaultdict(lambda: [Reply()])
        """By path: the next one is taken, the last one stays."""
        self._tls = tls
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self._server: ThreadingHTTPServer | None = None

    def url(self, path: str, *, host: str = HOST) -> str:
        """Where to send what."""
        return f"{'https' if self._tls else 'http'}://{host}:{self.port}{path}"

    def ids(self, path: str | None = None) -> list[str]:
        """The ids of all that came, in their order."""
        return [each.id for each in list(self.got) if path in {None, each.path}]

    def open(self) -> None:
        """Listen."""
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                reply = receiver._take(Got(self.path, headers, body, time.time()))
                if reply.trickles:
                    self._trickle()
                    return
                self.send_response(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                if reply.status != 204:
                    self.send_header("Content-Length", "0")
                self.end_headers()

            def _trickle(self) -> None:
                self.close_connection = True
                with suppress(OSError):
                    self.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
                    while not receiver._ending.wait(_TRICKLE_S):
                        self.wfile.write(b"x")

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's signature
                pass

        self._ending.clear()
        server = ThreadingHTTPServer((HOST, self.port), Handler)
        server.daemon_threads = True
        server.block_on_close = False
        if self._tls is not None:
            server.socket = self._tls.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, args=[0.05], daemon=True).start()
        self._server = server

    def close(self) -> None:
        """Listen no more; safe twice."""
        if self._server is not None:
            self._ending.set()
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def _take(self, got: Got) -> Reply:
        with self._lock:
            self.got.append(got)
            replies = self.replies[got.path]
            return replies.pop(0) if len(replies) > 1 else replies[0]

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
