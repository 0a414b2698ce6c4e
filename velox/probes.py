"""A process's own small web server: /metrics, /livez, /readyz."""

import errno
import json
import logging
import os
import socket
import threading
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import MappingProxyType
from typing import Any, Final

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from velox.errors import SettingsError

log = logging.getLogger(__name__)

_REQUEST_S = 10
"""A client that sends no request for so long is let go of: each holds a thread."""

_NO_IPV6: Final = frozenset({errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL})

Probe = Callable[[], str | None]
"""Returns None when all is well, else the cause."""


Report = Callable[[], Mapping[str, Any]]
"""Returns what is told as JSON."""


def listen(port: int) -> socket.socket:
    """Listen on all addresses of this machine, IPv4 and IPv6; where it has no IPv6, on those of IPv4.

    Raises:
        SettingsError: the port is taken, on one of them, or not ours to take.
    """
    try:
        if socket.has_dualstack_ipv6():
            try:
                return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
            except OSError as error:
                if error.errno not in _NO_IPV6:
                    raise
        return socket.create_server(("", port))
    except OSError as error:
        msg = f"METRICS_PORT={port}: {os.strerror(error.errno or 0)}; choose another, or 0 for any free one"
        raise SettingsError(msg) from error


class ProbeServer:
    """Serves until closed, on threads of its own.

    A probe answers 200 with ``{"ready": true}``, or 503 with ``{"ready": false, "cause": "…"}``; or ``live`` likewise.
    HEAD is answered as GET is, without the body.
    """

    def __init__(self, port: int, registry: CollectorRegistry) -> None:
        """Take the port; who asks before ``serve`` waits.

        Raises:
            SettingsError: the port cannot be had.
        """
        probes: dict[str, Probe] = {}
        reports: dict[str, Report] = {}
        self._probes, self._reports = probes, reports

        class Handler(BaseHTTPRequestHandler):
            timeout = _REQUEST_S

            def do_GET(self) -> None:
                path = self.path.partition("?")[0]
                if path == "/metrics":
                    encode, content_type = choose_encoder(self.headers.get("Accept", ""))
                    self._answer(200, encode(registry), content_type)
                elif path in probes:
                    cause = probes[path]()
                    claim = {"/livez": "live", "/readyz": "ready"}[path]
                    body = {claim: True} if cause is None else {claim: False, "cause": cause}
                    self._answer(200 if cause is None else 503, json.dumps(body).encode(), "application/json")
                elif path in reports:
                    self._answer(200, json.dumps(reports[path]()).encode(), "application/json")
                else:
                    self._answer(404, b"try /metrics, /livez or /readyz\n", "text/plain")

            do_HEAD = do_GET  # noqa: N815 - the base class finds a method by its name

            def do_POST(self) -> None:
                self._answer(405, b"only GET and HEAD\n", "text/plain")

            do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_POST  # noqa: N815 - the same

            def _answer(self, status: int, body: bytes, content_type: str) -> None:
                self.send_response(status)
                self.send_header("Content-Type", content_type)
                self.send_header("Content-Length", str(len(body)))
                if status == HTTPStatus.METHOD_NOT_ALLOWED:
                    self.send_header("Allow", "GET, HEAD")
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, ANN401 - the base class's signature
                log.debug(format, *args)

        listening = listen(port)
        self.port: int = listening.getsockname()[1]
        self._server = ThreadingHTTPServer(("", self.port), Handler, bind_and_activate=False)
        self._server.socket.close()
        self._server.socket = listening
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, name="probes", daemon=True)

    def serve(self, *, live: Probe, ready: Probe, reports: Mapping[str, Report] = MappingProxyType({})) -> None:
        """Begin to answer; ``reports`` by their path, each beginning with a slash."""
        self._reports |= reports
        self._probes |= {"/livez": live, "/readyz": ready}
        self._thread.start()
        log.info("Metrics and health on port %d: /metrics /livez /readyz", self.port)

    def close(self) -> None:
        """Stop listening; safe also before ``serve``."""
        if self._thread.is_alive():
            self._server.shutdown()
        self._server.server_close()
