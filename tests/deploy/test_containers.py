"""The chart's containers as processes of this machine: their commands, settings and secrets, on real servers."""

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.deploy.chart import CHART, ROOT, Manifest, containers, manifests, pods, render
from tests.servers.kafka import KafkaServer
from tests.servers.postgres import PostgresServer
from tests.servers.process import HOST, PATIENCE, free_port
from tests.servers.web import is_ok
from velox.tether import tethered

pytestmark = pytest.mark.timeout(900)  # the first test compiles Helm, where it was never compiled


@dataclass(frozen=True)
class Node:
    """A folder that stands for a container's file system, and the servers that it reaches."""

    folder: Path
    rendered: str
    overrides: dict[str, str]

    def environment(self, container: Manifest, port: int) -> dict[str, str]:
        """What the container is given, with its paths and ports moved to here."""
        config = {each["metadata"]["name"]: each for each in manifests(self.rendered) if each["kind"] == "ConfigMap"}
        given = dict(config["velox-settings"]["data"]) | {each["name"]: each["value"] for each in container["env"]}
        moved = {
            name: value.replace("/app/pipelines", f"{self.folder}/pipelines").replace(
                "/run/secrets/velox", f"{self.folder}/secrets"
            )
            for name, value in given.items()
        }
        ports = {name: str(port) for name in ("GATEWAY_PORT", "METRICS_PORT") if name in moved}
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        return kept | moved | ports | self.overrides | {"PYTHONPATH": str(ROOT), "TMPDIR": str(self.folder)}

    def command(self, container: Manifest) -> list[str]:
        """The container's command, with this Python and the repository's files."""
        first, *others = container["command"]
        assert first == "python"
        return [sys.executable, *(str(ROOT / word) if (ROOT / word).is_file() else word for word in others)]

    def run(self, container: Manifest) -> "subprocess.CompletedProcess[str]":
        """Run one that ends by itself."""
        env = self.environment(container, 0)
        return subprocess.run(
            self.command(container), env=env, cwd=self.folder, capture_output=True, text=True, check=False
        )

    @contextmanager
    def running(self, container: Manifest) -> Iterator[tuple[int, "subprocess.Popen[bytes]"]]:
        """Run one that serves, on a port of its own."""
        port = free_port()
        process = subprocess.Popen(
            tethered(*self.command(container)), env=self.environment(container, port), cwd=self.folder
        )
        try:
            yield port, process
        finally:
            process.kill()
            process.wait()


@pytest.fixture
def node(tmp_path: Path, kafka: KafkaServer, postgres: PostgresServer) -> Node:
    database = f"chart_{uuid.uuid4().hex[:8]}"
    postgres.execute("postgres", f"CREATE DATABASE {database}")
    name = f"chart-{uuid.uuid4().hex[:8]}"
    # A list is replaced as a whole, so `--set` cannot change a part of an entry.
    (pipeline,) = [
        each
        for each in yaml.safe_load((CHART / "values.yaml").read_text())["pipelines"]
        if each["enabled"] is not False
    ]
    pipeline["settings"] = {"KAFKA_TOPIC": name, "KAFKA_CONSUMER_GROUP": name}
    own = tmp_path / "values.yaml"
    own.write_text(yaml.safe_dump({"pipelines": [pipeline]}))
    rendered = render("--values", str(own))
    (config,) = [each for each in manifests(rendered) if each["metadata"]["name"] == "velox-pipelines"]
    for place, files in (
        ("pipelines", config["data"]),
        ("secrets", dict.fromkeys(("REQUESTS_URL", "POSTGRES_DSN"), postgres.url(database))),
    ):
        (tmp_path / place).mkdir()
        for file, content in files.items():
            (tmp_path / place / file).write_text(content)
    return Node(tmp_path, rendered, {"KAFKA_BOOTSTRAP_SERVER": kafka.bootstrap, "GATEWAY_HOST": HOST})


def wait(process: "subprocess.Popen[bytes]", port: int, path: str) -> None:
    deadline = time.monotonic() + 60 * PATIENCE
    while not is_ok(port, path):
        assert process.poll() is None, f"{path}: ended with {process.returncode}"
        assert time.monotonic() < deadline, path
        time.sleep(0.1)


def test_what_the_chart_starts_answers_its_probes_predicts_and_drains_in_time(node: Node) -> None:
    by_name = {name.split("/")[2]: container for name, container in containers(node.rendered)}
    graces = {
        name.split("/")[1]: pod["spec"].get("terminationGracePeriodSeconds", 0) for name, pod in pods(node.rendered)
    }
    prepared = node.run(by_name["sentiment"])
    assert prepared.returncode == 0, prepared.stderr
    assert "sink requests: there" in prepared.stdout
    with (
        node.running(by_name["consumer"]) as consumer,
        node.running(by_name["webhooks"]) as webhooks,
        node.running(by_name["gateway"]) as gateway,
    ):
        started = {
            "ml-worker": (consumer, "consumer"),
            "webhooks": (webhooks, "webhooks"),
            "gateway": (gateway, "gateway"),
        }
        for (port, process), name in started.values():
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                wait(process, port, by_name[name][probe]["httpGet"]["path"])
        told = {"GATEWAY_URL": f"http://{HOST}:{gateway[0]}", "TIMEOUT_S": "60", "TEXT": "I love it!"}
        command = [sys.executable, "-Ic", (CHART / "files/smoke.py").read_text()]
        asked = subprocess.run(command, env=os.environ | told, capture_output=True, text=True, check=False)
        assert asked.returncode == 0, asked.stderr
        assert "'label': 'POSITIVE'" in asked.stdout
        for deployment, ((_, process), _) in started.items():
            process.send_signal(signal.SIGTERM)
            assert process.wait(graces[deployment]) == 0, deployment
