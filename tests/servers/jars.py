"""What the Java servers need: a JDK, Maven, and a cache folder that all clones and runs share."""

import fcntl
import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers.process import ServerError

PACKAGES = ["maven", "default-jdk-headless"]
# Pinned, because the version that an installed Maven has in mind depends on the machine.
COPY_JARS = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"


def provision(pom: Path, *, inputs: str, prepare: Callable[[Path], None]) -> Path:
    """The cache folder of a server, with its jars in `libs` and whatever `prepare` adds; made on first use.

    The folder is named after the POM, the other inputs and the JDK: whoever changes one of them gets a new folder, and
    clones at different commits do not disturb each other. Runs take turns here, and a folder that an interrupted run
    left behind is made again. It is built in its final place, since class-data archives remember where jars lie.
    """
    root = cache_root()
    with locked(root / "lock"):
        _ensure_tools()
        digest = hashlib.sha256("\n".join([pom.read_text(), inputs, _jdk()]).encode()).hexdigest()
        folder = root / f"{pom.name.removesuffix('.pom.xml')}-{digest[:12]}"
        complete = folder / "complete"
        if not complete.exists():
            shutil.rmtree(folder, ignore_errors=True)
            libs = folder / "libs"
            run("mvn", "-q", "-B", "-f", str(pom), COPY_JARS, "-DincludeScope=runtime", f"-DoutputDirectory={libs}")
            prepare(folder)
            complete.touch()
    return folder


def cache_root() -> Path:
    """`TEST_SERVERS_CACHE`, else `velox` in the user's cache folder."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    root = Path(os.environ.get("TEST_SERVERS_CACHE") or base / "velox")
    root.mkdir(parents=True, exist_ok=True)
    return root


def run(*command: str, env: dict[str, str] | None = None) -> None:
    """Run a command to its end; its output becomes the error when it fails."""
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ServerError(f"{' '.join(command)} exited with {done.returncode}:\n{done.stdout}{done.stderr}")


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Have processes take turns; a lock is a file, which stays."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # released by the close, or by the death of this process
        yield


def _ensure_tools() -> None:
    missing = [tool for tool in ("mvn", "java", "javac") if shutil.which(tool) is None]
    if not missing:
        return
    install = ["apt-get", "install", "-y", "-q", "--no-install-recommends", *PACKAGES]
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise ServerError(
            f"{', '.join(missing)} not found, and the test servers need them: install Maven and a JDK from 17 on "
            f"(Debian, as root: {' '.join(install)})"
        )
    # Slim images leave manual pages out, and the JDK's installation fails when it cannot link its own.
    Path("/usr/share/man/man1").mkdir(parents=True, exist_ok=True)
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    run("apt-get", "update", "-q", env=env)
    run(*install, env=env)


def _jdk() -> str:
    """Names the JDK without starting it: a class-data archive is valid for exactly one build."""
    java = Path(shutil.which("java") or "java").resolve()
    release = java.parent.parent / "release"
    return f"{java}\n{release.read_text() if release.exists() else ''}"
