"""docker-compose.api.yml: started, asked, scaled, broken, stopped; every id it gives out has to be answered."""

import json
import time
from collections.abc import Sequence
from typing import Any, Final
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from tests.compose.checks import PROBE
from tests.compose.report import Report, eventually
from tests.compose.stack import Stack

SERVICES: Final = ("kafka", "postgres", "gateway", "ml-worker", "webhooks", "prometheus")
FILES: Final = ("-f", "docker-compose.api.yml")
LIGHT: Final = (*FILES, "-f", "light.yml")
"""With the image without torch, which has no start.sh as it cannot train."""
LIGHT_FILE: Final = """\
services:
  ml-worker:
    command: ["python", "consumer.py", "--models", "all"]
"""
OURS: Final = ("gateway", "ml-worker", "webhooks")
GATEWAY: Final = "http://127.0.0.1:8000"
SETTINGS: Final = {
    # The receiver is in the stack's own network.
    "WEBHOOK_ALLOW": "10.0.0.0/8,172.16.0.0/12,192.168.0.0/16",
    "WEBHOOK_LADDER_S": "0,1,1,1",
}
RECEIVER: Final = "velox-compose-receiver"
LISTEN: Final = """
from http.server import BaseHTTPRequestHandler, HTTPServer
class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        print(self.headers["webhook-id"], flush=True)
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(204)
        self.end_headers()
HTTPServer(("", 9000), Handler).serve_forever()
"""
ASKED: Final = 40
"""Requests around each fault."""


def api(stack: Stack, report: Report, owner: int) -> None:
    """All of it, in an order in which each part needs those before it."""
    with report.check("`docker compose -f docker-compose.api.yml up -d --wait`: every service starts and is healthy"):
        stack.up("--scale", "ml-worker=2")
        assert stack.health() == {service: {"healthy"} for service in stack.services}, stack.health()
    if not stack.containers("gateway"):
        return
    _answers(stack, report)
    _observed(stack, report)
    _hardened(stack, report, owner)
    _scaled(stack, report)
    _faults(stack, report)
    _stopped(stack, report)


def _answers(stack: Stack, report: Report) -> None:
    with report.check("/v1/models: a worker has said that sentiment is ready"):
        eventually("ready", lambda: _models()["sentiment"] == "ready", within_s=180)
        report.fact(f"models of the API: {_models()}")
    with report.check("`/predict`, as the sentiment service's clients ask, is answered"):
        status, said = _ask("POST", "/predict", {"text": "I love this product, it works great!"})
        assert (status, said["status"]) == (202, "pending"), said
        eventually("an answer", lambda: _ask("GET", f"/predict/{said['request_id']}")[1]["status"] == "completed")
        _, answer = _ask("GET", f"/predict/{said['request_id']}")
        assert answer["label"] == "POSITIVE", answer
    with report.check("`/inference` with a webhook: the receiver gets it"):
        stack.compose("run", "--detach", "--no-deps", "--name", RECEIVER, "gateway", "python", "-c", LISTEN)
        body = {"model_name": "text_processing", "data": "Awful.", "webhook_url": f"http://{RECEIVER}:9000/hook"}
        _, said = _ask("POST", "/inference", body)
        eventually("the webhook", lambda: said["request_id"] in stack.docker("logs", RECEIVER))
        stack.docker("rm", "--force", RECEIVER)
    with report.check("a page of JSON Lines, 200 requests at once: each has its result"):
        _all_answered([f"number {number} is wonderful" for number in range(200)])


def _observed(stack: Stack, report: Report) -> None:
    with report.check("Prometheus finds gateway, both workers and the webhook worker"):
        eventually("five up", lambda: len(stack.query("up == 1")) >= 5)
        assert {series["metric"]["job"] for series in stack.query("up == 1")} >= {"gateway", "consumer", "webhooks"}
    for promql in (
        "sum(velox_request_seconds_count)",
        "sum(velox_requests_total)",
        "sum(velox_webhook_attempts_total)",
        "sum(gateway_requests_total)",
        "sum(worker_inference_total)",
    ):
        with report.check(f"`{promql}` is not 0"):
            eventually("a number", lambda: float(stack.query(promql)[0]["value"][1]) > 0)  # noqa: B023 - asked now


def _hardened(stack: Stack, report: Report, owner: int) -> None:
    for service in OURS:
        with report.check(f"{service}: read-only root, not root, no capabilities"):
            assert json.loads(stack.python(service, PROBE)) == {
                "uid": owner,
                "read_only": True,
                "capabilities": 0,
                "no_new_privileges": 1,
            }


def _scaled(stack: Stack, report: Report) -> None:
    owned = 'velox_assigned_partitions{job="consumer"} > 0'
    with report.check("`up --scale ml-worker=3`: all three have partitions, and no request is lost meanwhile"):
        asked = _submit([f"scaling {number}" for number in range(ASKED)])
        stack.up("--scale", "ml-worker=3", "--no-recreate")
        eventually("three with partitions", lambda: len(stack.query(owned)) >= 3, within_s=120)
        _await_all(asked)
    with report.check("back to one worker"):
        stack.up("--scale", "ml-worker=1", "--no-recreate")
        _all_answered(["one is enough"])


def _faults(stack: Stack, report: Report) -> None:
    with report.check("the worker's process is killed: it is started again, and answers what was asked"):
        asked = _submit([f"worker {number}" for number in range(ASKED)])
        _crash(stack, "ml-worker", "consumer.py")
        _all_answered([f"worker again {number}" for number in range(ASKED)], within_s=180)
        _await_all(asked)
    with report.check("the gateway's process is killed: the restart policy brings it back, with every id"):
        asked = _submit([f"gateway {number}" for number in range(ASKED)])
        _crash(stack, "gateway", "gateway")
        eventually("ready", _is_ready, within_s=90)
        _await_all(asked)
    with report.check("PostgreSQL is stopped: 503, and ready again when it is back, with every id"):
        asked = _submit([f"database {number}" for number in range(ASKED)])
        stack.compose("stop", "postgres")
        eventually("not ready", lambda: not _is_ready())
        assert _ask("POST", "/predict", {"text": "nobody home"})[0] == 503
        stack.compose("start", "postgres")
        eventually("ready", _is_ready, within_s=90)
        _await_all(asked, within_s=120)
    with report.check("the broker is killed: 503, and ready again when it is back, with every id"):
        asked = _submit([f"broker {number}" for number in range(ASKED)])
        stack.compose("kill", "kafka")
        eventually("not ready", lambda: not _is_ready())
        stack.compose("start", "kafka")
        eventually("ready", _is_ready, within_s=120)
        _await_all(asked, within_s=180)
        _all_answered(["and on it goes"])


def _stopped(stack: Stack, report: Report) -> None:
    with report.check("`down` ends ours with exit code 0"):
        began = time.time()
        stack.down()
        codes = {service: event["exitCode"] for service, event in stack.events("die", began).items()}
        assert {service: codes.get(service) for service in OURS} == dict.fromkeys(OURS, "0"), codes


def _models() -> dict[str, str | None]:
    return {each["name"]: each["state"] for each in _ask("GET", "/v1/models")[1]["models"]}


def _is_ready() -> bool:
    try:
        return _ask("GET", "/readyz")[0] == 200
    except (URLError, OSError):
        return False


def _crash(stack: Stack, service: str, words: str) -> None:
    """Kill what a service's only container runs; wait until the restart policy has started it again."""
    restarts = stack.inspect(service)["RestartCount"]
    stack.kill(service, words)
    eventually("a restart", lambda: stack.inspect(service)["RestartCount"] == restarts + 1)


def _all_answered(texts: Sequence[str], *, within_s: float = 60) -> None:
    _await_all(_submit(texts), within_s=within_s)


def _submit(texts: Sequence[str]) -> list[str]:
    """Ask all at once; answer the ids."""
    lines = "\n".join(json.dumps({"model": "sentiment", "text": text}) for text in texts)
    request = Request(f"{GATEWAY}/v1/batches", lines.encode(), {"Content-Type": "application/x-ndjson"})  # noqa: S310 - ours
    with urlopen(request, timeout=30) as answer:  # noqa: S310 - as above
        said = [json.loads(line) for line in answer.read().splitlines()]
    return [each["id"] for each in said]


def _await_all(ids: Sequence[str], *, within_s: float = 60) -> None:
    left = set(ids)

    def all_done() -> bool:
        for each in list(left):
            status, said = _ask("GET", f"/v1/requests/{each}")
            assert status == 200, (status, said)
            if said["state"] == "completed":
                left.discard(each)
        return not left

    eventually(f"all of {len(ids)} answered", all_done, within_s=within_s)


def _ask(method: str, path: str, body: object = None) -> tuple[int, Any]:
    """Status and JSON of an answer, whatever the status."""
    data = None if body is None else json.dumps(body).encode()
    request = Request(f"{GATEWAY}{path}", data, {"Content-Type": "application/json"}, method=method)  # noqa: S310 - ours
    try:
        with urlopen(request, timeout=30) as answer:  # noqa: S310 - as above
            return answer.status, json.loads(answer.read() or b"null")
    except HTTPError as error:
        text = error.read()
        return error.code, json.loads(text) if text.startswith(b"{") else text.decode()
