"""Sinks that go down, hang, crawl, refuse or fill up: the others and the broker wait with them, nothing is skipped."""

import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
from pymongo import MongoClient
from pymongo.collection import Collection

from tests.e2e.pipeline import wait_until
from tests.faults.conftest import SETTINGS, LedgerFactory
from tests.servers.mongo import MongoServer
from tests.servers.proxy import TcpProxy

SINKS = "disk,mongo,tests.faults.journal:JournalSink"
OUTAGE_S = 8.0


@pytest.fixture
def proxy(mongo: MongoServer) -> Iterator[TcpProxy]:
    with TcpProxy(mongo.port) as proxy:
        yield proxy


def through(proxy: TcpProxy) -> dict[str, Any]:
    return {"SINKS": SINKS, "MONGO_URI": f"mongodb://127.0.0.1:{proxy.port}/", "SINK_TIMEOUT_S": 1}


def flap(proxy: TcpProxy) -> None:
    until = time.monotonic() + OUTAGE_S
    while time.monotonic() < until:
        proxy.block()
        time.sleep(0.3)
        proxy.unblock()
        time.sleep(0.7)


BREAK: dict[str, Callable[[TcpProxy], None]] = {
    "down": TcpProxy.block,
    "hanging": TcpProxy.hang,
    "silent": lambda proxy: proxy.hang(answers_only=True),
    "slower than SINK_TIMEOUT_S": lambda proxy: proxy.delay(2),
    "flapping": flap,
}


@pytest.mark.fault(
    "MongoDB fails while records flow", "consuming pauses, the group stays as it is, the lag is all it costs"
)
@pytest.mark.parametrize(
    "how", [pytest.param("down", marks=pytest.mark.representative), *(how for how in BREAK if how != "down")]
)
def test_a_sink_that_fails_is_waited_for(ledger: LedgerFactory, proxy: TcpProxy, how: str) -> None:
    one = ledger(**through(proxy))
    one.load.begin()
    consumer = one.consume()
    one.wait_until_stored(50)
    BREAK[how](proxy)
    consumer.wait_until_it_says("mongo: ")
    if how != "flapping":
        wait_until(lambda: consumer.not_ready_because() == "blocked by mongo", what="not ready because of mongo")
        stored = one.stored()
        time.sleep(OUTAGE_S)  # beyond the session time-out
        assert consumer.probe("/livez")[0] == 200
        assert consumer.metric("velox_in_flight_records") <= int(SETTINGS["QUEUE_SIZE"])
        assert one.stored() == stored
        one.check_committed()
    proxy.unblock()
    one.fault()
    one.wait_for_more(100)
    assert not consumer.says("Lost")
    assert consumer.output.count("Assigned") == 1
    one.finish(consumer)


@pytest.mark.fault("MongoDB down at the start", "alive, not ready, and it says why")
def test_a_sink_that_is_down_at_the_start_is_waited_for(ledger: LedgerFactory, proxy: TcpProxy) -> None:
    proxy.block()
    one = ledger(**through(proxy))
    one.load.begin()
    consumer = one.consume()
    consumer.wait_until_it_says("mongo: ")
    assert consumer.probe("/livez")[0] == 200
    proxy.unblock()
    one.fault()
    one.wait_for_more(100)
    one.finish(consumer)


@pytest.mark.fault("MongoDB slow, 0.3 s an answer", "throughput falls, nothing else")
def test_a_slow_sink_costs_only_time(ledger: LedgerFactory, proxy: TcpProxy) -> None:
    one = ledger(**through(proxy) | {"SINK_TIMEOUT_S": 5})
    proxy.delay(0.15)
    one.load.begin(rate=50)
    consumer = one.consume()
    one.wait_until_stored(50)
    one.fault()
    one.wait_for_more(100)
    assert consumer.metric("velox_sink_retries_total") == 0
    one.finish(consumer)


@pytest.mark.fault("MongoDB refuses one document of a bulk", "it is waited for until the database takes it")
def test_a_document_that_is_refused_is_neither_skipped_nor_committed(ledger: LedgerFactory, mongo: MongoServer) -> None:
    one = ledger(SINKS=SINKS, partitions=1)
    client: MongoClient[dict[str, Any]]
    with MongoClient(mongo.uri) as client:
        documents: Collection[dict[str, Any]] = client[one.pipeline.database]["shapes_found"]
        documents.create_index("predicted_label", unique=True)
        documents.insert_one({"_id": "in the way", "predicted_label": "good 77"})
        one.load.begin()
        consumer = one.consume()
        consumer.wait_until_it_says("documents refused")
        one.check_committed()
        documents.delete_one({"_id": "in the way"})
        one.fault()
        one.wait_for_more(100)
        one.finish(consumer)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB; made by root alone."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)], check=False)
    if mounted.returncode:
        pytest.skip("mounting a small disk needs root")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path) -> None:
    with (folder / "ballast").open("wb", buffering=0) as ballast, suppress(OSError):
        while True:
            ballast.write(bytes(4096))


def empty(folder: Path) -> None:
    (folder / "ballast").unlink()


def remount(folder: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", str(folder)], check=True)


@pytest.mark.fault("disk fails while records flow", "no half file, consuming pauses until it can be written")
@pytest.mark.parametrize(
    ("sink", "spoil", "repair"),
    [
        pytest.param("disk", fill, empty, id="images, full"),
        pytest.param("sqlite", fill, empty, id="SQLite, full"),
        pytest.param("disk", partial(remount, how="ro"), partial(remount, how="rw"), id="images, read-only"),
    ],
)
def test_a_disk_that_cannot_be_written_is_waited_for(
    ledger: LedgerFactory, small_disk: Path, sink: str, spoil: Callable[[Path], None], repair: Callable[[Path], None]
) -> None:
    where: dict[str, Any] = {"STORAGE_PATH": small_disk} if sink == "disk" else {"SQLITE_PATH": small_disk / "velox.db"}
    one = ledger(**where)
    one.load.begin(rate=50, text="good {:080d}".format)
    consumer = one.consume()
    one.wait_until_stored(30)
    spoil(small_disk)
    wait_until(lambda: consumer.not_ready_because() == f"blocked by {sink}", what=f"blocked by {sink}")
    one.load.stop()
    one.check_committed()
    repair(small_disk)
    one.fault()
    one.finish(consumer)


@pytest.mark.fault("SQLite locked by another writer", "consuming pauses until the lock is free")
def test_a_locked_database_is_waited_for(ledger: LedgerFactory) -> None:
    one = ledger(SINK_TIMEOUT_S=1)
    one.load.begin()
    consumer = one.consume()
    one.wait_until_stored(50)
    with closing(sqlite3.connect(one.pipeline.folder / "velox.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        wait_until(lambda: consumer.not_ready_because() == "blocked by sqlite", what="blocked by sqlite")
        other.execute("ROLLBACK")
    one.fault()
    one.wait_for_more()
    one.finish(consumer)


@pytest.mark.fault("sink down with 100 MB waiting", "memory stays bounded")
def test_memory_does_not_grow_while_a_sink_is_down(ledger: LedgerFactory, proxy: TcpProxy) -> None:
    one = ledger(
        **through(proxy), QUEUE_BYTES=16_777_216, MAX_MESSAGE_BYTES=1_048_576, MODEL="tests.e2e.fragile:LengthModel"
    )
    consumer = one.consume()
    consumer.wait_until_ready()
    before = psutil.Process(consumer.process.pid).memory_info().rss
    proxy.block()
    payload = "x" * 250_000
    for _ in range(8):
        one.load.publish(*(payload for _ in range(50)))
    wait_until(lambda: consumer.not_ready_because() == "blocked by mongo", what="blocked by mongo")
    wait_until(lambda: consumer.metric("velox_consumer_lag_records") > 200, what="lag seen while paused")
    peak = psutil.Process(consumer.process.pid).memory_info().rss
    assert peak - before < 100 * 1024 * 1024, f"{(peak - before) / 1e6:.0f} MB more than before"
    proxy.unblock()
    one.fault()
    wait_until(lambda: one.pipeline.uncommitted() == 0, what="all committed")
    assert one.stored() == len(one.load.acknowledged) == 400
    assert consumer.stop() == 0
