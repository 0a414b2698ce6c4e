"""A container engine: the one that answers, else one of our own, in a folder of its own."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.compose.network import Network
from tests.servers.jars import run
from tests.servers.process import ServerError
from tests.tools import unpacked

PACKAGES = {
    "docker.io": "usr/sbin/dockerd",
    "docker-cli": "usr/bin/docker",
    "containerd": "usr/bin/containerd",
    "docker-compose": "usr/libexec/docker/cli-plugins/docker-compose",
    "docker-buildx": "usr/libexec/docker/cli-plugins/docker-buildx",
}
INSTALLED = {"runc": "runc", "iptables": "iptables", "tini-static": "tini"}
"""Programs that must fit this machine's kernel and libraries, and the packages that have them."""
START_S = 60.0
STOP_S = 60.0


class Engine:
    """How to talk to an engine: the environment of every `docker` command."""

    def __init__(self, env: dict[str, str], *, is_ours: bool) -> None:
        self.env = env
        self.is_ours = is_ours

    def docker(self, *arguments: str, timeout_s: float = 120, cwd: Path | None = None) -> str:
        """What `docker` prints; raises `ServerError` with its complaint when it fails."""
        done = self.attempt(*arguments, timeout_s=timeout_s, cwd=cwd)
        if done.returncode != 0:
            raise ServerError(f"docker {' '.join(arguments)}: {done.returncode}\n{(done.stdout + done.stderr)[-3000:]}")
        return done.stdout

    def attempt(
        self, *arguments: str, timeout_s: float = 120, cwd: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run `docker`, whatever comes of it."""
        return subprocess.run(
            ["docker", *arguments],
            env=self.env,
            cwd=cwd,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout_s,
        )

    def answers(self) -> bool:
        """Whether there is an engine, and Compose for it."""
        if shutil.which("docker", path=self.env["PATH"]) is None:
            return False
        commands = (["info"], ["compose", "version"])
        return all(self.attempt(*command).returncode == 0 for command in commands)


@contextmanager
def engine() -> Iterator[Engine]:
    """The engine that answers; else, for root on Debian, one that lives as long as this context and leaves nothing."""
    present = Engine(dict(os.environ), is_ours=False)
    if present.answers():
        yield present
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise ServerError("no container engine answers: start Docker with Compose, or be root on Debian to get one")
    install(INSTALLED)
    network = Network()
    folder = Path(tempfile.mkdtemp(prefix="velox-engine-"))
    try:
        ours = Engine(_environment(folder), is_ours=True)
        with _daemon(folder, ours):
            yield ours
    finally:
        network.restore()
        shutil.rmtree(folder, ignore_errors=True)


def install(programs: dict[str, str]) -> None:
    """Install the packages of the programs that this machine lacks; given as program → package."""
    missing = sorted({package for program, package in programs.items() if shutil.which(program) is None})
    if missing:
        env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        run("apt-get", "update", "-q", env=env)
        run("apt-get", "install", "-y", "-q", "--no-install-recommends", *missing, env=env)


def _environment(folder: Path) -> dict[str, str]:
    """Links all programs into the folder, and answers the environment that finds them and nobody else's engine."""
    programs, plugins = folder / "bin", folder / "config" / "cli-plugins"
    programs.mkdir()
    plugins.mkdir(parents=True)
    for package, tool in PACKAGES.items():
        path = unpacked(package, tool)
        if "cli-plugins" in tool:
            (plugins / path.name).symlink_to(path)
            continue
        for program in [*path.parent.iterdir(), *path.parents[1].glob("bin/*")]:
            if not (programs / program.name).is_symlink() and program.exists():
                (programs / program.name).symlink_to(program)
    # The package's own link leads to where Debian would install tini; `init: true` needs it.
    (programs / "docker-init").symlink_to(shutil.which("tini-static") or "/usr/bin/tini-static")
    others = {name: value for name, value in os.environ.items() if not name.startswith(("DOCKER_", "COMPOSE_"))}
    return {
        **others,
        "PATH": f"{programs}:{os.environ['PATH']}",
        "DOCKER_HOST": f"unix://{folder}/docker.sock",
        "DOCKER_CONFIG": str(folder / "config"),
    }


@contextmanager
def _daemon(folder: Path, ours: Engine) -> Iterator[None]:
    (folder / "daemon.json").write_text("{}")
    flags = {"config-file": "daemon.json", "data-root": "data", "exec-root": "run", "pidfile": "pid"}
    command = [
        str(folder / "bin" / "dockerd"),
        f"--host={ours.env['DOCKER_HOST']}",
        *(f"--{flag}={folder / name}" for flag, name in flags.items()),
    ]
    with (folder / "log").open("wb") as log:
        # A session of its own: Ctrl-C is for this program, which then stops the engine in order.
        daemon = subprocess.Popen(command, env=ours.env, stdout=log, stderr=log, start_new_session=True)
    try:
        _await(ours, daemon, folder / "log")
        yield
    finally:
        _remove_containers(ours)
        daemon.terminate()
        try:
            daemon.wait(STOP_S)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()


def _await(ours: Engine, daemon: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_S
    while not ours.answers():
        if daemon.poll() is not None or time.monotonic() > deadline:
            raise ServerError(f"the engine does not start:\n{log.read_text()[-3000:]}")
        time.sleep(0.3)


def _remove_containers(ours: Engine) -> None:
    containers = ours.attempt("ps", "--all", "--quiet").stdout.split()
    if containers:
        ours.attempt("rm", "--force", "--volumes", *containers)
    ours.attempt("network", "prune", "--force")
