"""``velox up --api`` as a user runs it: the lines that the two systems' documents show, against it."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.e2e.pipeline import REPOSITORY, Program, wait_until
from tests.photographs import SAMPLES, sample
from tests.servers.process import PATIENCE, free_port

Json = dict[str, Any]
MODELS = """\
[sentiment]
env_file = "{pipelines}/api-sentiment.env"

[text_processing]
same_as = "sentiment"

[image_classification]
env_file = "{pipelines}/api-images.env"
"""


class UpApi(Program):
    """A running ``velox up --api``."""

    def __init__(self, folder: Path, *args: str) -> None:
        self.folder = folder
        self.log = folder / "up-output.log"
        self.base = f"http://127.0.0.1:{free_port()}"
        own = {"PYTHONPATH": str(REPOSITORY), "GATEWAY_PORT": self.base.rpartition(":")[2]}
        env = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ} | own
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "velox", "up", "--api", *args], cwd=folder, env=env, stdout=log, stderr=log
            )

    def curl(self, *args: str) -> Json:
        """What the command of that name answers, as JSON."""
        done = subprocess.run(["curl", "-sS", *args], cwd=self.folder, capture_output=True, text=True, check=True)
        answer: Json = json.loads(done.stdout)
        return answer

    def answered(self, path: str, *, final: str = "completed") -> Json:
        """Ask until there is an answer."""
        answers: list[Json] = []

        def is_final() -> bool:
            answers.append(self.curl(f"{self.base}{path}"))
            return bool(answers[-1]["status"] == final)

        wait_until(is_final, what=lambda: f"{final}: {answers[-1:]}\n{self.output}")
        return answers[-1]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "models.toml").write_text(MODELS.format(pipelines=REPOSITORY / "pipelines"))
    return tmp_path


@pytest.fixture
def up(folder: Path) -> Iterator[UpApi]:
    program = UpApi(folder)
    yield program
    program.end()


@pytest.mark.timeout(300)
def test_both_apis_answer_what_their_documents_ask_and_all_is_answered_at_the_end(up: UpApi) -> None:
    up.wait_until_it_says("sentiment ready", timeout_s=180 * PATIENCE)
    as_json = ("-H", "Content-Type: application/json")
    asked = up.curl("-X", "POST", f"{up.base}/predict", *as_json, "-d", '{"text": "I love this product!"}')
    assert asked == {
        "request_id": asked["request_id"],
        "status": "pending",
        "message": "Request enqueued for processing",
    }
    told = up.answered(f"/predict/{asked['request_id']}")
    assert (told["label"], told["model_name"]) == ("POSITIVE", "vader")
    assert up.curl(f"{up.base}/health")["status"] == "healthy"

    body = '{"model_name": "text_processing", "data": "This is a horrible film."}'
    submitted = up.curl("-X", "POST", f"{up.base}/inference", *as_json, "-d", body)
    assert submitted == {
        "request_id": submitted["request_id"],
        "status": "submitted",
        "result": None,
        "error": None,
    }
    told = up.answered(f"/result/{submitted['request_id']}")
    assert [each["label"] for each in told["result"]["predictions"]] == ["negative", "positive"]

    up.wait_until_it_says("image_classification ready", timeout_s=180 * PATIENCE)
    submitted = up.curl(
        "-X",
        "POST",
        f"{up.base}/inference/file?model_name=image_classification",
        "-F",
        f"file=@{sample('chelsea.png')}",
    )
    told = up.answered(f"/result/{submitted['request_id']}")
    assert told["result"]["predictions"][0]["label"] in SAMPLES["chelsea.png"]
    assert len(told["result"]["predictions"]) == 5

    children = psutil.Process(up.process.pid).children(recursive=True)
    assert up.stop(signal.SIGINT, timeout_s=90 * PATIENCE) == 0, up.output
    assert re.search(r"Accepted 3 = answered 3 \+ pending 0", up.output), up.output
    assert not any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children)


def test_it_takes_no_options_of_the_pipeline(folder: Path) -> None:
    up = UpApi(folder, "--topics", "a,b")
    assert up.process.wait(30 * PATIENCE) == 2
    assert "--api serves the models of models.toml" in up.output
