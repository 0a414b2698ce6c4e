"""``velox up`` as a user runs it, in a folder of its own with a model that is there."""

import os
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest

from tests.e2e.pipeline import REPOSITORY, Program, wait_until
from tests.servers.process import PATIENCE
from tests.small_model import MODEL_FILES, SMALL_MODEL, install

# Labels and confidences of a model trained in seconds prove nothing: here every prediction is a detection.
SETTINGS = {**SMALL_MODEL, "TARGET_LABELS": "*", "CONFIDENCE_THRESHOLD": "0", "INFERENCE_PROCESSES": "1"}
SUMMARY = re.compile(r"Produced (\d+) = predicted (\d+) \+ dead letters (\d+)")

Up = Callable[..., "UpProgram"]


class UpProgram(Program):
    """A running ``velox up`` and its processes."""

    def __init__(self, *args: str, folder: Path, env: dict[str, str]) -> None:
        self.folder = folder
        self.log = folder / "up-output.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "velox", "up", *args], cwd=folder, env=env, stdout=log, stderr=log
            )

    def wait(self, timeout_s: float = 90 * PATIENCE) -> int:
        return self.process.wait(timeout_s)

    def child(self, command: str) -> psutil.Process:
        """The process of ``velox COMMAND``."""
        children = psutil.Process(self.process.pid).children()
        (found,) = [child for child in children if child.cmdline()[-3:] == ["-m", "velox", command]]
        return found

    def summary(self) -> tuple[int, int, int]:
        """Produced, predicted, dead letters."""
        found = SUMMARY.search(self.output)
        assert found, self.output
        produced, predicted, dead_letters = (int(number) for number in found.groups())
        return produced, predicted, dead_letters

    def rows(self) -> int:
        with closing(sqlite3.connect(self.folder / "velox.db")) as connection:
            return int(connection.execute("SELECT count(*) FROM predictions").fetchone()[0])


@pytest.fixture
def up(small_model: Path, tmp_path: Path) -> Iterator[Up]:
    """Starts ``velox up``; keyword arguments are settings."""
    install(small_model, tmp_path)
    started: list[UpProgram] = []

    def start(*args: str, **settings: object) -> UpProgram:
        own = {"PATH": os.environ["PATH"], "PYTHONPATH": str(REPOSITORY)}
        env = {**own, **SETTINGS, **{name: str(value) for name, value in settings.items()}}
        started.append(UpProgram(*args, folder=tmp_path, env=env))
        return started[-1]

    yield start
    for program in started:
        program.end()


def test_it_ends_by_itself_with_counts_that_add_up_and_a_second_run_counts_only_its_own(up: Up, tmp_path: Path) -> None:
    program = up("--for", "5s", "--record", "up.svg")
    assert program.wait() == 0, program.output
    produced, predicted, dead_letters = program.summary()
    assert produced == predicted == program.rows() == len(list(tmp_path.glob("discoveries/hit_*.jpg")))
    assert produced >= 80, "20 a second for 5 s"
    assert dead_letters == 0
    assert program.says("First detection after")
    assert "velox&#160;up&#160;·&#160;running" in (tmp_path / "up.svg").read_text()

    again = up("--for", "1s")
    before = again.rows()
    assert again.wait() == 0, again.output
    produced, predicted, _ = again.summary()
    assert produced == predicted == again.rows() - before > 0


def test_a_source_that_ends_ends_it_and_bad_images_are_dead_letters(up: Up, tmp_path: Path) -> None:
    folder = tmp_path / "images" / "red_circle"
    folder.mkdir(parents=True)
    jpeg = cv2.imencode(".jpg", np.full((64, 64, 3), 128, np.uint8))[1].tobytes()
    for number in range(6):
        (folder / f"good-{number}.jpg").write_bytes(jpeg)
    for number in range(3):
        (folder / f"bad-{number}.jpg").write_bytes(b"\xff\xd8\xff no image")
    program = up(SOURCE="folder:images")
    assert program.wait() == 0, program.output
    assert program.summary() == (9, 6, 3)
    assert program.says("consume: Dead letter"), "a warning of a process is shown"


def test_ctrl_c_drains_and_the_counts_add_up(up: Up) -> None:
    program = up(PRODUCER_INTERVAL=0)
    program.wait_until_it_says("First detection after")
    assert program.stop(signal.SIGINT) == 0, program.output
    produced, predicted, dead_letters = program.summary()
    assert produced == predicted + dead_letters > 0


def test_a_killed_consumer_is_started_again_and_nothing_is_lost(up: Up) -> None:
    program = up("--for", "4s")
    program.wait_until_it_says("First detection after")
    program.child("consume").kill()
    program.wait_until_it_says("start 1 of 5 again")
    assert program.wait() == 0, program.output
    produced, predicted, dead_letters = program.summary()
    assert produced == predicted + dead_letters
    assert predicted == program.rows()


def test_when_it_is_killed_its_processes_die_with_it(up: Up) -> None:
    program = up()
    program.wait_until_it_says("First detection after")
    processes = psutil.Process(program.process.pid).children(recursive=True)
    assert len(processes) >= 3, "producer, consumer, inference"
    program.process.kill()
    program.process.wait()
    wait_until(
        lambda: not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in processes),
        what="no process left behind",
    )


def test_a_second_ctrl_c_stops_at_once(up: Up) -> None:
    program = up(DRAIN_S=300)
    program.wait_until_it_says("running:")
    program.child("produce").suspend()  # it would not end by itself
    program.process.send_signal(signal.SIGINT)
    program.wait_until_it_says("stopping the producer")
    assert program.stop(signal.SIGINT) == 1, program.output
    assert program.says("Stopped at once")


def test_a_consumer_that_cannot_start_is_one_clear_error(up: Up, tmp_path: Path) -> None:
    (tmp_path / "model.pth").write_bytes(b"no weights")
    program = up()
    assert program.wait() == 2, program.output
    assert program.says("before it was ready; it said:")
    assert program.says("model.pth")


def test_a_missing_model_is_trained_first(up: Up, tmp_path: Path) -> None:
    for name in MODEL_FILES:
        (tmp_path / name).unlink()
    program = up("--for", "1s", SAMPLES_PER_CLASS=4, EPOCHS=1)
    assert program.wait() == 0, program.output
    assert program.says("training one first")
    produced, predicted, _ = program.summary()
    assert produced == predicted > 0


def test_a_pipeline_file_and_a_pattern_of_20_topics(up: Up, tmp_path: Path) -> None:
    pipeline = tmp_path / "cameras.env"
    pipeline.write_text(
        "KAFKA_TOPIC='^camera_\\d+$'\nDEAD_LETTER_TOPIC=bad_frames\nSINKS=sqlite\nSTORE=detections\nTARGET_LABELS=none\n"
    )
    (tmp_path / ".env").write_text("SINKS=mongo\nPRODUCER_INTERVAL=0.02\n")
    settings = {"TARGET_LABELS": "", "CONFIDENCE_THRESHOLD": ""}
    program = up("--env-file", "cameras.env", "--topics", "camera_{1..20}", "--for", "3s", **settings)
    assert program.wait() == 0, program.output
    produced, predicted, dead_letters = program.summary()
    assert produced == predicted >= 40
    assert dead_letters == 0
    assert program.rows() == 0, "STORE is the file's, and nothing is a detection"
    assert not (tmp_path / "discoveries").exists(), "SINKS is the file's too"
    log = (tmp_path / "velox-up.log").read_text()
    assert r"KAFKA_TOPIC=^camera_\d+$ matches camera_1, camera_2, camera_3, camera_4, camera_5 and 15 more" in log
    assert all(f"camera_{number}-0" in log for number in range(1, 21)), "the consumer got partitions of each"


def test_a_pattern_without_topics_is_one_line_that_names_the_remedy(up: Up) -> None:
    program = up(KAFKA_TOPIC="^camera_", DEAD_LETTER_TOPIC="bad_frames")
    assert program.wait() == 2
    assert program.output.startswith("velox up: KAFKA_TOPIC=^camera_ is a pattern, and the embedded broker has no")
    assert program.output.count("\n") == 1
