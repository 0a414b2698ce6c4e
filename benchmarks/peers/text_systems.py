"""The systems of the benchmark of texts, each started, looked at while it works, and stopped."""

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

import httpx2
from confluent_kafka import Producer

from benchmarks.gateway import Site
from benchmarks.meter import Meter, await_ready
from benchmarks.peers.askers import Askers
from benchmarks.peers.kill_systems import PEERS_PYTHON
from benchmarks.peers.text_models import texts
from benchmarks.peers.window import Window
from benchmarks.programs import BenchmarkError, Program
from benchmarks.report import REPOSITORY
from tests.servers.kafka import KafkaServer
from tests.servers.process import HOST, free_port
from velox.client import Client, Question
from velox.settings.model import TRANSFORMER

BATCH: Final = 32
CONNECTIONS: Final = 128
_PARTITIONS: Final = 6
_READY_S: Final = 120.0
_POLL_S: Final = 0.02
_AHEAD: Final = 2
"""Batches that are submitted and not yet judged."""
_FLUSH_S: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One model with texts of one or more lengths."""

    model: str
    folder: Path
    lengths: tuple[int, ...]
    warm_s: float
    lasts_s: float
    in_topic: int
    """Texts in the topic at the start: more than are judged in the time."""
    a_batch: int
    """Lines of a batch for the gateway."""

    @property
    def settings(self) -> dict[str, str]:
        """What Velox is told besides its defaults; int8 is given, as random weights say nothing of agreement."""
        own = {"MODEL": TRANSFORMER, "MODEL_PATH": str(self.folder), "INFERENCE_PROCESSES": "auto", "DEVICE": "cpu"}
        return own | ({"PRECISION": "int8"} if self.model == "full" else {})


@dataclass(frozen=True, slots=True)
class Server:
    """A peer behind HTTP."""

    command: tuple[str, ...]
    health: str
    path: str
    environment: Mapping[str, Mapping[str, str]]
    """By model."""
    connections: int


_ONE_THREAD: Final = {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
_EACH_ONE: Final = {"tiny": _ONE_THREAD, "full": _ONE_THREAD}
SERVERS: Final = {
    "FastAPI + pipeline": Server(
        ("-m", "uvicorn", "benchmarks.peers.text_pipeline:api", "--port", "{port}", "--no-access-log"),
        "/health",
        "/predict",
        {"tiny": _ONE_THREAD, "full": {"OMP_WAIT_POLICY": "PASSIVE"}},
        2,
    ),
    "LitServe": Server(("-m", "benchmarks.peers.text_litserve"), "/health", "/predict", _EACH_ONE, CONNECTIONS),
    "mosec": Server(("-m", "benchmarks.peers.text_mosec"), "/", "/inference", _EACH_ONE, CONNECTIONS),
}


def look(count: Callable[[], float], programs: list[Program], warm_s: float, lasts_s: float) -> Window:
    """Look from one change of the count to another, about so long after the first; batches come at once."""
    _changed(count, programs)
    time.sleep(warm_s)
    first = _changed(count, programs)
    began, used_s = time.monotonic(), sum(program.tree_cpu_s() for program in programs)
    time.sleep(lasts_s)
    last = _changed(count, programs)
    lasted_s = time.monotonic() - began
    used_s = sum(program.tree_cpu_s() for program in programs) - used_s
    return Window(count=round(last - first), lasted_s=lasted_s, cpu_s=used_s)


def _changed(count: Callable[[], float], programs: list[Program]) -> float:
    before, until = count(), time.monotonic() + _READY_S
    while (now := count()) == before:
        for program in programs:
            program.check()
        if time.monotonic() > until:
            raise BenchmarkError(f"nothing was judged for {_READY_S:g} s; see {programs[0].log}")
        time.sleep(_POLL_S)
    return now


def served(name: str, job: Job, folder: Path) -> Iterator[tuple[int, Window]]:
    """Start a peer's server, and ask it with texts of each length."""
    server, port = SERVERS[name], free_port()
    own = {"PEER_MODEL": str(job.folder), "BATCH_SIZE": str(BATCH), "PORT": str(port)}
    own |= server.environment[job.model]
    command = [word.format(port=port) for word in server.command]
    log = folder / f"{name.split(maxsplit=1)[0]}.log"
    with Program(command, folder=folder, settings=own, log=log, python=str(PEERS_PYTHON)) as program:
        _await(program, f"http://{HOST}:{port}{server.health}")
        for tokens in job.lengths:
            with Askers(port, server.path, texts(tokens), server.connections) as count:
                yield tokens, look(count, [program], job.warm_s, job.lasts_s)


def _await(program: Program, url: str) -> None:
    until = time.monotonic() + _READY_S
    while time.monotonic() < until:
        program.check()
        with suppress(httpx2.TransportError):
            if httpx2.get(url, timeout=_READY_S).is_success:
                return
        time.sleep(_POLL_S)
    raise BenchmarkError(f"{url} is not there after {_READY_S:g} s; see {program.log}")


def from_kafka(job: Job, folder: Path) -> Iterator[tuple[int, Window]]:
    """Start Velox's consumer on a topic full of texts, once for each length."""
    with KafkaServer() as kafka:
        for tokens in job.lengths:
            topic, port = f"texts-{tokens}", free_port()
            kafka.create_topic(topic, partitions=_PARTITIONS)
            _fill(kafka, topic, tokens, job.in_topic)
            words = [str(REPOSITORY / "consumer.py"), "--env-file", str(REPOSITORY / "pipelines" / "sentiment.env")]
            own = {"KAFKA_BOOTSTRAP_SERVER": kafka.bootstrap, "KAFKA_TOPIC": topic, "KAFKA_CONSUMER_GROUP": topic}
            own |= {"METRICS_PORT": str(port), "SQLITE_PATH": str(folder / f"{topic}-{port}.db")}
            log = folder / "consumer.log"
            with Program(words, folder=folder, settings={**own, **job.settings}, log=log) as program:
                await_ready(program, port)
                yield tokens, look(Meter(port).predicted, [program], job.warm_s, job.lasts_s)


def _fill(kafka: KafkaServer, topic: str, tokens: int, count: int) -> None:
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "compression.type": "lz4", "linger.ms": 50})
    for number, text in enumerate(islice(texts(tokens), count)):
        value = json.dumps({"request_id": f"{topic}-{number}", "text": text})
        while True:
            try:
                producer.produce(topic, value, partition=number % _PARTITIONS)
            except BufferError:
                producer.poll(_POLL_S)
            else:
                break
    if missing := producer.flush(_FLUSH_S):
        raise BenchmarkError(f"{topic}: {missing} of {count} texts were not acknowledged")


def through_gateway(job: Job, folder: Path) -> Iterator[tuple[int, Window]]:
    """Start Velox's gateway and consumer, and submit batches while fewer than two wait."""
    with KafkaServer() as kafka:
        url = f"sqlite:///{folder}/requests-{job.model}.db"
        site = Site(folder, kafka.bootstrap, "SQLite", url, more=job.settings)
        try:
            for tokens in job.lengths:
                count = Meter(site.metrics).predicted
                with _submitting(site, count, tokens, job.a_batch):
                    yield tokens, look(count, [site.gateway, site.consumer], job.warm_s, job.lasts_s)
                site.drained()
        finally:
            site.close()


@contextmanager
def _submitting(site: Site, count: Callable[[], float], tokens: int, a_batch: int) -> Iterator[None]:
    is_over = threading.Event()
    errors: list[Exception] = []

    def submit() -> None:
        submitted, before, source = 0, count(), texts(tokens)
        with Client(site.url) as client:
            while not is_over.is_set():
                if submitted - (count() - before) >= _AHEAD * a_batch:
                    is_over.wait(_POLL_S)
                    continue
                asked = (Question(model="sentiment", text=text) for text in islice(source, a_batch))
                submitted += len(client.submit_batch(asked))

    def run() -> None:
        try:
            submit()
        except Exception as error:  # noqa: BLE001 - raised below, in the main thread
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
    if errors:
        raise BenchmarkError(f"batches could not be submitted: {errors[0]}")
