"""A pipeline's file lies over ``.env`` and under the environment, in every command and in what it starts."""

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from velox import cli, settings
from velox.errors import SettingsError
from velox.settings import Settings
from velox.settings.environment import PIPELINE_FILE
from velox.settings.secrets import secret_fields
from velox.tools.up.environment import as_environment, changes

ROOT = Path(__file__).parents[2]
NAMES = ("BATCH_SIZE", "EPOCHS", "KAFKA_TOPIC", "SINKS", "STORE", "METRICS_PORT", "QUEUE_SIZE")


@pytest.fixture(autouse=True)
def _folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """A folder with an `.env` and a pipeline file that is named, and an environment that says nothing."""
    secrets = [name.upper() + suffix for name in secret_fields(Settings) for suffix in ("", "_FILE")]
    for name in (*NAMES, *secrets):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / ".env").write_text("BATCH_SIZE=2\nEPOCHS=2\nSINKS=mongo\n")
    (tmp_path / "cameras.env").write_text("BATCH_SIZE=3\nKAFKA_TOPIC=camera_1\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(PIPELINE_FILE, "cameras.env")
    yield
    logging.disable(logging.NOTSET)  # `velox doctor` ends with its process, and other tests do not


def refusal() -> str:
    with pytest.raises(SettingsError) as caught:
        settings.load()
    return str(caught.value)


def test_it_wins_over_the_env_file_and_the_environment_wins_over_it(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = settings.load()
    assert (loaded.batch_size, loaded.epochs, loaded.kafka_topic) == (3, 2, "camera_1")
    monkeypatch.setenv("BATCH_SIZE", "4")
    assert settings.load().batch_size == 4


def test_each_origin_is_named_by_its_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUEUE_SIZE", "50")
    told = settings.origins()
    assert (told["batch_size"], told["epochs"]) == ("cameras.env", ".env")
    assert (told["queue_size"], told["commit_interval_s"]) == ("environment", "default")


def test_an_empty_value_in_it_hides_none() -> None:
    Path("cameras.env").write_text("BATCH_SIZE=\n")
    assert settings.load().batch_size == 2
    assert settings.origins()["batch_size"] == ".env"


def test_its_colours_are_added_and_its_empty_ones_removed() -> None:
    Path(".env").write_text("COLORS_BLUE=(255, 0, 0)\nCOLORS_GREEN=(0, 255, 0)\n")
    Path("cameras.env").write_text("COLORS_GREEN=\nCOLORS_WHITE=(255, 255, 255)\n")
    assert set(settings.load().colors) == {"red", "blue", "white"}


def test_a_secret_in_it_wins_over_a_secrets_file_in_the_env_file(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text("MONGO_URI_FILE=/nowhere\n")
    Path("cameras.env").write_text("MONGO_URI=mongodb://here/\n")
    assert settings.load().mongo_uri.get_secret_value() == "mongodb://here/"
    Path("mounted").write_text("mongodb://there/\n")
    monkeypatch.setenv("MONGO_URI_FILE", "mounted")
    assert settings.load().mongo_uri.get_secret_value() == "mongodb://there/"


def test_it_is_read_as_strictly_as_the_env_file() -> None:
    Path("cameras.env").write_text("BATCH_SIZE=3\nBATCH_SIZE 4\n")
    assert refusal().startswith("cameras.env, line 2: is not NAME=value; ")


def test_an_unknown_name_is_told_with_its_file() -> None:
    Path("cameras.env").write_text("BATCH_SIZ=3\n")
    assert refusal() == "cameras.env: BATCH_SIZ: unknown setting; did you mean BATCH_SIZE?"


@pytest.mark.parametrize("file", [".env", "cameras.env"])
def test_a_file_cannot_name_a_pipeline_file(file: str) -> None:
    Path(file).write_text("VELOX_ENV_FILE=other.env\n")
    assert "VELOX_ENV_FILE: unknown setting" in refusal()


def test_it_has_to_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PIPELINE_FILE, "sentiments.env")
    said = "sentiments.env cannot be read: No such file or directory; it has to be a file that this user may read"
    assert refusal() == said


def test_an_empty_name_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PIPELINE_FILE, "")
    assert settings.load().batch_size == 2


@pytest.mark.parametrize(
    "command",
    [
        ["settings", "--env-file", "other.env"],
        ["--env-file", "other.env", "settings"],
        ["settings", "--env-file=other.env"],
    ],
)
def test_the_option_names_it_before_and_after_the_command(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    Path("other.env").write_text("KAFKA_TOPIC=other_topic\n")
    assert cli.main(command) == 0
    shown = capsys.readouterr().out
    assert "other_topic" in shown
    assert "other.env" in shown


@pytest.mark.parametrize(
    "command",
    [
        *([name] for name in ("up", "produce", "consume", "train", "top", "bench", "doctor", "verify", "settings")),
        *(["dlq", *action] for action in (["list"], ["show"], ["replay"], ["discard", "--yes"])),
    ],
    ids=" ".join,
)
def test_every_command_takes_it(
    command: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["velox"])
    code = cli.main([*command, "--env-file", "nowhere.env"])
    said = capsys.readouterr()
    assert code != 0
    assert "nowhere.env cannot be read: No such file or directory" in said.out + said.err


@pytest.mark.parametrize("script", ["producer.py", "consumer.py", "train.py"])
def test_the_scripts_take_it(script: str) -> None:
    command = [sys.executable, str(ROOT / script), "--env-file", "nowhere.env"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (result.returncode, result.stdout) == (2, "")
    assert "nowhere.env cannot be read: No such file or directory" in result.stderr


def test_what_a_command_starts_reads_the_same_file() -> None:
    Path("other.env").write_text("KAFKA_TOPIC=other_topic\n")
    assert cli.main(["settings", "--env-file", "other.env"]) == 0
    environment = {**as_environment({"batch_size": 7}), "PYTHONPATH": str(ROOT)}
    code = "from velox import settings; loaded = settings.load(); print(loaded.kafka_topic, loaded.batch_size)"
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert result.stdout == "other_topic 7\n", result.stderr


def test_velox_up_takes_its_sinks_from_the_pipeline_file_and_not_from_the_env_file() -> None:
    assert changes(settings.load(), bootstrap="here:1")["sinks"] == ("sqlite", "disk")
    Path("cameras.env").write_text("SINKS=sqlite\nSTORE=detections\nMETRICS_PORT=8123\n")
    changed = changes(settings.load(), bootstrap="here:1")
    assert changed.keys().isdisjoint({"sinks", "store", "metrics_port"})


def test_the_help_of_a_command_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["up", "--help"])
    assert "--env-file FILE" in capsys.readouterr().out
    assert os.environ[PIPELINE_FILE] == "cameras.env"
