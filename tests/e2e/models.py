"""Several models in one consumer, in a folder of their own: what tests of them start and ask."""

import os
import sqlite3
import subprocess
import sys
import uuid
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from confluent_kafka import Producer

from tests.e2e.pipeline import PATIENCE_S, QUICK_SESSION, REPOSITORY, Program, wait_until
from tests.servers.kafka import TopicFactory
from velox.model_reports import ModelReport, read_reports

FRAGILE = "tests.e2e.fragile:FragileModel"


class Models:
    """A folder with ``models.toml``, its pipeline files, and one consumer of them all."""

    def __init__(self, folder: Path, bootstrap: str, topic: TopicFactory) -> None:
        self.folder = folder
        self.path = folder / "models.toml"
        self.path.write_text("")
        self._topic = topic
        self._bootstrap = bootstrap
        self.topics: dict[str, str] = {}
        self.programs: list[Program] = []

    def pipeline(self, name: str, **settings: str) -> Path:
        """Write a model's pipeline file; its topic stays the same when it is written again."""
        if name not in self.topics:
            self.topics[name] = self._topic(3)
        told = {
            "KAFKA_TOPIC": self.topics[name],
            "KAFKA_CONSUMER_GROUP": f"group-{self.topics[name]}",
            "CODEC": "raw",
            "MODEL": FRAGILE,
            "SINKS": "sqlite",
            "SQLITE_PATH": f"{name}.db",
            "STORE": "all",
            "INFERENCE_PROCESSES": "1",
            "PIPELINE": name,
            **settings,
        }
        path = self.folder / f"{name}.env"
        path.write_text("".join(f"{key}={value}\n" for key, value in told.items()))
        return path

    def environment(self) -> dict[str, str]:
        own = {
            "PYTHONPATH": str(REPOSITORY),
            "KAFKA_BOOTSTRAP_SERVER": self._bootstrap,
            "METRICS_PORT": "0",
            **QUICK_SESSION,
        }
        return {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ} | own

    def velox(self, *command: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "velox", *command],
            cwd=self.folder, env=self.environment(), capture_output=True, text=True, check=False, timeout=PATIENCE_S,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def load(self, name: str, **settings: str) -> None:
        self.velox("model", "load", name, "--env-file", str(self.pipeline(name, **settings)))

    def consume(self, names: str = "all") -> Program:
        self.programs.append(Program("consumer", "--models", names, folder=self.folder, env=self.environment()))
        return self.programs[-1]

    def report(self, name: str) -> ModelReport | None:
        return next(iter(read_reports(self.path).get(name, [])), None)

    def wait_for(
        self, name: str, state: str, what: Callable[[ModelReport], bool] = lambda _report: True
    ) -> ModelReport:
        found: list[ModelReport] = []

        def holds() -> bool:
            report = self.report(name)
            if report and report.state == state and what(report):
                found.append(report)
            return bool(found)

        wait_until(holds, what=lambda: f"{name} {state}: {self.report(name)}\n{self.programs[-1].output}")
        return found[-1]

    def publish(self, name: str, count: int) -> list[str]:
        producer = Producer({"bootstrap.servers": self._bootstrap})
        ids = [f"id-{uuid.uuid4().hex}" for _ in range(count)]
        for each in ids:
            producer.produce(self.topics[name], b"payload", headers=[("velox-id", each.encode())])
        assert producer.flush(PATIENCE_S) == 0
        return ids

    def answered(self, name: str) -> set[str]:
        path = self.folder / f"{name}.db"
        if not path.exists():
            return set()
        with closing(sqlite3.connect(path)) as connection:
            if not connection.execute("SELECT name FROM sqlite_master WHERE name = 'predictions'").fetchall():
                return set()
            return {row[0] for row in connection.execute("SELECT id FROM predictions")}

    def wait_for_answers(self, name: str, ids: list[str]) -> None:
        wait_until(
            lambda: set(ids) <= self.answered(name),
            what=lambda: f"{len(set(ids) - self.answered(name))} of {len(ids)}:\n{self.programs[-1].output}",
        )
