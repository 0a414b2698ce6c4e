"""What goes wrong while the stack works. Each fault is followed by proof that records are stored again."""

import time

from tests.compose import ledger
from tests.compose.report import Report, eventually
from tests.compose.stack import Stack

OURS = ("consumer", "producer")
INFERENCE = "velox_inference_restarts_total"


def faults(stack: Stack, report: Report) -> None:
    """One after the other, under load."""
    with report.check("an inference process is killed: it is replaced"):
        stack.kill("consumer", "spawn_main")
        eventually("a replacement", lambda: f"{INFERENCE} 1" in stack.http("/metrics")[1])
        progress(stack)
    for service in OURS:
        with report.check(f"{service}'s process is killed: the restart policy brings it back"):
            restarts = stack.inspect(service)["RestartCount"]
            stack.kill(service, f"{service}.py")
            eventually("a restart", lambda: stack.inspect(service)["RestartCount"] == restarts + 1)  # noqa: B023 - asked now
            progress(stack)
    with report.check("the broker is killed: producer and consumer say so, and none is restarted"):
        restarts = [stack.inspect(service)["RestartCount"] for service in OURS]
        stack.compose("kill", "kafka")
        eventually("a producer that is unhealthy", lambda: stack.health()["producer"] == {"unhealthy"}, within_s=90)
        eventually("not ready", lambda: stack.http("/readyz")[0] == 503)
        assert stack.http("/livez")[0] == 200
        assert [stack.inspect(service)["RestartCount"] for service in OURS] == restarts
    with report.check("it is started again: everything goes on by itself"):
        stack.compose("start", "kafka")
        progress(stack)
        eventually("all healthy", lambda: set().union(*stack.health().values()) == {"healthy"}, within_s=90)
    with report.check("`stop mongo`: not ready, and says why; `start mongo`: goes on"):
        stack.compose("stop", "mongo")
        eventually("not ready", lambda: stack.http("/readyz")[0] == 503)
        assert "mongo" in stack.http("/readyz")[1]
        assert stack.http("/livez")[0] == 200
        stack.compose("start", "mongo")
        progress(stack)


def progress(stack: Stack) -> None:
    """Wait until the consumer is ready and documents of records produced from now on arrive."""
    now = time.time()
    eventually("ready", lambda: stack.http("/readyz")[0] == 200, within_s=120)
    fresh = {"timestamp": {"$gt": now}}
    eventually("new documents", lambda: ledger.collection().find_one(fresh), within_s=120)
