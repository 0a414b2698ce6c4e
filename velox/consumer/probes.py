"""The consumer's own small web server: /metrics, /livez, /readyz."""

import json
import logging
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from velox.errors import SettingsError

log = logging.getLogger(__name__)

_REQUEST_S = 10
"""A client that sends no request for so long is let go of: each holds a thread."""

Probe = Callable[[], str | None]
"""Answers None when all is well, else the cause."""


class ProbeServer:
    """Serves until closed, on threads of its own.

    A probe answers 200 with ``{"ready": true}``, or 503 with ``{"ready": false, "cause": "…"}``; or ``live`` likewise.
    """

    def __init__(self, port: int, registry: CollectorRegistry) -> None:
        """Take the port; who asks before ``serve`` waits.

        Raises:
            SettingsError: the port is taken.
        """
        probes: dict[str, Probe] = {}
        self._probes = probes

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
                else:
                    self._answer(404, b"try /metrics, /livez or /readyz\n", "text/plain")

            def _answer(self, status: int, body: bytes, content_type: str) -> None:
                self.send_response(status)
                self.send_header("Content-Type", content_type)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, ANN401 - the base class's signature
                log.debug(format, *args)

        try:
            self._server = ThreadingHTTPServer(("", port), Handler)
        except OSError as error:
            msg = f"METRICS_PORT={port}: {error.strerror}; choose another, or 0 for any free one"
            raise SettingsError(msg) from error
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]

    def serve(self, *, live: Probe, ready: Probe) -> None:
        """Begin to answer."""
        self._probes |= {"/livez": live, "/readyz": ready}
        threading.Thread(target=self._server.serve_forever, name="probes", daemon=True).start()
        log.info("Metrics and health on port %d: /metrics /livez /readyz", self.port)

    def close(self) -> None:
        """Stop listening; safe also before ``serve``."""
        if self._probes:  # else nobody serves, and a request to stop would never be heard
            self._server.shutdown()
        self._server.server_close()
