"""The receiver of a run's webhooks: checks each signature by the standard's text, and counts."""

import base64
import hashlib
import hmac
import json
import threading
from collections import defaultdict
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import monotonic
from typing import Final, NamedTuple, Self

HOST: Final = "127.0.0.1"
_SECRET_START: Final = "whsec_"  # noqa: S105 - how every secret of the convention begins


def is_signed(secret: str, headers: dict[str, str], body: bytes) -> bool:
    """Check a webhook as https://www.standardwebhooks.com tells receivers to; without the library that signs."""
    key = base64.b64decode(secret.removeprefix(_SECRET_START))
    signed = f"{headers.get('webhook-id', '')}.{headers.get('webhook-timestamp', '')}.".encode() + body
    expected = base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
    given = headers.get("webhook-signature", "").split()
    return any(hmac.compare_digest(each, f"v1,{expected}") for each in given)


class Taken(NamedTuple):
    """One delivery."""

    webhook_id: str
    said: str
    """What became of the request: a label, or the reason of its failure."""


class Receiver:
    """Takes webhooks on a free port of this machine, from as many connections as there are."""

    def __init__(self, secret: str, *, down_s: float = 0.0) -> None:
        """Refuse all for ``down_s`` from the first attempt on."""
        self.taken: dict[str, list[Taken]] = defaultdict(list)
        """What was taken of each request, by its id."""
        self.refused = 0
        self.forged = 0
        """Attempts with a signature that is none, or a body that makes no sense."""
        self._secret = secret
        self._down_s = down_s
        self._up_at: float | None = None
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer((HOST, 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, name="receiver", daemon=True)

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://{HOST}:{self._server.server_port}/results"

    def take(self, headers: dict[str, str], body: bytes) -> HTTPStatus:
        """Hear one attempt, and answer it."""
        with self._lock:
            if self._up_at is None:
                self._up_at = monotonic() + self._down_s
            if monotonic() < self._up_at:
                self.refused += 1
                return HTTPStatus.SERVICE_UNAVAILABLE
            if not is_signed(self._secret, headers, body):
                self.forged += 1
                return HTTPStatus.UNAUTHORIZED
            try:
                data = json.loads(body)["data"]
                said = data["label"] if data["error"] is None else data["error"]["reason"]
                self.taken[data["id"]].append(Taken(headers["webhook-id"], said))
            except (ValueError, KeyError, TypeError):
                self.forged += 1
                return HTTPStatus.BAD_REQUEST
            return HTTPStatus.NO_CONTENT

    def __enter__(self) -> Self:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _handler(receiver: Receiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            length = int(self.headers.get("content-length", 0))
            body = self.rfile.read(length)
            if len(body) < length:  # whoever sent it was killed meanwhile
                self.close_connection = True
                return
            status = receiver.take({name.lower(): value for name, value in self.headers.items()}, body)
            self.send_response(status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the server's name for it
            """Say nothing of each."""

    return Handler
