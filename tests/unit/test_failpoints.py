"""A failpoint acts where and when it is told to, once, and only in tests."""

import ast
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from velox import failpoints, settings
from velox.errors import SettingsError

VELOX = Path(failpoints.__file__).parent


@pytest.fixture(autouse=True)
def disarmed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Each test arms what it needs, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    yield
    for name in ("VELOX_FAILPOINT", "VELOX_TESTING"):
        monkeypatch.delenv(name, raising=False)
    failpoints.arm()


def arm(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("VELOX_TESTING", "1")
    monkeypatch.setenv("VELOX_FAILPOINT", text)
    failpoints.arm()


def test_nothing_happens_unless_it_is_asked_for(tmp_path: Path) -> None:
    failpoints.arm()
    for name in failpoints.CATALOGUE:
        failpoints.reach(name)
    assert not list(tmp_path.iterdir())


def test_it_acts_at_the_nth_time_and_never_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    arm(monkeypatch, "after_fetch:2:raise")
    failpoints.reach("after_fetch")
    failpoints.reach("after_dispatch")
    with pytest.raises(RuntimeError, match="failpoint"):
        failpoints.reach("after_fetch")
    for _ in range(3):
        failpoints.reach("after_fetch")
    assert [path.name for path in tmp_path.iterdir()] == ["failpoint-after_fetch"]


def test_a_process_started_again_in_the_same_folder_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    arm(monkeypatch, "after_fetch:1:raise")
    with pytest.raises(RuntimeError):
        failpoints.reach("after_fetch")
    failpoints.arm()
    failpoints.reach("after_fetch")


def test_the_process_is_gone_at_that_line() -> None:
    pid = os.posix_spawnp(
        "python3",
        ["python3", "-c", "from velox import failpoints as f; f.arm(); f.reach('mid_batch'); print('alive')"],
        {**os.environ, "PYTHONPATH": str(VELOX.parent), "VELOX_TESTING": "1", "VELOX_FAILPOINT": "mid_batch:1:kill"},
    )
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL


@pytest.mark.parametrize(
    "text", ["nowhere:1:kill", "mid_batch", "mid_batch:1", "mid_batch:0:kill", "mid_batch:x:kill", "mid_batch:1:dance"]
)
def test_what_cannot_be_meant_is_one_clear_line(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    with pytest.raises(SettingsError, match=rf"VELOX_FAILPOINT={text}: write name:nth:action.*while_draining"):
        arm(monkeypatch, text)


def test_it_is_refused_outside_a_test(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VELOX_FAILPOINT", "mid_batch:1:kill")
    with pytest.raises(SettingsError, match="VELOX_FAILPOINT=mid_batch:1:kill: breaks Velox on purpose; unset it"):
        failpoints.arm()


def test_the_settings_know_its_names_in_the_environment_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    arm(monkeypatch, "mid_batch:1:kill")
    settings.load()
    (tmp_path / ".env").write_text("VELOX_TESTING=1\n")
    with pytest.raises(SettingsError, match="VELOX_TESTING: unknown setting"):
        settings.load()


def test_the_catalogue_is_what_the_code_passes_each_once() -> None:
    passed = [
        node.args[0].value
        for path in VELOX.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "reach"
        and isinstance(node.args[0], ast.Constant)
    ]
    assert sorted(map(str, passed)) == sorted(failpoints.CATALOGUE)
