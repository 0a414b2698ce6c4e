"""What `helm test` asks a gateway, of one that answers as told."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.deploy.chart import CHART

SCRIPT = CHART / "files/smoke.py"
DONE = {"status": "completed", "label": "POSITIVE", "score": 0.9}
ACCEPTED = {"request_id": "one", "status": "pending"}

Answers = dict[str, list[tuple[int, dict[str, object]]]]


@contextmanager
def gateway(answers: Answers) -> Iterator[str]:
    """Serves what is scripted by path; the last of it again and again."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status: int
            body: dict[str, object]
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if self.path != "/readyz" and self.headers.get("Authorization") != "Bearer vx_key":
                status, body = 401, {"detail": "no key"}
            else:
                scripted = answers[self.path]
                status, body = scripted.pop(0) if len(scripted) > 1 else scripted[0]
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        do_POST = do_GET  # noqa: N815 - the base class finds a method by its name

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's signature
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def smoke(url: str, *, timeout_s: float = 30, key: str = "vx_key") -> subprocess.CompletedProcess[str]:
    told = {"GATEWAY_URL": url, "TIMEOUT_S": str(timeout_s), "TEXT": "I love it!", "API_KEY": key}
    command = [sys.executable, "-Ic", SCRIPT.read_text()]
    return subprocess.run(command, env=os.environ | told, capture_output=True, text=True, check=False, timeout=60)


def answers(*results: dict[str, object]) -> Answers:
    return {
        "/readyz": [(503, {"ready": False}), (200, {"ready": True})],
        "/predict": [(202, dict(ACCEPTED))],
        "/predict/one": [(200, each) for each in results],
    }


def test_it_waits_for_readiness_and_for_the_result() -> None:
    with gateway(answers({"status": "pending"}, dict(DONE))) as url:
        done = smoke(url)
    assert done.returncode == 0, done.stderr
    assert "'label': 'POSITIVE'" in done.stdout


@pytest.mark.parametrize("result", [{"status": "failed", "label": "ERROR"}, {"status": "pending"}])
def test_a_prediction_that_fails_or_does_not_come_fails_it(result: dict[str, object]) -> None:
    with gateway(answers(result)) as url:
        assert smoke(url, timeout_s=3).returncode == 1


def test_a_key_that_is_refused_fails_it_at_once() -> None:
    with gateway(answers(dict(DONE))) as url:
        done = smoke(url, timeout_s=600, key="wrong")
    assert done.returncode == 1
    assert "401" in done.stderr
