"""Ray as it is run on several machines: here a head and a second node, each `ray start`."""

import os
import signal
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import psutil

from tests.e2e.pipeline import REPOSITORY, environment, wait_until
from tests.servers.process import HOST, PATIENCE, accepts_connections, free_port

RAY = REPOSITORY / ".venv-ray" / "bin" / "ray"
_START_S = 60.0 * PATIENCE
_TRIES = 3


class Nodes:
    """Two nodes of one core each. Ray's start may fail on a busy machine, so it is tried three times."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # Ray's sockets lie in it, and their paths may have 107 characters.
        self.temporary = Path(tempfile.mkdtemp(prefix="ray-"))
        self.port = free_port()
        self.dashboard = free_port()
        self.told = {
            "RAY_AUTH_MODE": "token",  # what whoever speaks to the cluster has to know, on all machines
            "RAY_AUTH_TOKEN": uuid4().hex,
            "PATH": f"{RAY.parent}:{os.environ['PATH']}",  # as in a shell with the environment activated
        }
        self.processes: list[subprocess.Popen[bytes]] = []

    @property
    def address(self) -> str:
        return f"{HOST}:{self.port}"

    @property
    def output(self) -> str:
        return "\n".join(path.read_text(errors="replace")[-2000:] for path in sorted(self.folder.glob("node-*.log")))

    def start(self) -> None:
        for left in reversed(range(_TRIES)):
            try:
                head = ("--head", "--port", f"{self.port}", "--dashboard-port", f"{self.dashboard}")
                self._start(
                    "head", *head, "--temp-dir", str(self.temporary / "1"), "--ray-client-server-port", f"{free_port()}"
                )
                self._await(self.port)
                self._await(self.dashboard)
                # As on another machine: nodes that share a folder clean up each other's files.
                (self.temporary / "2").mkdir(exist_ok=True)
                self._start("second", "--address", self.address, "--temp-dir", str(self.temporary / "2"))
                wait_until(lambda: self.count() == 2, what=lambda: f"two nodes:\n{self.output}", timeout_s=_START_S)
            except AssertionError:
                self.stop()
                if not left:
                    raise
            else:
                return

    def _start(self, name: str, *options: str) -> None:
        command = [str(RAY), "start", "--block", "--num-cpus", "1", "--object-store-memory", "100000000"]
        with (self.folder / f"node-{name}.log").open("ab") as log:
            self.processes.append(
                subprocess.Popen(
                    [*command, "--disable-usage-stats", "--dashboard-agent-listen-port", f"{free_port()}", *options],
                    env=environment(**self.told),
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            )

    def _await(self, port: int) -> None:
        def is_up() -> bool:
            assert all(process.poll() is None for process in self.processes), self.output
            return accepts_connections(port)

        wait_until(is_up, what=lambda: f"port {port}:\n{self.output}", timeout_s=_START_S)

    def count(self) -> int:
        """Count the nodes, by their raylets."""
        names = [_name(child) for child in self.children()]
        return sum(name == "raylet" for name in names)

    def children(self) -> list[psutil.Process]:
        """All processes of both nodes."""
        found: list[psutil.Process] = []
        for process in self.processes:
            with suppress(psutil.Error):
                found += psutil.Process(process.pid).children(recursive=True)
        return found

    def job(self, *arguments: str, folder: Path) -> str:
        """Run a command of `ray job` and answer what it says."""
        command = [str(RAY), "job", arguments[0], "--address", f"http://{HOST}:{self.dashboard}", *arguments[1:]]
        said: list[str] = []

        def is_taken() -> bool:
            done = subprocess.run(
                command, cwd=folder, env=environment(**self.told), capture_output=True, text=True, check=False
            )
            said.append(done.stdout + done.stderr)
            if "No available agent" in said[-1]:  # a node's part that takes jobs starts last
                return False
            assert done.returncode == 0, f"{command}\n{said[-1]}\n{self.output}"
            return True

        wait_until(is_taken, what=lambda: f"{command}\n{said[-1]}\n{self.output}", timeout_s=_START_S)
        return said[-1]

    def stop(self) -> None:
        """End both, and what they have started."""
        family = self.children()
        for process in reversed(self.processes):
            process.send_signal(signal.SIGTERM)
        for process in reversed(self.processes):
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for each in family:
            with suppress(psutil.Error):
                each.kill()
        self.processes.clear()


def _name(process: psutil.Process) -> str:
    try:
        return process.name()
    except psutil.Error:
        return ""
