"""`make compose-test`: builds the image, runs docker-compose.yml, loads it, breaks it, counts.

It takes the ports of the stack on this machine, and minutes; so it is a command, not part of `make test`. What it
writes goes to temporary folders, and all that it starts is removed afterwards.
"""

import os
import signal
import sys
import tempfile
import time
from pathlib import Path

from tests.compose import changes, checks, images
from tests.compose.engine import Engine, engine
from tests.compose.faults import faults
from tests.compose.light import light
from tests.compose.report import Report
from tests.compose.stack import IMAGE, Stack, copy_project
from tests.compose.trouble import trouble

SERVICES = ["kafka", "mongo", "consumer", "producer", "prometheus"]
OWNER = 4242
"""Neither root nor the image's own user: what is written belongs to whom .env says."""
PROJECT = "velox-compose-test"
"""On an engine that others use too: their own stack, and its volumes, have the name in docker-compose.yml."""
SETTINGS = {
    "STORE": "all",  # the ledger needs every record's result
    "MODEL_ARCH": "tiny_cnn",  # trains in seconds
    "INFERENCE_PROCESSES": "1",  # three replicas share two cores
    "DOCKER_TORCH_INDEX": os.environ.get("TORCH_INDEX", ""),
}


def main() -> int:
    """Answers the exit code: 0 when every check has passed."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that everything is removed
    report = Report()
    with engine() as docker, tempfile.TemporaryDirectory(prefix="velox-compose-") as folder:
        report.say(f"engine: {'one of our own, removed afterwards' if docker.is_ours else 'the one that answers'}")
        began = time.monotonic()
        stand_ins = images.provide(docker)
        services = SERVICES + (["grafana"] if images.has_grafana(docker) else [])
        report.fact(f"stand-ins: {', '.join(stand_ins) or 'none'} ({time.monotonic() - began:.0f} s)")
        if "grafana" not in services:
            report.fact("left out: grafana, whose image cannot be had here")
        owner = OWNER if os.geteuid() == 0 else os.getuid()
        copy_project(Path(folder), owner)
        stack = Stack(docker, Path(folder), services)
        if not docker.is_ours:
            docker.env["COMPOSE_PROJECT_NAME"] = PROJECT
        stack.configure(DOCKER_UID=str(owner), DOCKER_GID=str(owner), **SETTINGS)
        try:
            _run(docker, stack, report, owner)
        except Exception as error:  # noqa: BLE001 - a summary is due even when the run itself breaks
            report.failed.append(f"the run itself: {error}")
        finally:
            if report.failed:
                report.say(docker.attempt("compose", "logs", "--tail", "25", cwd=stack.folder).stdout)
            stack.down("--volumes")
    return report.summary()


def _run(docker: Engine, stack: Stack, report: Report, owner: int) -> None:
    _built(stack, report)
    trouble(stack, report)
    checks.first_start(stack, report, owner)
    if not stack.containers("consumer"):
        return  # nothing to look at: the log says why
    checks.observed(stack, report)
    checks.hardened(stack, report, owner)
    checks.scaled(stack, report)
    checks.settled(stack, report, "scaling")
    faults(stack, report)
    checks.settled(stack, report, "all faults")
    changes.retrained(stack, report)
    light(stack, report)
    changes.stopped(stack, report)
    changes.upgraded(stack, report)
    checks.settled(stack, report, "retraining, the light image, down, up and the upgrade")


def _built(stack: Stack, report: Report) -> None:
    with report.check("the image builds"):
        cold_s = _build(stack, within_s=1800)
    with report.check("after a change of code it builds again in seconds"):
        before = stack.image()["Id"]
        _change_code(stack.folder)
        warm_s = _build(stack, within_s=30)
        assert stack.image()["Id"] != before, "the change is not in the image"
        megabytes = stack.bytes_of(IMAGE) / 1e6
        report.fact(f"image: {megabytes:.0f} MB; built in {cold_s:.0f} s, after a change of code in {warm_s:.0f} s")


def _build(stack: Stack, *, within_s: float) -> float:
    began = time.monotonic()
    stack.compose("build", timeout_s=within_s)
    return time.monotonic() - began


def _change_code(folder: Path) -> None:
    file = folder / "velox" / "__init__.py"
    file.write_text(file.read_text() + "\n# changed\n")


if __name__ == "__main__":
    sys.exit(main())
