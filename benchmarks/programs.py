"""The processes a benchmark measures: started with nothing but the settings given, watched from outside."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from benchmarks.report import REPOSITORY

_STOP_S = 40.0
_INHERITED = ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH", "LD_PRELOAD", "CUDA_VISIBLE_DEVICES")


class BenchmarkError(Exception):
    """A benchmark cannot go on; the message says why."""


class Program:
    """A Python program of the repository in a process group of its own.

    Of this process's environment it sees only what a login shell would give it, and it runs in a folder without
    ``.env``: what is measured are the defaults, whatever the user's own settings are.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        folder: Path,
        settings: Mapping[str, str],
        log: Path,
        python: str = sys.executable,
    ) -> None:
        """Start ``python COMMAND`` in ``folder``."""
        self.log = log
        base = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [python, *command],
                cwd=folder,
                env={**base, "PYTHONPATH": str(REPOSITORY), **settings},
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self._main = psutil.Process(self._process.pid)

    def check(self) -> None:
        """Raise ``BenchmarkError`` with the end of its log when it has ended."""
        code = self._process.poll()
        if code is not None:
            tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-20:])
            raise BenchmarkError(f"{self.log.stem} ended with code {code}:\n{tail}")

    def finish(self, timeout_s: float) -> None:
        """Wait until it has ended by itself with success."""
        if self.settle(timeout_s):
            self.check()

    def settle(self, timeout_s: float) -> int:
        """Wait until it has ended by itself, and answer its exit code."""
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise BenchmarkError(f"{self.log.stem} did not end within {timeout_s:g} s") from None

    def stop(self) -> int:
        """Ask it to end (SIGTERM) and answer its exit code."""
        self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            raise BenchmarkError(f"{self.log.stem} did not end within {_STOP_S:g} s of SIGTERM") from None

    def processes(self) -> dict[str, psutil.Process]:
        """List its main process and the working ones under it, by role and process id."""
        found = {f"main {self._main.pid}": self._main}
        with suppress(psutil.NoSuchProcess):
            for child in self._main.children(recursive=True):
                with suppress(psutil.NoSuchProcess):
                    if "spawn_main" in " ".join(child.cmdline()):
                        found[f"inference {child.pid}"] = child
        return found

    def cpu_s(self) -> dict[str, float]:
        """Seconds of CPU that each of its processes has used so far."""
        used: dict[str, float] = {}
        for role, process in self.processes().items():
            with suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                used[role] = times.user + times.system
        return used

    def rss_mib(self) -> dict[str, float]:
        """Memory that each of its processes holds, in MiB."""
        held: dict[str, float] = {}
        for role, process in self.processes().items():
            with suppress(psutil.NoSuchProcess):
                held[role] = process.memory_info().rss / 2**20
        return held

    def tree_cpu_s(self) -> float:
        """Seconds of CPU that it and all that run under it have used so far."""
        used = 0.0
        for process in self._tree():
            with suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                used += times.user + times.system
        return used

    def _tree(self) -> list[psutil.Process]:
        try:
            return [self._main, *self._main.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def __enter__(self) -> Self:
        """It runs already."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave nothing of it behind, in its process group or in groups that its processes made."""
        tree = self._tree()
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        for process in tree:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self._process.wait()
