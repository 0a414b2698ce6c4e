"""Marks every test by its folder, and offers real servers: one of each per session, started when first asked for."""

import fcntl
import os
import uuid
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from tests import small_model as small_model_files
from tests import tiny_text_model as tiny_text_model_files
from tests.servers.kafka import KafkaServer, TopicFactory
from tests.servers.mongo import MongoServer
from tests.servers.postgres import PostgresServer
from tests.servers.process import PATIENCE
from tests.servers.s3 import S3Server
from tests.servers.secure_kafka import SecureKafkaServer
from velox.core.seldom import Seldom
from velox.kafka import reachability

TESTS = Path(__file__).parent
RAY = TESTS.parent / ".venv-ray" / "bin" / "ray"
TIERS = {"unit", "contract", "integration", "e2e", "faults", "gpu", "cameras", "cluster", "deploy", "browser"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark by folder, and grant patience; what lies directly in `tests/` reads files only, and so counts as unit."""
    for item in items:
        if PATIENCE != 1:
            bound = item.get_closest_marker("timeout")
            item.add_marker(pytest.mark.timeout((bound.args[0] if bound else 120) * PATIENCE), append=False)
        tier = item.path.relative_to(TESTS).parts[0]
        item.add_marker(tier if tier in TIERS else "unit")
        if tier == "gpu" and not has_cuda():
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))
        if tier == "cluster" and not RAY.exists():
            item.add_marker(pytest.mark.skip(reason="needs Ray, in an environment of its own: make ray"))


@cache
def has_cuda() -> bool:
    """Whether torch sees a CUDA device; asked only when there are tests for one."""
    import torch  # noqa: PLC0415 - takes seconds, which the other tests need not wait for

    return torch.cuda.is_available()


@pytest.fixture(autouse=True)
def _nothing_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have each test begin as a process does: of no address was told that it cannot be reached."""
    monkeypatch.setattr(reachability, "_TOLD", Seldom(15))


@pytest.fixture(scope="session")
def small_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the small model, trained once for all tests."""
    return _made_once("small-model", small_model_files.train, tmp_path_factory)


@pytest.fixture(scope="session")
def tiny_text_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the tiny network for texts, its export and its int8, made once for all tests; copy it to change it.

    As `velox train` makes them.
    """
    return _made_once("tiny-text-model", tiny_text_model_files.make, tmp_path_factory)


def _made_once(name: str, make: Callable[[Path], None], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Have a folder filled by the first of the processes that run the tests."""
    run = tmp_path_factory.getbasetemp()
    folder = (run.parent if "PYTEST_XDIST_WORKER" in os.environ else run) / name
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            unfinished = folder.with_suffix(".unfinished")
            unfinished.mkdir(exist_ok=True)
            make(unfinished)
            unfinished.rename(folder)
    return folder


@pytest.fixture(scope="session")
def kafka() -> Iterator[KafkaServer]:
    """The session's broker: never stop it; a test of outages starts its own `KafkaServer`."""
    with KafkaServer() as server:
        yield server


@pytest.fixture(scope="session")
def secure_kafka() -> Iterator[SecureKafkaServer]:
    """The session's broker with TLS, passwords and access control lists."""
    with SecureKafkaServer() as server:
        yield server


@pytest.fixture(scope="session")
def mongo() -> Iterator[MongoServer]:
    """The session's MongoDB-protocol server: never stop it; a test of outages starts its own `MongoServer`."""
    with MongoServer() as server:
        yield server


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """The session's PostgreSQL: never stop it; a test of outages starts its own `PostgresServer`."""
    with PostgresServer() as server:
        yield server


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    """The session's S3 server: never stop it; a test of outages starts its own `S3Server`, or goes through a proxy."""
    with S3Server() as server:
        yield server


@pytest.fixture
def topic(kafka: KafkaServer) -> TopicFactory:
    """Makes topics with names of their own on the session's broker."""

    def create(partitions: int = 6) -> str:
        name = f"topic-{uuid.uuid4().hex[:12]}"
        kafka.create_topic(name, partitions=partitions)
        return name

    return create


@pytest.fixture
def database(mongo: MongoServer) -> Iterator[str]:
    """The name of a database that nobody else uses, dropped afterwards."""
    name = f"db_{uuid.uuid4().hex[:12]}"
    yield name
    client: MongoClient[dict[str, Any]]
    with MongoClient(mongo.uri) as client:
        client.drop_database(name)


@pytest.fixture
def one_torch_thread() -> Iterator[None]:
    """As in an inference process; threads of a busy machine wait for each other."""
    import torch  # noqa: PLC0415 - seconds to import, and few tests need it

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
