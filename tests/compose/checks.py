"""The stack at work: what a user sees, and what an operator relies on."""

import json
import re
import time
from collections.abc import Callable
from functools import partial

from tests.compose import ledger
from tests.compose.ledger import balance
from tests.compose.report import Report, eventually
from tests.compose.stack import Stack

TARGETS = "up == 1"
DETECTIONS = "rate(target_shapes_found[1m]) * 60"
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
limits = [p for p in map(pathlib.Path, ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"))]
print(json.dumps({
    "uid": os.getuid(), "read_only": read_only, "capabilities": int(status["CapEff"], 16) | int(status["CapBnd"], 16),
    "no_new_privileges": int(status["NoNewPrivs"]), "memory": [p.read_text().strip() for p in limits if p.exists()][0],
}))
"""
SECRET = re.compile(r"(?i)(password|passwd|secret|token|credential|api_?key|//[^/\s]*:[^/\s]*@)")
MEMORY = {"consumer": 8 << 30, "producer": 512 << 20}


def first_start(stack: Stack, report: Report, owner: int) -> None:
    """From nothing to detections."""
    began = time.time()
    with report.check("`up`: every service starts and is healthy"):
        stack.up()
    with report.check("the consumer starts after Kafka and MongoDB are healthy, the producer after Kafka"):
        healthy, started = stack.events("health_status", began), stack.events("start", began)
        for service, needed in (("consumer", "kafka"), ("consumer", "mongo"), ("producer", "kafka")):
            assert float(started[service]["at"]) > float(healthy[needed]["at"]), (service, needed)
    with report.check("`docker compose logs consumer` has the documented lines"):
        for line in LOG_LINES:
            eventually(line, partial(_logged, stack, line))
    with report.check("a query through MongoDB's published port finds detections"):
        query = {"predicted_label": "red_circle", "confidence": {"$gte": 0.9}}
        eventually("a red circle", lambda: ledger.collection().find_one(query))
    with report.check("the README's `docker compose exec mongo mongosh` finds documents"):
        shell = ["exec", "--no-TTY", "mongo", "mongosh", "lab_discovery_db"]
        answer = stack.compose(*shell, "--eval", "db.shapes_found.find().limit(3)")
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
    with report.check(f"`{DETECTIONS}` answers, and is not 0"):
        eventually("detections a minute", lambda: float(stack.query(DETECTIONS)[0]["value"][1]) > 0)
    with report.check("/livez and /readyz answer 200"):
        assert [stack.http(page)[0] for page in ("/livez", "/readyz")] == [200, 200]


def hardened(stack: Stack, report: Report, owner: int) -> None:
    """What the containers may not do, asked from inside."""
    for service, memory_bytes in MEMORY.items():
        with report.check(f"{service}: read-only root, not root, no capabilities, memory limit in force"):
            assert json.loads(stack.python(service, PROBE)) == {
                "uid": owner,
                "read_only": True,
                "capabilities": 0,
                "no_new_privileges": 1,
                "memory": str(memory_bytes),
            }
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
        assert len(stack.query(TARGETS)) == 4
    with report.check("back to one consumer: it owns all partitions"):
        stack.up("--scale", "consumer=1", "--no-recreate")
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
