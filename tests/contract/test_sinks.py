"""One suite over every sink: what the writer may rely on, whatever is behind it."""

import json
import math
import sqlite3
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Any, Protocol

import psycopg
import pytest
from pydantic import SecretStr
from pymongo import MongoClient

from tests.e2e.pipeline import read_all
from tests.results import make_result, make_results
from tests.servers.kafka import KafkaServer
from tests.servers.mongo import MongoServer
from tests.servers.postgres import PostgresServer
from tests.servers.process import HOST, PATIENCE
from tests.servers.proxy import TcpProxy
from tests.servers.s3 import S3Server
from velox.errors import SinkUnavailableError
from velox.loading import load_class
from velox.records import Box, Prediction, Timings
from velox.settings import Settings
from velox.sinks import PATHS
from velox.sinks.sink import Readable, Sink

TIMEOUT_S = 0.2
REMOTE_TIMEOUT_S = 2.0 * PATIENCE
"""Drivers look for a server that failed twice a second: with less, a server that is back may not be seen in time."""
KAFKA_TIMEOUT_S = 3.0 * PATIENCE
"""A new producer first asks for its id, and for the leaders of a topic that was made a moment ago."""
SLACK_S = 3.0
"""What a busy machine may add; with their own time-outs, drivers would wait for 5 s or more."""


class Rig(Protocol):
    """What a sink stores into, seen from the other side."""

    settings: Settings

    def stored_ids(self) -> list[str]:
        """List the ids stored, sorted; one that is stored twice comes twice."""

    def take_down(self) -> None:
        """Make the sink fail, as operators know it."""

    def bring_back(self) -> None:
        """Undo that."""


class DiskRig:
    """A folder; down means that a file lies in its place."""

    def __init__(self, tmp_path: Path) -> None:
        self._folder = tmp_path / "discoveries"
        self._aside = tmp_path / "aside"
        self.settings = Settings(storage_path=self._folder, sink_timeout_s=TIMEOUT_S)

    def stored_ids(self) -> list[str]:
        return sorted(path.name.removeprefix("hit_").removesuffix(".jpg") for path in self._folder.iterdir())

    def take_down(self) -> None:
        if self._folder.exists():
            self._folder.rename(self._aside)
        self._folder.write_bytes(b"not a folder")

    def bring_back(self) -> None:
        self._folder.unlink()
        if self._aside.exists():
            self._aside.rename(self._folder)


class SqliteRig:
    """A file; down means that another process holds its write lock."""

    def __init__(self, tmp_path: Path) -> None:
        self._path = tmp_path / "velox.db"
        self._other: sqlite3.Connection | None = None
        self.settings = Settings(sqlite_path=self._path, sink_timeout_s=TIMEOUT_S)

    def stored_ids(self) -> list[str]:
        connection = sqlite3.connect(self._path)
        try:
            return [row[0] for row in connection.execute("SELECT id FROM predictions ORDER BY id")]
        finally:
            connection.close()

    def take_down(self) -> None:
        self._other = sqlite3.connect(self._path, isolation_level=None)
        self._other.execute("BEGIN EXCLUSIVE")

    def bring_back(self) -> None:
        if self._other is not None:
            self._other.close()


class RequestsRig:
    """The gateway's store in a file; down as `SqliteRig`."""

    def __init__(self, tmp_path: Path) -> None:
        self._path = tmp_path / "requests.db"
        self._other: sqlite3.Connection | None = None
        self.settings = Settings(requests_url=SecretStr(f"sqlite:///{self._path}"), sink_timeout_s=TIMEOUT_S)

    def stored_ids(self) -> list[str]:
        with closing(sqlite3.connect(self._path)) as connection:
            return [row[0] for row in connection.execute("SELECT id FROM requests ORDER BY id")]

    def take_down(self) -> None:
        self._other = sqlite3.connect(self._path, isolation_level=None)
        self._other.execute("BEGIN EXCLUSIVE")

    def bring_back(self) -> None:
        if self._other is not None:
            self._other.close()


class MongoRig:
    """A database behind a proxy; down means that connections break and new ones are refused."""

    def __init__(self, mongo: MongoServer, database: str, proxy: TcpProxy) -> None:
        self._server, self._database, self._proxy = mongo, database, proxy
        uri = SecretStr(f"mongodb://127.0.0.1:{proxy.port}/")
        self.settings = Settings(mongo_uri=uri, db_name=database, sink_timeout_s=REMOTE_TIMEOUT_S)

    def stored_ids(self) -> list[str]:
        client: MongoClient[dict[str, Any]] = MongoClient(self._server.uri)
        with client:
            found = client[self._database][self.settings.mongo_collection].find({}, {"_id": 1})
            return sorted(document["_id"] for document in found)

    def take_down(self) -> None:
        self._proxy.block()

    def bring_back(self) -> None:
        self._proxy.unblock()


class PostgresRig:
    """A database behind a proxy; down as for `MongoRig`."""

    def __init__(self, server: PostgresServer, proxy: TcpProxy) -> None:
        self._server, self._proxy = server, proxy
        self._database = f"db_{uuid.uuid4().hex[:12]}"
        server.execute("postgres", f"CREATE DATABASE {self._database}")
        dsn = SecretStr(server.url(self._database, port=proxy.port))
        self.settings = Settings(postgres_dsn=dsn, sink_timeout_s=REMOTE_TIMEOUT_S)

    def stored_ids(self) -> list[str]:
        with closing(psycopg.connect(self._server.url(self._database))) as connection:
            return sorted(row[0] for row in connection.execute("SELECT id FROM prediction_results"))

    def take_down(self) -> None:
        self._proxy.block()

    def bring_back(self) -> None:
        self._proxy.unblock()


class KafkaRig:
    """A topic of a broker behind a proxy. A result is the last message of its key: a compacted topic's view."""

    def __init__(self, broker: tuple[KafkaServer, TcpProxy]) -> None:
        self._proxy = broker[1]
        self._topic = f"results-{uuid.uuid4().hex[:8]}"
        self.settings = Settings(
            kafka_bootstrap_server=f"{HOST}:{self._proxy.port}",
            results_topic=self._topic,
            kafka_partitions=1,
            sink_timeout_s=KAFKA_TIMEOUT_S,
        )

    def stored_ids(self) -> list[str]:
        last = {m.key(): m.value() for m in read_all(self.settings.kafka_bootstrap_server, self._topic)}
        return sorted(json.loads(value or b"")["_id"] for value in last.values())

    def take_down(self) -> None:
        self._proxy.block()

    def bring_back(self) -> None:
        self._proxy.unblock()


class BucketRig:
    """A part of an S3 bucket behind a proxy."""

    def __init__(self, server: S3Server, proxy: TcpProxy) -> None:
        self._proxy = proxy
        bucket = f"bucket-{uuid.uuid4().hex[:12]}"
        self._folder = server.make_bucket(bucket) / "deep/images"
        told = {**server.settings(bucket, port=self._proxy.port), "storage_path": f"s3://{bucket}/deep/images"}
        self.settings = Settings.model_validate({**told, "sink_timeout_s": REMOTE_TIMEOUT_S})

    def stored_ids(self) -> list[str]:
        names = [path.name for path in self._folder.iterdir()] if self._folder.exists() else []
        return sorted(name.removeprefix("hit_").removesuffix(".jpg") for name in names)

    def take_down(self) -> None:
        self._proxy.block()

    def bring_back(self) -> None:
        self._proxy.unblock()


@pytest.fixture
def proxied_s3(s3: S3Server) -> Iterator[TcpProxy]:
    with TcpProxy(s3.port) as proxy:
        yield proxy


@pytest.fixture(scope="session")
def broker_behind_a_proxy() -> Iterator[tuple[KafkaServer, TcpProxy]]:
    server = KafkaServer()
    with TcpProxy(server.port) as proxy:
        server.settings["advertised.listeners"] = f"PLAINTEXT://{HOST}:{proxy.port}"
        with server:
            yield server, proxy


@pytest.fixture
def proxied(broker_behind_a_proxy: tuple[KafkaServer, TcpProxy]) -> Iterator[tuple[KafkaServer, TcpProxy]]:
    yield broker_behind_a_proxy
    broker_behind_a_proxy[1].unblock()


@pytest.fixture
def proxy(mongo: MongoServer) -> Iterator[TcpProxy]:
    with TcpProxy(mongo.port) as proxy:
        yield proxy


@pytest.fixture
def proxied_postgres(postgres: PostgresServer) -> Iterator[TcpProxy]:
    with TcpProxy(postgres.port) as proxy:
        yield proxy


@pytest.fixture(params=[*sorted(PATHS), "bucket"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def name(kind: str) -> str:
    """As the settings give it: the sink ``disk`` stores into a bucket, too."""
    return "disk" if kind == "bucket" else kind


FILES: dict[str, Callable[[Path], Rig]] = {"disk": DiskRig, "sqlite": SqliteRig, "requests": RequestsRig}
SERVERS: dict[str, tuple[Callable[..., Rig], tuple[str, ...]]] = {
    "bucket": (BucketRig, ("s3", "proxied_s3")),
    "kafka": (KafkaRig, ("proxied",)),
    "mongo": (MongoRig, ("mongo", "database", "proxy")),
    "postgres": (PostgresRig, ("postgres", "proxied_postgres")),
}
"""Fixtures are asked for by name, so that the other sinks' tests start no server."""


@pytest.fixture
def rig(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> Rig:
    if kind in FILES:
        return FILES[kind](tmp_path)
    make, fixtures = SERVERS[kind]
    return make(*(request.getfixturevalue(fixture) for fixture in fixtures))


@pytest.fixture
def sink(name: str, rig: Rig) -> Iterator[Sink]:
    sink: Sink = load_class(PATHS[name])(rig.settings)
    yield sink
    sink.close()


def ids(count: int) -> list[str]:
    return sorted(result.id for result in make_results(count))


def test_a_sink_bears_the_name_that_the_settings_give_it(sink: Sink, name: str) -> None:
    assert sink.name == name


@pytest.mark.parametrize("store", ["detections", "all"])
def test_databases_take_what_the_settings_say_and_the_disk_takes_detections(name: str, store: str) -> None:
    sink: Sink = load_class(PATHS[name])(Settings.model_validate({"store": store}))
    assert sink.takes == {"disk": "detections", "requests": "outcomes"}.get(name, store)


def test_making_a_sink_touches_nothing(name: str, tmp_path: Path) -> None:
    nowhere = {"sqlite_path": tmp_path / "velox.db", "storage_path": tmp_path / "discoveries"}
    servers = {"mongo_uri": "mongodb://no.such.host/", "requests_url": f"sqlite:///{tmp_path}/requests.db"}
    load_class(PATHS[name])(Settings.model_validate({**nowhere, **servers}))
    assert list(tmp_path.iterdir()) == []


def test_a_written_batch_is_stored(sink: Sink, rig: Rig) -> None:
    sink.open()
    sink.write(make_results(20))
    assert rig.stored_ids() == ids(20)


def test_opening_stores_nothing(sink: Sink, rig: Rig) -> None:
    sink.open()
    assert rig.stored_ids() == []


def test_a_large_batch_is_stored_whole(sink: Sink, rig: Rig) -> None:
    sink.open()
    sink.write(make_results(500))
    assert rig.stored_ids() == ids(500)


def test_the_same_batch_twice_is_stored_once(sink: Sink, rig: Rig) -> None:
    sink.open()
    sink.write(make_results(20))
    sink.write(make_results(20))
    assert rig.stored_ids() == ids(20)


def test_the_same_result_twice_in_one_batch_is_stored_once(sink: Sink, rig: Rig) -> None:
    sink.open()
    sink.write([*make_results(3), *make_results(2)])
    assert rig.stored_ids() == ids(3)


def test_a_replay_after_a_restart_is_stored_once(name: str, rig: Rig) -> None:
    for count in (10, 12):
        restarted: Sink = load_class(PATHS[name])(rig.settings)
        restarted.open()
        restarted.write(make_results(count))
        restarted.close()
    assert rig.stored_ids() == ids(12)


def test_an_empty_batch_stores_nothing(sink: Sink, rig: Rig) -> None:
    sink.open()
    sink.write([])
    assert rig.stored_ids() == []


def test_whatever_a_producer_wrote_is_stored(sink: Sink, rig: Rig) -> None:
    hostile = [
        make_result(0, record_id="half-a-surrogate", ground_truth="\ud800_\x00"),
        make_result(1, record_id="no-number", produced_at=math.nan),
        make_result(2, record_id="endless", produced_at=math.inf),
        make_result(3, record_id="operator", ground_truth="$set_$gt", label="$where"),
        make_result(4, record_id="no-payload", payload=b""),
    ]
    sink.open()
    sink.write(hostile)
    assert rig.stored_ids() == sorted(result.id for result in hostile)


def test_a_result_with_all_that_a_model_and_the_settings_can_add_is_stored(name: str, rig: Rig) -> None:
    full = Prediction("cat", 0.75, (("cat", 0.75), ("dog", 0.25)), (Box("cat", 0.5, 0.1, 0.2, 0.3, 0.4),))
    more = {"store_timings": True, "store_text": 50}
    sink: Sink = load_class(PATHS[name])(rig.settings.model_copy(update=more))
    sink.open()
    sink.write([replace(each, prediction=full, timings=Timings(0.1, 0.2, 0.3, 8)) for each in make_results(3)])
    sink.close()
    assert rig.stored_ids() == ids(3)


def test_closing_is_safe_twice_and_without_opening(sink: Sink) -> None:
    sink.close()
    sink.open()
    sink.close()
    sink.close()


def test_a_closed_sink_opens_again(sink: Sink, rig: Rig) -> None:
    sink.open()
    sink.close()
    sink.open()
    sink.write(make_results(3))
    assert rig.stored_ids() == ids(3)


def test_opening_twice_is_opening_once(sink: Sink, rig: Rig) -> None:
    sink.open()
    sink.open()
    sink.write(make_results(3))
    assert rig.stored_ids() == ids(3)


def test_a_sink_is_used_in_another_thread_than_the_one_that_made_it(sink: Sink, rig: Rig) -> None:
    with ThreadPoolExecutor(1) as writer:
        writer.submit(sink.open).result()
        writer.submit(sink.write, make_results(3)).result()
        writer.submit(sink.close).result()
    assert rig.stored_ids() == ids(3)


def test_opening_a_sink_that_is_down_fails_in_time_and_succeeds_later(sink: Sink, rig: Rig) -> None:
    rig.take_down()
    started = monotonic()
    with pytest.raises(SinkUnavailableError):
        sink.open()
    assert monotonic() - started < rig.settings.sink_timeout_s + SLACK_S
    rig.bring_back()
    sink.open()
    sink.write(make_results(3))
    assert rig.stored_ids() == ids(3)


def test_a_sink_that_goes_down_fails_in_time_and_takes_the_same_batch_later(sink: Sink, rig: Rig) -> None:
    sink.open()
    sink.write(make_results(5))
    rig.take_down()
    for _ in range(2):
        started = monotonic()
        with pytest.raises(SinkUnavailableError):
            sink.write(make_results(20))
        assert monotonic() - started < rig.settings.sink_timeout_s + SLACK_S
    rig.bring_back()
    sink.write(make_results(20))
    assert rig.stored_ids() == ids(20)


def test_a_sink_may_be_opened_again_after_a_write_failed(sink: Sink, rig: Rig) -> None:
    sink.open()
    rig.take_down()
    with pytest.raises(SinkUnavailableError):
        sink.write(make_results(3))
    rig.bring_back()
    sink.open()
    sink.write(make_results(3))
    assert rig.stored_ids() == ids(3)


def test_a_sink_that_is_down_can_be_closed(sink: Sink, rig: Rig) -> None:
    sink.open()
    rig.take_down()
    started = monotonic()
    sink.close()
    assert monotonic() - started < rig.settings.sink_timeout_s + SLACK_S
    rig.bring_back()


@pytest.fixture
def readable(sink: Sink) -> Readable:
    assert isinstance(sink, Readable)
    sink.open()
    sink.write(make_results(20))
    return sink


def test_what_is_stored_can_be_read_back(readable: Readable, name: str) -> None:
    found = {stored.id: stored for stored in readable.stored("")}
    assert sorted(found) == ids(20)
    if name != "disk":  # which keeps nothing but the payload
        for result in make_results(20):
            stored = found[result.id]
            assert (stored.label, stored.is_detection) == (result.prediction.label, result.is_detection)
            assert stored.position == tuple(result.record.position)
            assert stored.predicted_at == result.predicted_at


def test_results_are_read_by_the_beginning_of_their_ids(readable: Readable) -> None:
    chosen = [identity for identity in ids(20) if identity.startswith("image_data-1-")]
    assert 0 < len(chosen) < 20
    assert sorted(stored.id for stored in readable.stored("image_data-1-")) == chosen
    assert list(readable.stored("nothing")) == []


def test_results_are_removed_by_the_beginning_of_their_ids(readable: Readable, rig: Rig, name: str) -> None:
    if name == "kafka":  # where single messages cannot be removed, and it says so
        with pytest.raises(SinkUnavailableError):
            readable.remove("image_data-1-")
        return
    readable.remove("image_data-1-")
    assert rig.stored_ids() == [identity for identity in ids(20) if not identity.startswith("image_data-1-")]
    readable.remove("nothing")
    assert len(rig.stored_ids()) > 0


def test_a_sink_is_removed_as_a_whole_and_that_twice(readable: Readable, tmp_path: Path) -> None:
    readable.close()
    readable.remove("")
    readable.remove("")
    assert list(tmp_path.iterdir()) == []
    readable.open()
    assert list(readable.stored("")) == []


def test_a_sink_that_is_down_never_looks_empty(readable: Readable, rig: Rig) -> None:
    rig.take_down()
    try:
        found = sorted(stored.id for stored in readable.stored(""))
    except SinkUnavailableError:
        found = ids(20)  # it says that it cannot tell
    finally:
        rig.bring_back()
    assert found == ids(20)


def test_reading_a_sink_that_was_never_there_says_so_and_makes_nothing(sink: Sink, kind: str, tmp_path: Path) -> None:
    assert isinstance(sink, Readable)
    if kind in {"mongo", "bucket"}:  # where a collection, or a prefix, is there as soon as it is named
        assert list(sink.stored("")) == []
        return
    with pytest.raises(SinkUnavailableError):
        list(sink.stored(""))
    assert list(tmp_path.iterdir()) == []
