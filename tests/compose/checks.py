"""The stack at work: what a user sees, and what an operator relies on."""

import json
import re
import time
from collections.abc import Callable
from functools import partial

from tests.compose import ledger, readme
from tests.compose.ledger import balance
from tests.compose.report import Report, eventually
from tests.compose.stack import Stack

TARGETS = "up == 1"
LOG_LINES = (
    r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d - INFO - (CPU|GPU) Inference Started",
    r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d - INFO - TARGET MATCH: red_circle \(Conf: \d\.\d\d\)",
    r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d - INFO - Saved to database: red_circle",
)
PROBE = """
import json, os, pathlib
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
try:
    pathlib.Path("/app/probe").touch()
    read_only = False
except OSError:
    read_only = True
print(json.dumps({
    "uid": os.getuid(), "read_only": read_only, "capabilities": int(status["CapEff"], 16) | int(status["CapBnd"], 16),
    "no_new_privileges": int(status["NoNewPrivs"]),
}))
"""
SECRET = re.compile(r"(?i)(password|passwd|secret|token|credential|api_?key|//[^/\s]*:[^/\s]*@)")
MEMORY_MIB = {"kafka": 1536, "mongo": 1024, "consumer": 8192, "producer": 512, "prometheus": 512, "grafana": 512}
LIMIT = "cat /sys/fs/cgroup/memory.max 2>/dev/null || cat /sys/fs/cgroup/memory/memory.limit_in_bytes"


def first_start(stack: Stack, report: Report, owner: int) -> None:
    """From nothing to detections."""
    began = time.time()
    with report.check("`docker compose up -d --wait`: every service starts and is healthy"):
        stack.up()
        assert stack.health() == {service: {"healthy"} for service in stack.services}, stack.health()
    with report.check("the consumer starts after Kafka and MongoDB are healthy, the producer after Kafka"):
        healthy, started = stack.events("health_status", began), stack.events("start", began)
        order = [("consumer", "kafka"), ("consumer", "mongo"), ("producer", "kafka"), ("grafana", "prometheus")]
        for service, needed in (pair for pair in order if pair[0] in stack.services):
            assert float(started[service]["at"]) > float(healthy[needed]["at"]), (service, needed)
    with report.check("`docker compose logs consumer` has the documented lines"):
        for line in LOG_LINES:
            eventually(line, partial(_logged, stack, line))
    with report.check("a query through MongoDB's published port finds detections"):
        query = {"predicted_label": "red_circle", "confidence": {"$gte": 0.9}}
        eventually("a red circle", lambda: ledger.collection().find_one(query))
    with report.check("the README's `docker compose exec mongo mongosh …`, as it is written, finds documents"):
        answer = stack.shell(readme.command("docker compose exec mongo"))
        assert answer.count("predicted_label") == 3, answer
    with report.check("images of detections are in discoveries/ and belong to the host's user"):
        eventually("an image", lambda: list((stack.folder / "discoveries").glob("hit_*.jpg")))
        owners = {file.stat().st_uid for file in (stack.folder / "discoveries").glob("hit_*.jpg")}
        assert owners == {owner}, owners


def observed(stack: Stack, report: Report) -> None:
    """Prometheus and the consumer's own pages."""
    with report.check("Prometheus has all its targets up"):
        eventually("two jobs up", lambda: len(stack.query(TARGETS)) == 2)
        assert not stack.query("up == 0")
    for promql in readme.PROMQL:
        with report.check(f"the README's `{promql}` answers, and is not 0"):
            eventually("a number", lambda: float(stack.query(promql)[0]["value"][1]) > 0)  # noqa: B023 - asked now
    with report.check("/livez and /readyz answer 200"):
        assert [stack.http(page)[0] for page in ("/livez", "/readyz")] == [200, 200]


def hardened(stack: Stack, report: Report, owner: int) -> None:
    """What the containers may not do, asked from inside."""
    for service in ("consumer", "producer"):
        with report.check(f"{service}: read-only root, not root, no capabilities"):
            assert json.loads(stack.python(service, PROBE)) == {
                "uid": owner,
                "read_only": True,
                "capabilities": 0,
                "no_new_privileges": 1,
            }
    with report.check("every service has its memory limit, seen from inside"):
        inside = {name: stack.compose("exec", "--no-TTY", name, "sh", "-c", LIMIT).strip() for name in stack.services}
        assert inside == {name: str(MEMORY_MIB[name] << 20) for name in stack.services}, inside
    with report.check("no secret in the image's history, environment or labels"):
        config = stack.image()["Config"]
        assert not SECRET.search(stack.history() + json.dumps([config["Env"], config["Labels"]]))


def scaled(stack: Stack, report: Report) -> None:
    """Three consumers, and one again."""
    owned = "velox_assigned_partitions"
    with report.check("`up --scale consumer=3`: three replicas share six partitions, Prometheus finds them"):
        stack.up("--scale", "consumer=3", "--no-recreate")
        shares: Callable[[], list[str]] = lambda: sorted(series["value"][1] for series in stack.query(owned))  # noqa: E731
        eventually("2 partitions each", lambda: shares() == ["2", "2", "2"])
        eventually("three consumers and itself up", lambda: len(stack.query(TARGETS)) == 4)
    with report.check("back to one consumer: it owns all partitions, Prometheus forgets the others"):
        stack.up("--scale", "consumer=1", "--no-recreate")
        eventually("a consumer and itself up", lambda: len(stack.query("up")) == 2)
        eventually("6 partitions", lambda: "velox_assigned_partitions 6" in stack.http("/metrics")[1])


def _logged(stack: Stack, line: str) -> bool:
    return re.search(line, stack.log("consumer"), re.MULTILINE) is not None


def settled(stack: Stack, report: Report, after: str) -> None:
    """The ledger: the producer pauses for it."""
    with report.check(f"ledger after {after}"):
        stack.compose("stop", "producer")
        try:
            report.say(f"     {balance()}")
        finally:
            stack.compose("start", "producer")
