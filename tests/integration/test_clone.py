"""A clone made with Git's settings for Windows runs on Linux, in a container or under WSL: no line end is changed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOBODY = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
NAMED = ("-c", "user.name=test", "-c", "user.email=test@localhost")
FAKE_PYTHON = f"""#!/bin/sh
[ "$1" = -c ] && exec {sys.executable} "$@"
echo "$1" >> calls
"""


def git(*arguments: str | Path, cwd: Path = ROOT) -> bytes:
    done = subprocess.run(["git", *arguments], cwd=cwd, env={**os.environ, **NOBODY}, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return done.stdout


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the project's files would be in a clone; they need not be committed yet."""
    folder = tmp_path_factory.mktemp("line-ends")
    origin, copy = folder / "origin", folder / "clone"
    git("init", "-q", origin)
    ours = ("--git-dir", origin / ".git", "--work-tree", ROOT)
    git(*ours, "add", "--all")
    git(*ours, *NAMED, "commit", "-q", "-m", "all")
    git("-c", "core.autocrlf=true", "-c", "core.eol=crlf", "clone", "-q", origin, copy)
    git("config", "core.autocrlf", "true", cwd=copy)
    return copy


def files(clone: Path) -> list[str]:
    """What git keeps, but for links to folders: the chart's files are those of other folders."""
    names = git("ls-files", "-z", cwd=clone).decode().split("\0")
    return [name for name in names if (clone / name).is_file()]


def test_no_line_end_is_changed_and_nothing_counts_as_changed(clone: Path) -> None:
    names = files(clone)
    assert {"start.sh", ".ci/run", "Dockerfile", "Makefile", ".env"} <= set(names)
    assert [name for name in names if (clone / name).read_bytes() != (ROOT / name).read_bytes()] == []
    assert [name for name in names if b"\r\n" in (clone / name).read_bytes()] == []
    assert git("status", "--porcelain", cwd=clone) == b""


def test_its_start_runs_as_far_as_the_consumer(clone: Path, tmp_path: Path) -> None:
    fake = tmp_path / "bin" / "python"
    fake.parent.mkdir()
    fake.write_text(FAKE_PYTHON)
    fake.chmod(0o755)
    (tmp_path / "discoveries").mkdir()
    env = {"PATH": f"{fake.parent}:{os.environ['PATH']}", "PYTHONPATH": str(clone)}
    done = subprocess.run(
        [clone / "start.sh"], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "calls").read_text().splitlines() == ["train.py", "consumer.py"]


def test_its_shell_scripts_can_be_read(clone: Path) -> None:
    scripts = [
        name
        for name in files(clone)
        if (clone / name).read_bytes().startswith((b"#!/bin/sh", b"#!/usr/bin/env bash", b"#!/bin/bash"))
    ]
    assert {"start.sh", ".ci/run"} <= set(scripts)
    for name in scripts:
        subprocess.run(["bash", "-n", clone / name], check=True)
