"""What goes wrong first, by the README: users must really see what it quotes."""

import shutil
import socket

from tests.compose import readme
from tests.compose.report import Report
from tests.compose.stack import Stack

MONGO_PORT = 27017
SICK = "services: {kafka: {healthcheck: {test: ['CMD', 'false'], interval: 1s, start_period: 0s, retries: 1}}}\n"
"""A broker that never gets healthy, without the two minutes that this takes."""


def trouble(stack: Stack, report: Report) -> None:
    """Try what can be tried before the stack starts. A full disk, and a model with other labels, come later."""
    taken, driver, _, sick, _ = readme.SYMPTOMS
    with report.check(f"a port in use: `{taken}`"):
        with socket.create_server(("127.0.0.1", MONGO_PORT)):
            _expect(taken, stack.shell("docker compose up -d mongo"))
        stack.down()
    if shutil.which("nvidia-smi") is None:
        with report.check(f"the GPU file without a driver: `{driver}`"):
            files = "-f docker-compose.yml -f docker-compose.gpu.yml"
            _expect(driver, stack.shell(f"docker compose {files} run --rm --no-deps consumer true"))
    with report.check(f"a broker that does not get well: `{sick}`"):
        (stack.folder / "sick.yml").write_text(SICK)
        _expect(sick, stack.shell("docker compose -f docker-compose.yml -f sick.yml up -d producer"))
        stack.down()


def _expect(symptom: str, said: str) -> None:
    assert symptom in said, said[-1000:]
