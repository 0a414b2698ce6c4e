"""`make compose-test`: builds the image, runs docker-compose.yml and docker-compose.api.yml, breaks them, counts.

It takes the ports of the stack on this machine, and minutes; so it is a command, not part of `make test`. What it
writes goes to temporary folders, and all that it starts is removed afterwards.
"""

import argparse
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.compose import api, changes, checks, images
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


STACKS = ("shapes", "api")


def main() -> int:
    """Answers the exit code: 0 when every check has passed."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that everything is removed
    parser = argparse.ArgumentParser(prog="python -m tests.compose", description=__doc__)
    parser.add_argument("stacks", nargs="*", metavar="STACK", help="shapes or api (default: both)")
    stacks = parser.parse_args().stacks or STACKS
    if unknown := set(stacks).difference(STACKS):
        parser.error(f"there is no stack {', '.join(sorted(unknown))}: there are {', '.join(STACKS)}")
    report = Report()
    with engine() as docker:
        report.say(f"engine: {'one of our own, removed afterwards' if docker.is_ours else 'the one that answers'}")
        began = time.monotonic()
        stand_ins = images.provide(docker)
        report.fact(f"stand-ins: {', '.join(stand_ins) or 'none'} ({time.monotonic() - began:.0f} s)")
        there = images.optional(docker)
        if lacking := sorted(service for service, is_there in there.items() if not is_there):
            report.fact(f"left out, as their images cannot be had here: {', '.join(lacking)}")
        owner = OWNER if os.geteuid() == 0 else os.getuid()
        if not docker.is_ours:
            docker.env["COMPOSE_PROJECT_NAME"] = PROJECT
        if "shapes" in stacks:
            services = [*SERVICES, *(["grafana"] if there["grafana"] else [])]
            with _stack(docker, report, services, owner) as stack:
                stack.configure(**SETTINGS)
                _run(docker, stack, report, owner)
        if "api" in stacks:
            services = [*api.SERVICES, *(service for service, is_there in there.items() if is_there)]
            is_built = "shapes" in stacks
            with _stack(docker, report, services, owner, files=api.FILES if is_built else api.LIGHT) as stack:
                (stack.folder / "light.yml").write_text(api.LIGHT_FILE)
                stack.configure(**api.SETTINGS)
                if not is_built:
                    _build_light(docker, stack, report)
                api.api(stack, report, owner)
    return report.summary()


@contextmanager
def _stack(
    docker: Engine, report: Report, services: list[str], owner: int, *, files: tuple[str, ...] = ()
) -> Iterator[Stack]:
    """A stack in a copy of the project; its logs are shown if a check fails, and nothing of it is left."""
    failed = len(report.failed)
    with tempfile.TemporaryDirectory(prefix="velox-compose-") as folder:
        copy_project(Path(folder), owner)
        stack = Stack(docker, Path(folder), services, files=files)
        stack.configure(DOCKER_UID=str(owner), DOCKER_GID=str(owner))
        try:
            yield stack
        except Exception as error:  # noqa: BLE001 - a summary is due even when the run itself breaks
            report.failed.append(f"the run itself: {error}")
        finally:
            if len(report.failed) > failed:
                report.say(docker.attempt("compose", *files, "logs", "--tail", "25", cwd=stack.folder).stdout)
            stack.down("--volumes")


def _build_light(docker: Engine, stack: Stack, report: Report) -> None:
    """Build the image without torch under the default one's name: quick, and enough for texts."""
    with report.check("the image without torch builds"):
        target = ("--target", "runtime", "--tag", IMAGE)
        docker.docker("build", "--quiet", *target, str(stack.folder), timeout_s=1800)
        report.fact("the API ran on the image without torch: its workers cannot make the classifier of images")


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
