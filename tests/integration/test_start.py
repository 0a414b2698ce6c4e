"""`start.sh`, with a Python that answers its question for real and only notes what it was told to run."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TRAIN, CONSUME = "train.py", "consumer.py"

FAKE_PYTHON = """#!/bin/sh
[ "$1" = -c ] && exec {python} "$@"
echo "$$ $*" >> calls
[ -z "${{VELOX_ENV_FILE:-}}" ] || . "./$VELOX_ENV_FILE"
[ "$1" = train.py ] && {{ sleep 0.3; : > "${{MODEL_PATH:-model.pth}}"; : > "${{CLASSES_PATH:-classes.json}}"; }}
exit 0
"""

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """Starts `start.sh` in an empty folder, with the given environment and nothing else."""
    fake = tmp_path / "bin" / "python"
    fake.parent.mkdir()
    fake.write_text(FAKE_PYTHON.format(python=sys.executable))
    fake.chmod(0o755)
    path = f"{fake.parent}:/usr/local/bin:/usr/bin:/bin"

    def run(*arguments: str, **env: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [ROOT / "start.sh", *arguments],
            cwd=tmp_path,
            env={"PATH": path, "PYTHONPATH": str(ROOT), **env},
            stderr=subprocess.PIPE,
            text=True,
        )

    return run


def ran(process: "subprocess.Popen[str]", folder: Path) -> list[str]:
    """What the fake Python was told to run, in order."""
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")
    return [line.split()[1] for line in (folder / "calls").read_text().splitlines()]


def put_model(folder: Path) -> None:
    (folder / "model.pth").touch()
    (folder / "classes.json").touch()


def test_it_trains_when_there_is_no_model_and_then_consumes(start: Start, tmp_path: Path) -> None:
    assert ran(start(), tmp_path) == [TRAIN, CONSUME]


def test_it_only_consumes_when_there_is_a_model(start: Start, tmp_path: Path) -> None:
    put_model(tmp_path)
    assert ran(start(), tmp_path) == [CONSUME]


def test_labels_without_weights_are_no_model(start: Start, tmp_path: Path) -> None:
    put_model(tmp_path)
    (tmp_path / "model.pth").unlink()
    assert ran(start(), tmp_path) == [TRAIN, CONSUME]


def test_weights_without_labels_are_not_trained_over(start: Start, tmp_path: Path) -> None:
    put_model(tmp_path)
    (tmp_path / "classes.json").unlink()
    assert ran(start(), tmp_path) == [CONSUME]


def test_it_finds_the_model_where_the_env_file_says(start: Start, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    put_model(tmp_path / "mine")
    (tmp_path / ".env").write_text("MODEL_PATH=mine/model.pth\nCLASSES_PATH=mine/classes.json\n")
    assert ran(start(), tmp_path) == [CONSUME]


def test_a_model_class_of_the_users_own_is_not_trained(start: Start, tmp_path: Path) -> None:
    assert ran(start(MODEL="mine.models:Mine"), tmp_path) == [CONSUME]


def test_invalid_settings_are_left_for_the_consumer_to_explain(start: Start, tmp_path: Path) -> None:
    assert ran(start(BATCH_SIZE="none"), tmp_path) == [CONSUME]


def test_the_consumer_takes_the_place_of_the_shell(start: Start, tmp_path: Path) -> None:
    process = start()
    assert ran(process, tmp_path) == [TRAIN, CONSUME]
    last = (tmp_path / "calls").read_text().splitlines()[-1]
    assert last == f"{process.pid} {CONSUME}"


def test_of_replicas_that_share_a_folder_one_trains(start: Start, tmp_path: Path) -> None:
    replicas = [start() for _ in range(3)]
    for replica in replicas:
        replica.wait(60)
    assert sorted(ran(replicas[0], tmp_path)) == [CONSUME, CONSUME, CONSUME, TRAIN]
    for replica in replicas[1:]:
        replica.communicate()


def put_models(folder: Path, **pipelines: str) -> None:
    """Write a `models.toml` of these models, and what their pipeline files say."""
    lines = []
    for name, text in pipelines.items():
        (folder / f"{name}.env").write_text(text)
        lines += [f"[{name}]", f'env_file = "{name}.env"']
    (folder / "models.toml").write_text("\n".join([*lines, "[other_name]", f'same_as = "{name}"']))


OWN = "MODEL_PATH=model/{0}.pth\nCLASSES_PATH=model/{0}.classes.json\n"


def test_of_several_models_those_without_files_are_made_first_each_once(start: Start, tmp_path: Path) -> None:
    put_models(tmp_path, lexicon="MODEL=mine.models:Mine\n", one=OWN.format("one"), two=OWN.format("two"))
    (tmp_path / "model").mkdir()
    (tmp_path / "model/two.pth").touch()
    replicas = [start("--models", "all") for _ in range(3)]
    for replica in replicas:
        assert replica.communicate(timeout=60)[1] == ""
    calls = [line.split()[1:] for line in (tmp_path / "calls").read_text().splitlines()]
    assert sorted(calls) == [*[[CONSUME, "--models", "all"]] * 3, [TRAIN]]
    assert (tmp_path / "model/one.pth").exists()


def test_a_model_that_cannot_be_made_keeps_no_other_from_its_consumer(start: Start, tmp_path: Path) -> None:
    put_models(tmp_path, broken="BATCH_SIZE=none\n", one=OWN.format("one"))
    (tmp_path / "model").touch()
    process = start("--models", "all")
    _, errors = process.communicate(timeout=60)
    calls = [line.split() for line in (tmp_path / "calls").read_text().splitlines()]
    assert (process.returncode, calls) == (0, [[str(process.pid), CONSUME, "--models", "all"]])
    assert "model" in errors
