"""The command line: help is instant, mistakes are one line and exit code 2."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from velox import cli
from velox.commands import metrics
from velox.commands.arguments import duration
from velox.errors import VeloxError

ROOT = Path(__file__).parents[2]
COMMANDS = ("up", "produce", "consume", "model", "train", "verify", "dlq", "settings", "metrics")
HEAVY = {"torch", "torchvision", "confluent_kafka", "cv2", "numpy", "pydantic", "pymongo", "rich", "prometheus_client"}
"""What `--help` need not wait for."""

LOADED_BY_HELP = """
import json, sys
from velox.cli import main
try:
    main([*sys.argv[1:], "--help"])
except SystemExit as end:
    print(json.dumps([end.code, sorted(name.partition(".")[0] for name in sys.modules)]))
"""


def run(*command: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *command], cwd=cwd, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("command", [(), *((name,) for name in COMMANDS)], ids=" ".join)
def test_help_loads_nothing_heavy(command: tuple[str, ...]) -> None:
    result = run("-c", LOADED_BY_HELP, *command)
    code, loaded = json.loads(result.stdout.splitlines()[-1])
    assert code == 0
    assert HEAVY.isdisjoint(loaded)
    assert result.stdout.startswith(" ".join(["usage: velox", *command]))


@pytest.mark.parametrize("name", ["producer.py", "consumer.py", "train.py"])
def test_the_scripts_answer_for_their_command(name: str) -> None:
    result = run(name, "--help")
    assert (result.returncode, result.stderr) == (0, "")
    command = {"producer.py": "produce", "consumer.py": "consume", "train.py": "train"}[name]
    assert result.stdout.startswith(f"usage: velox {command} ")


def test_an_error_is_one_line_and_its_notes_whatever_a_stranger_wrote_into_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_args: object) -> int:
        error = VeloxError("no topic \x1b[2J\nvelox: all is well")
        error.add_note("it said\rthis")
        raise error

    monkeypatch.setattr(metrics, "_run", fail)
    assert cli.main(["metrics"]) == 2
    assert capsys.readouterr().err == "velox metrics: no topic \\x1b[2J\\nvelox: all is well\n  it said\\rthis\n"


def test_the_module_runs_too() -> None:
    result = run("-m", "velox", "--help")
    assert result.returncode == 0
    assert all(command in result.stdout for command in COMMANDS)


TRAINS = """
import os, sys, types
import velox.models

def run(settings, *, all_precisions):
    print(os.environ["OMP_WAIT_POLICY"], "torch" in sys.modules, all_precisions)
    return 7

velox.models.training = sys.modules["velox.models.training"] = types.SimpleNamespace(run=run)
from velox.cli import main
main(["train", *sys.argv[1:]])
"""


@pytest.mark.parametrize(("policy", "expected"), [({}, "PASSIVE"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE")])
def test_training_has_threads_sleep_before_there_is_torch_unless_the_user_wants_them_to_spin(
    policy: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    for name, value in policy.items():
        monkeypatch.setenv(name, value)
    result = run("-c", TRAINS, "--all-precisions")
    assert result.stdout == f"{expected} False True\n", result.stderr
    assert result.returncode == 7


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "velox: the following arguments are required: COMMAND"),
        (["fly"], "velox: argument COMMAND: invalid choice: 'fly'"),
        (["up", "--for", "soon"], "velox up: argument --for: 'soon' is no time: write 20s, 5m or 1h"),
        (["up", "--for", "-5s"], "velox up: argument --for:"),
        (["produce", "--count", "x"], "velox produce: argument --count: invalid int value: 'x'"),
        (["consume", "--fast"], "velox: unrecognized arguments: --fast"),
    ],
)
def test_bad_arguments_are_one_line_and_exit_code_2(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(arguments)
    said = capsys.readouterr()
    assert end.value.code == 2
    assert said.out == ""
    assert said.err.startswith(complaint)
    assert said.err.count("\n") == 1


def refusal(command: str, capsys: pytest.CaptureFixture[str]) -> str:
    """What a command says, in this process, before it ends with exit code 2."""
    assert cli.main([command]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    return said.err


@pytest.mark.parametrize("command", ["produce", "consume", "train", "up", "verify", "settings"])
def test_an_invalid_setting_is_one_line_and_exit_code_2(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BATCH_SIZE", "0")
    assert refusal(command, capsys).startswith(f"velox {command}: BATCH_SIZE=0: ")


UNREADABLE = {
    "unclosed quote": (b"KAFKA_TOPIC='my_images\nTARGET_LABELS=blue_*\n", ".env, line 1: KAFKA_TOPIC: its quotes"),
    "UTF-16": ("KAFKA_TOPIC=my_images\n".encode("utf-16"), ".env, line 1: not UTF-8; save it as UTF-8"),
    "no setting": (b"\nBATCH_SIZE 16\n", ".env, line 2: is not NAME=value; "),
    "line ends in a value": (b'KAFKA_TOPIC="my\\nimages"\n', "KAFKA_TOPIC=my\\nimages: is no name that Kafka takes"),
}
"""The content of a `.env`, and how what is said of it begins."""


@pytest.mark.parametrize(
    ("command", "trouble"), [*(("consume", trouble) for trouble in UNREADABLE), ("settings", "UTF-16")]
)
def test_an_env_file_that_cannot_be_read_is_one_line_and_exit_code_2(
    command: str,
    trouble: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KAFKA_TOPIC", raising=False)
    content, said = UNREADABLE[trouble]
    (tmp_path / ".env").write_bytes(content)
    assert refusal(command, capsys).startswith(f"velox {command}: {said}")


@pytest.mark.parametrize(
    ("program", "command"), [("consumer.py", "consume"), ("producer.py", "produce"), ("train.py", "train")]
)
def test_a_script_ends_with_that_line_and_that_code(program: str, command: str, tmp_path: Path) -> None:
    content, said = UNREADABLE["UTF-16"]
    (tmp_path / ".env").write_bytes(content)
    result = run(str(ROOT / program), cwd=tmp_path)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith(f"velox {command}: {said}")
    assert result.stderr.count("\n") == 1


ENCODINGS = {
    "PYTHONIOENCODING=ascii": {"PYTHONIOENCODING": "ascii"},
    "PYTHONIOENCODING=latin-1": {"PYTHONIOENCODING": "latin-1"},
    "LC_ALL=C": {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
}
"""Ways to have an output that cannot show every character; a system's own way differs from those that Python has."""


@pytest.mark.parametrize(
    ("command", "environment"),
    [*(("settings", environment) for environment in ENCODINGS), ("metrics", "LC_ALL=C"), ("--help", "LC_ALL=C")],
)
def test_characters_that_the_output_cannot_show_are_replaced(
    command: str, environment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {**ENCODINGS[environment], "TARGET_LABELS": "sirkel–\udcff"}.items():
        monkeypatch.setenv(name, value)
    result = run("-m", "velox", command, cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    assert ("sirkel??" in result.stdout) == (command == "settings")


def test_an_inference_processes_log_replaces_them_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    code = "import logging; from velox import logs; logs.configure(form='json'); logging.error('rød – sirkel')"
    result = run("-c", code, cwd=tmp_path)
    assert result.stderr == ""
    assert json.loads(result.stdout)["message"] == "r?d ? sirkel"


@pytest.mark.parametrize(("text", "seconds"), [("20s", 20), ("5m", 300), ("1h", 3600), ("1.5m", 90), ("7", 7)])
def test_times_are_written_with_their_unit_or_in_seconds(text: str, seconds: float) -> None:
    assert duration(text) == seconds


def test_the_settings_are_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_TOPIC", "camera_7")
    result = run("-m", "velox", "settings", cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    assert "camera_7" in result.stdout


@pytest.mark.parametrize(
    ("command", "page"),
    [(["settings", "--markdown"], "settings.md"), (["metrics"], "metrics.md")],
    ids=["settings", "metrics"],
)
def test_a_generated_page_is_printed_as_it_is_kept(
    command: list[str], page: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(command) == 0
    assert capsys.readouterr().out == (ROOT / "docs" / page).read_text()
