"""A server as a local process: its port, folder, log, and every way it can go down."""

import atexit
import os
import random
import shutil
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from velox.tether import tethered

HOST = "127.0.0.1"
PATIENCE = float(os.environ.get("TEST_PATIENCE", "1"))
"""How many times as long as usual to wait before something counts as failed: for a machine that is very busy."""
POLL_S = 0.05
_PORTS = range(20_000, 32_000)
_WORKERS = 12


class ServerError(Exception):
    """A server cannot be provisioned, or did not come up in time."""


def free_port() -> int:
    """A port nobody listens on, outside the range the kernel hands to clients.

    Inside that range a client that retries a dead server can be given the server's own port, and connect to itself.
    Each of the processes that run tests side by side has a range of its own: a server that is down keeps its port.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _WORKERS
    first = _PORTS.start + worker * (len(_PORTS) // _WORKERS)
    while True:
        port = random.randrange(first, first + len(_PORTS) // _WORKERS)  # noqa: S311 - not a secret
        with socket.socket() as probe:
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port


def accepts_connections(port: int) -> bool:
    """Whether something listens on the port."""
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


class LocalServer(ABC):
    """One server process. The port and the folder stay the same over stops, kills and restarts.

    Start it from the main thread: the kernel ties a child to the thread that made it.
    """

    name: ClassVar[str]
    start_timeout_s: ClassVar[float] = 60.0 * PATIENCE
    stop_timeout_s: ClassVar[float] = 20.0 * PATIENCE

    def __init__(self) -> None:
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix=f"velox-{self.name}-"))
        self.log = self.folder / "server.log"
        self._process: subprocess.Popen[bytes] | None = None
        atexit.register(self.close)

    @abstractmethod
    def command(self) -> list[str]:
        """The command line; called at every start, so it may also prepare the folder."""

    @abstractmethod
    def is_ready(self) -> bool:
        """Whether the server answers its own protocol; asked only once its port accepts connections."""

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        if self._process is None:
            raise ServerError(f"{self.name} is not running")
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether the process lives."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> Self:
        """Start and wait until the server answers."""
        if not self.is_running:
            self.launch()
            self.wait_until_ready()
        return self

    def launch(self) -> None:
        """Start, and wait for nothing."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(tethered(*self.command()), cwd=self.folder, stdout=log, stderr=log)

    def wait_until_ready(self) -> None:
        """Wait until the server answers; raises `ServerError` with the end of its log when it does not."""
        deadline = time.monotonic() + self.start_timeout_s
        while not (accepts_connections(self.port) and self.is_ready()):
            if not self._outlives(POLL_S):
                code = self._process.returncode if self._process else "nobody knows what"
                raise ServerError(f"{self.name} exited with {code}:\n{self._log_tail()}")
            if time.monotonic() > deadline:
                self.kill()
                raise ServerError(f"{self.name} not ready after {self.start_timeout_s} s:\n{self._log_tail()}")

    def stop(self) -> None:
        """SIGTERM, and wait; SIGKILL for a server that does not obey. The folder stays."""
        if self._process is not None and self.is_running:
            self._process.terminate()
            if self._outlives(self.stop_timeout_s):
                self.kill()
        self._process = None

    def kill(self) -> None:
        """SIGKILL, and wait: what a crash looks like from outside. The folder stays."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._process = None

    def restart(self) -> None:
        """Start again on the same port and folder, after a clean stop if it still runs."""
        self.stop()
        self.start()

    def close(self) -> None:
        """Stop and remove the folder; safe twice."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
        atexit.unregister(self.close)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _outlives(self, timeout_s: float) -> bool:
        """Whether the process still lives after the time; returns at once when it ends."""
        if self._process is None:
            return False
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return True
        return False

    def _log_tail(self, lines: int = 30) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
