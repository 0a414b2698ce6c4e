"""The systems of the kill test: how each is started, and how each part of it dies and comes back."""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx2
from confluent_kafka import Consumer

from benchmarks.peers.catalogue import CORES
from benchmarks.programs import BenchmarkError, Program
from benchmarks.report import REPOSITORY
from tests.servers.kafka import KafkaServer
from tests.servers.process import HOST, LocalServer, free_port
from tests.servers.redis import RedisServer

PEERS_PYTHON: Final = REPOSITORY / ".venv-peers" / "bin" / "python"
_REQUESTS, _RESULTS = "peer-requests", "peer-results"
_PARTITIONS: Final = 3
_READY_S: Final = 60.0
_POLL_S: Final = 0.1
_VERIFY_S: Final = 500.0

Command = Sequence[str]


@dataclass(slots=True)
class System:
    """A gateway, a worker and a broker; what dies is started again at once, as a supervisor would."""

    folder: Path
    broker: LocalServer
    settings: Mapping[str, str]
    commands: Mapping[str, Command]
    """What the gateway and the worker are."""
    doubled: Callable[[], int | None] = lambda: None
    """Counts results that came twice, where that can be seen."""
    port: int = field(default_factory=free_port)
    _programs: dict[str, Program] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """Where the gateway is."""
        return f"http://{HOST}:{self.port}"

    def start(self) -> None:
        """Start both, and wait for the gateway."""
        for role in self.commands:
            self._start(role)
        self.await_gateway()

    def kill(self, role: str) -> None:
        """SIGKILL a part with all its processes, start it again, and wait until it answers where it does."""
        if role == "broker":
            self.broker.kill()
            self.broker.start()
        else:
            self._programs[role].__exit__(None, None, None)
            self._start(role)
        self.await_gateway()

    def await_gateway(self) -> None:
        """Wait until the gateway answers; start it again when it has ended."""
        until = time.monotonic() + _READY_S
        while time.monotonic() < until:
            for role, program in self._programs.items():
                with suppress(BenchmarkError):
                    program.check()
                    continue
                self._start(role)
            with suppress(httpx2.TransportError):
                if httpx2.get(f"{self.url}/health", timeout=1.0).is_success:
                    return
            time.sleep(_POLL_S)
        raise BenchmarkError(f"the gateway is not there after {_READY_S:g} s; see {self.folder}/gateway.log")

    def program(self, role: str) -> Program:
        """Answer the process that runs now."""
        return self._programs[role]

    def close(self) -> None:
        """Kill both."""
        for program in self._programs.values():
            program.__exit__(None, None, None)

    def _start(self, role: str) -> None:
        command = [word.format(port=self.port) for word in self.commands[role]]
        log = self.folder / f"{role}.log"
        self._programs[role] = Program(
            command, folder=self.folder, settings=self.settings, log=log, python=str(PEERS_PYTHON)
        )


def _uvicorn(module: str) -> Command:
    return ["-m", "uvicorn", f"benchmarks.peers.{module}:api", "--port", "{port}", "--no-access-log"]


@contextmanager
def celery(folder: Path) -> Iterator[System]:
    """FastAPI, Celery and Redis."""
    worker = ["-m", "celery", "-A", "benchmarks.peers.with_celery", "worker", "-c", str(CORES), "-l", "WARNING"]
    with RedisServer() as redis:
        yield System(folder, redis, {"REDIS_URL": redis.url}, {"gateway": _uvicorn("with_celery"), "worker": worker})


@contextmanager
def aiokafka(folder: Path) -> Iterator[System]:
    """FastAPI and aiokafka, results in memory."""
    with KafkaServer() as kafka:
        for topic in (_REQUESTS, _RESULTS):
            kafka.create_topic(topic, partitions=_PARTITIONS)
        commands = {"gateway": _uvicorn("with_aiokafka"), "worker": ["-m", "benchmarks.peers.aiokafka_worker"]}
        settings = {"KAFKA_BOOTSTRAP_SERVER": kafka.bootstrap}
        yield System(folder, kafka, settings, commands, doubled=lambda: _twice(kafka))


def _twice(kafka: KafkaServer) -> int:
    """Count the ids with more than one record in the topic of results."""
    consumer = Consumer(
        {
            "bootstrap.servers": kafka.bootstrap,
            "group.id": "count",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
        }
    )
    consumer.subscribe([_RESULTS])
    found: dict[str, int] = {}
    ended: set[int | None] = set()
    until = time.monotonic() + _READY_S
    while len(ended) < _PARTITIONS and time.monotonic() < until:
        for message in consumer.consume(1000, timeout=1.0):
            if message.error() is not None:
                ended.add(message.partition())
                continue
            identity = json.loads(message.value() or b"")["id"]
            found[identity] = found.get(identity, 0) + 1
    consumer.close()
    return sum(times > 1 for times in found.values())


def verify(folder: Path, count: int, rate: float, kills: Mapping[str, int]) -> dict[str, Any]:
    """Have Velox's own tool do the same to Velox, and answer its figures; this process kills the broker for it."""
    asked, done, figures = folder / "asked", folder / "done", folder / "figures.json"
    words = ["-m", "velox", "verify", "--through", "gateway", "--count", str(count), "--rate", f"{rate:g}"]
    words += ["--kill-gateway", str(kills["gateway"]), "--kill-consumer", str(kills["worker"]), "--json", str(figures)]
    words += ["--broker-restart", f"touch {asked}; while [ ! -e {done} ]; do sleep 0.1; done"]
    with ExitStack() as stack:
        kafka = stack.enter_context(KafkaServer())
        settings = {
            "KAFKA_BOOTSTRAP_SERVER": kafka.bootstrap,
            "REQUESTS_URL": f"sqlite:///{folder}/requests.db",
        }
        program = stack.enter_context(Program(words, folder=folder, settings=settings, log=folder / "verify.log"))
        until = time.monotonic() + _VERIFY_S
        while not figures.exists():
            if asked.exists() and not done.exists():
                kafka.kill()
                kafka.start()
                done.touch()
            if time.monotonic() > until:
                raise BenchmarkError(f"velox verify did not end within {_VERIFY_S:g} s; see {program.log}")
            if not figures.exists():
                program.check()
            time.sleep(_POLL_S)
        program.settle(_READY_S)
    found: dict[str, Any] = json.loads(figures.read_text())
    return found
