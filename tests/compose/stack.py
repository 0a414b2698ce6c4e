"""The project's own Compose stack, in a copy of the project."""

import json
import os
import re
import shutil
import subprocess
import time
from functools import partial
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import urlopen

from tests.compose.engine import Engine

ROOT = Path(__file__).parents[2]
IMAGE = "velox:local"
GRACE_S = 30
"""Of every service, in docker-compose.yml."""
ESCAPES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
"""Compose clears each line before it prints it, also where there is no terminal."""
KILL = """
import os, sys, time
for pid in filter(str.isdigit, os.listdir("/proc")):
    words = open(f"/proc/{pid}/cmdline").read()
    if sys.argv[1] in words and int(pid) not in (1, os.getpid()):
        print(pid, flush=True)
        if os.fork() == 0:
            os.closerange(0, 3)
            time.sleep(0.5)
            os.kill(int(pid), 9)
        break
"""
"""By a child: with a container's main process goes everything in it, and the answer would not arrive."""


class Stack:
    """Compose commands and what the services answer. Nothing outside `folder` is written."""

    def __init__(self, engine: Engine, folder: Path, services: list[str], *, files: tuple[str, ...] = ()) -> None:
        self._engine = engine
        self._files = files
        self.folder = folder
        self.services = services
        for name in self._settings():
            engine.env.pop(name, None)  # the environment wins over .env, and must not here

    def configure(self, **settings: str) -> None:
        """Edit `.env`, as a user does: in place; a name that is not there yet is appended."""
        file = self.folder / ".env"
        text = file.read_text()
        for name, value in settings.items():
            text, count = re.subn(rf"^{name}=.*$", partial(_replacement, f"{name}={value}"), text, flags=re.MULTILINE)
            text += "" if count else f"{name}={value}\n"
        file.write_text(text)

    def compose(self, *arguments: str, timeout_s: float = 300) -> str:
        """What `docker compose` prints."""
        return self._engine.docker("compose", *self._files, *arguments, timeout_s=timeout_s, cwd=self.folder)

    def docker(self, *arguments: str) -> str:
        """What `docker` prints."""
        return self._engine.docker(*arguments)

    def up(self, *flags: str, within_s: int = 300) -> None:
        """`docker compose up --wait`: it fails unless every container gets healthy."""
        wait = ("--wait", "--wait-timeout", str(within_s))
        self.compose("up", "--detach", *wait, *flags, *self.services, timeout_s=within_s + 60)

    def health(self) -> dict[str, set[str]]:
        """The states of each service's containers, such as `healthy`; `none` of one without a check."""
        found: dict[str, set[str]] = {}
        for state in map(json.loads, self.compose("ps", "--all", "--format", "json").splitlines()):
            found.setdefault(state["Service"], set()).add(state["Health"] or "none")
        return found

    def shell(self, line: str, *, timeout_s: float = 120) -> str:
        """What a line that a user types prints, complaints included, whatever its exit code."""
        done = subprocess.run(
            ["bash", "-c", line],
            cwd=self.folder,
            env=self._engine.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=timeout_s,
        )
        return ESCAPES.sub("", done.stdout)

    def down(self, *flags: str) -> None:
        """`docker compose down`."""
        self.compose("down", *flags, timeout_s=4 * GRACE_S)

    def log(self, service: str) -> str:
        """All that the service's containers have printed."""
        return ESCAPES.sub("", self.compose("logs", "--no-log-prefix", "--no-color", service))

    def containers(self, service: str) -> list[str]:
        """The ids of the running containers of a service."""
        return self.compose("ps", "--quiet", service).split()

    def inspect(self, service: str) -> dict[str, Any]:
        """All about the only container of a service."""
        (container,) = self.compose("ps", "--all", "--quiet", service).split()
        (found,) = json.loads(self._engine.docker("inspect", container))
        return dict(found)

    def image(self, name: str = IMAGE) -> dict[str, Any]:
        """All about an image, the project's own by default."""
        (found,) = json.loads(self._engine.docker("image", "inspect", name))
        return dict(found)

    def bytes_of(self, name: str) -> int:
        """How large an image is, unpacked."""
        return int(self.image(name)["Size"])

    def history(self) -> str:
        """The commands and values that are visible to everyone who has the image."""
        return self._engine.docker("history", "--no-trunc", "--format", "{{.CreatedBy}}", IMAGE)

    def events(self, kind: str, since: float) -> dict[str, dict[str, str]]:
        """The first event of a kind of each service since then: its attributes, and `at` in seconds."""
        window = ["--since", f"{since:.3f}", "--until", f"{time.time():.3f}"]
        lines = self._engine.docker("events", *window, "--filter", f"event={kind}", "--format", "{{json .}}")
        found: dict[str, dict[str, str]] = {}
        for event in map(json.loads, lines.splitlines()):
            attributes = event["Actor"]["Attributes"]
            service = attributes.get("com.docker.compose.service")
            healthy = not kind.startswith("health") or event["Action"].endswith(": healthy")
            if service and healthy:
                found.setdefault(service, attributes | {"at": str(event["timeNano"] / 1e9)})
        return found

    def python(self, service: str, code: str, *arguments: str) -> str:
        """What a Python program prints inside the service's container, run as its user."""
        return self.compose("exec", "--no-TTY", service, "python", "-c", code, *arguments).strip()

    def kill(self, service: str, words: str) -> None:
        """SIGKILL the first process inside whose command line has these words: no stop of Docker's, a crash."""
        killed = self.python(service, KILL, words)
        assert killed, f"no process with {words} in {service}"

    def http(self, path: str) -> tuple[int, str]:
        """Status and body of the consumer's page, through its published port."""
        address = self.compose("port", "consumer", "8000").strip()
        return get(f"http://{address}{path}")

    def query(self, promql: str) -> list[dict[str, Any]]:
        """The series of an instant query."""
        _, body = get("http://127.0.0.1:9090/api/v1/query?" + urlencode({"query": promql}))
        answer = json.loads(body)
        assert answer["status"] == "success", body
        return list(answer["data"]["result"])

    def _settings(self) -> list[str]:
        return re.findall(r"^([A-Z_]+)=", (self.folder / ".env").read_text(), flags=re.MULTILINE)


def _replacement(line: str, _: re.Match[str]) -> str:
    return line


def get(url: str) -> tuple[int, str]:
    """Status and body of a page, whatever the status."""
    try:
        with urlopen(url, timeout=10) as answer:  # noqa: S310 - always this machine's http
            return answer.status, answer.read().decode()
    except HTTPError as error:
        return error.code, error.read().decode()


def copy_project(folder: Path, owner: int) -> None:
    """Copy what git tracks, as it is now: the user's model, images and settings stay untouched."""
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in filter(None, names.stdout.split("\0")):
        if (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    for name in ("model", "discoveries"):
        if os.geteuid() == 0:
            os.chown(folder / name, owner, owner)
