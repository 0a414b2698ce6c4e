"""A pipeline with its dashboard, and a browser that looks at it."""

import os
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.pipeline import REPOSITORY, Program, wait_until
from tests.small_model import SMALL_MODEL, install
from velox.tools.up.environment import free_port

playwright = pytest.importorskip("playwright.sync_api", reason="needs Playwright: make browser-test")
CHROMIUM = Path("/usr/bin/chromium")
SETTINGS = {**SMALL_MODEL, "TARGET_LABELS": "*", "CONFIDENCE_THRESHOLD": "0", "INFERENCE_PROCESSES": "1"}
SETTINGS["PRODUCER_INTERVAL"] = "0.1"

Page = Any


class Shown(Program):
    """``velox up`` in a folder of its own, with a dashboard."""

    def __init__(self, folder: Path, *args: str, **settings: str) -> None:
        self.port, self.log = free_port(), folder / "up-output.log"
        self.url = f"http://localhost:{self.port}"
        own = {"PATH": os.environ["PATH"], "PYTHONPATH": str(REPOSITORY), "DASHBOARD_PORT": str(self.port)}
        with self.log.open("wb") as log:
            command = [sys.executable, "-m", "velox", "up", *args]
            env = {**own, **SETTINGS, **settings}
            self.process = subprocess.Popen(command, cwd=folder, env=env, stdout=log, stderr=log)

    def answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/api/health", timeout=2) as answer:  # noqa: S310 - our own
                return bool(answer.status == 200)
        except OSError:
            return False


@contextmanager
def shown(folder: Path, *args: str, **settings: str) -> Iterator[Shown]:
    """Run a pipeline until the block ends."""
    program = Shown(folder, *args, **settings)
    try:
        wait_until(program.answers, what=lambda: program.output)
        yield program
    finally:
        program.end()


@pytest.fixture(scope="session")
def pipeline(small_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    """Shapes, drawn and predicted all the time."""
    folder = tmp_path_factory.mktemp("shapes")
    install(small_model, folder)
    with shown(folder) as program:
        yield program


@pytest.fixture
def cameras(small_model: Path, tmp_path: Path) -> Iterator[Shown]:
    """Six drawn cameras."""
    install(small_model, tmp_path)
    pipeline = str(REPOSITORY / "pipelines" / "cameras.env")
    init = [sys.executable, "-m", "velox", "cameras", "init", "--count", "6", "--size", "320x180", "--fps", "2"]
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY), "BUCKET_URL": (tmp_path / "frames").as_uri()}
    subprocess.run([*init, "--env-file", pipeline], cwd=tmp_path, env=env, check=True)
    ports = {"CAMERAS_PORT": str(free_port()), "BUCKET_URL": (tmp_path / "frames").as_uri()}
    with shown(tmp_path, "--env-file", pipeline, **ports) as program:
        yield program


@pytest.fixture(scope="session")
def browser() -> Iterator[Callable[..., Page]]:
    """Opens pages in a headless Chromium of the distribution's."""
    if not CHROMIUM.exists():
        pytest.skip(f"needs {CHROMIUM}: apt-get install --no-install-recommends chromium")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield chromium.new_page
        chromium.close()


@pytest.fixture
def page(browser: Callable[..., Page]) -> Iterator[Page]:
    """A page on which nothing may go wrong: an error of a script, or of the policy, fails the test."""
    opened = browser(viewport={"width": 1280, "height": 860})
    opened.set_default_timeout(60_000)
    wrong: list[str] = []
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.on("console", lambda said: wrong.append(said.text) if "Content Security Policy" in said.text else None)
    yield opened
    opened.close()
    assert wrong == []
