"""What the README shows is so: its commands can be typed, its defaults are the defaults."""

import re
import shlex
from pathlib import Path

import pytest

from velox import cli, settings
from velox.settings import Settings

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```\n(.*?)```", README, re.DOTALL)
COMMANDS = [line for block in BLOCKS for line in block.splitlines() if line.startswith((".venv/", "make ", "docker "))]
SETTINGS = re.findall(r"^\| `([A-Z_]+)` \| `([^`]*)` \|", README, re.MULTILINE)


def programs() -> list[list[str]]:
    """Commands of our own programs, in blocks and in running text."""
    shown = re.findall(r"(?:^\.venv/bin/python |`)((?:producer|consumer|train)\.py [^`\n]*)", README, re.MULTILINE)
    return [shlex.split(command) for command in shown]


def test_the_examples_are_found() -> None:
    assert {"make run", "make test", "docker compose up -d"} <= set(COMMANDS)
    assert len(SETTINGS) > 5
    assert ["producer.py", "--count", "1000"] in programs()


@pytest.mark.parametrize(("name", "default"), SETTINGS)
def test_a_default_in_the_readme_is_the_default(name: str, default: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, default)
    assert getattr(settings.load(), name.lower()) == Settings.model_fields[name.lower()].default


@pytest.mark.parametrize("command", programs(), ids=" ".join)
def test_a_program_in_the_readme_takes_these_arguments(command: list[str]) -> None:
    script, *arguments = command
    assert (ROOT / script).is_file()
    name = {"producer.py": "produce", "consumer.py": "consume", "train.py": "train"}[script]
    cli._parser().parse_args([name, *arguments])


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("make ")])
def test_a_make_target_in_the_readme_exists(command: str) -> None:
    assert re.search(rf"^{command.split()[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_the_picture_on_the_first_screen_is_that_of_a_run() -> None:
    (place,) = [number for number, line in enumerate(README.splitlines()) if line.startswith("![")]
    (path,) = re.findall(r"\]\((docs/[\w.-]+\.svg)\)", README)
    picture = (ROOT / path).read_text()
    assert place < 15
    assert len(picture) < 200_000
    assert "velox&#160;up&#160;·&#160;running" in picture
    assert "https://" not in picture.replace("https://www.textualize.io", "")


def test_the_readme_can_be_read_in_one_sitting() -> None:
    assert len(README.splitlines()) < 250
