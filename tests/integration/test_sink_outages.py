"""Sinks against systems that hang, refuse, fill up, break and come back."""

import logging
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from pydantic import SecretStr
from pymongo import MongoClient
from pymongo.collection import Collection

from tests.results import make_result, make_results
from tests.servers.mongo import MongoServer
from tests.servers.proxy import TcpProxy
from velox.errors import SinkUnavailableError
from velox.settings import Settings
from velox.sinks.disk import DiskSink
from velox.sinks.mongo import MongoSink
from velox.sinks.sqlite import SqliteSink

Documents = Collection[dict[str, Any]]
TIMEOUT_S = 1.0


@pytest.fixture
def collection(mongo: MongoServer, database: str) -> Iterator[Documents]:
    client: MongoClient[dict[str, Any]] = MongoClient(mongo.uri)
    with client:
        yield client[database]["shapes_found"]


@pytest.fixture
def proxy(mongo: MongoServer) -> Iterator[TcpProxy]:
    with TcpProxy(mongo.port) as proxy:
        yield proxy


@pytest.fixture
def mongo_sink(database: str) -> Iterator[Callable[[str], MongoSink]]:
    """Makes sinks that are closed afterwards."""
    made: list[MongoSink] = []

    def make(uri: str) -> MongoSink:
        made.append(MongoSink(Settings(mongo_uri=SecretStr(uri), db_name=database, sink_timeout_s=TIMEOUT_S)))
        return made[-1]

    yield make
    for sink in made:
        sink.close()


def test_mongo_that_accepts_and_never_answers_fails_in_time_and_recovers(
    mongo_sink: Callable[[str], MongoSink], proxy: TcpProxy, collection: Documents
) -> None:
    sink = mongo_sink(f"mongodb://127.0.0.1:{proxy.port}/")
    sink.open()
    proxy.hang()
    started = monotonic()
    with pytest.raises(SinkUnavailableError):
        sink.write(make_results(10))
    assert monotonic() - started < TIMEOUT_S + 5, "the driver itself waits for 30 s"
    proxy.unblock()
    sink.write(make_results(10))
    assert collection.count_documents({}) == 10


def test_a_broken_connection_is_made_again(
    mongo_sink: Callable[[str], MongoSink], proxy: TcpProxy, collection: Documents
) -> None:
    sink = mongo_sink(f"mongodb://127.0.0.1:{proxy.port}/")
    sink.open()
    failures = 0
    for start in range(0, 30, 10):
        proxy.disconnect()
        for _ in range(3):
            try:
                sink.write(make_results(10, first=start))
                break
            except SinkUnavailableError:
                failures += 1
    assert collection.count_documents({}) == 30
    assert failures <= 3


def test_mongo_that_starts_after_velox_is_found(mongo_sink: Callable[[str], MongoSink]) -> None:
    server = MongoServer()
    sink = mongo_sink(server.uri)
    with pytest.raises(SinkUnavailableError, match="is it running"):
        sink.open()
    with server:
        sink.open()
        sink.write(make_results(3))
        sink.close()


def test_mongo_that_restarts_keeps_what_it_had_and_takes_more(
    mongo_sink: Callable[[str], MongoSink], database: str
) -> None:
    with MongoServer(durable=True) as server:
        sink = mongo_sink(server.uri)
        sink.open()
        sink.write(make_results(10))
        server.stop()
        with pytest.raises(SinkUnavailableError):
            sink.write(make_results(20))
        server.start()
        sink.open()
        sink.write(make_results(20))
        client: MongoClient[dict[str, Any]] = MongoClient(server.uri)
        with client:
            assert client[database]["shapes_found"].count_documents({}) == 20
        sink.close()


def test_what_others_added_to_a_document_survives_a_replay(
    mongo_sink: Callable[[str], MongoSink], mongo: MongoServer, collection: Documents
) -> None:
    sink = mongo_sink(mongo.uri)
    sink.open()
    sink.write(make_results(1))
    collection.update_one({}, {"$set": {"reviewed": True}})
    before = collection.find_one({})
    sink.write(make_results(1))
    assert collection.find_one({}) == before


def test_a_new_collection_gets_its_index(
    mongo_sink: Callable[[str], MongoSink], mongo: MongoServer, collection: Documents
) -> None:
    mongo_sink(mongo.uri).open()
    assert "predicted_label_1_timestamp_-1" in collection.index_information()


def test_a_collection_with_documents_is_left_as_it_is(
    mongo_sink: Callable[[str], MongoSink], mongo: MongoServer, collection: Documents
) -> None:
    collection.insert_one({"_id": "from an earlier system"})
    mongo_sink(mongo.uri).open()
    assert list(collection.index_information()) == ["_id_"]


def test_documents_that_the_server_refuses_are_named_and_their_neighbours_stored(
    mongo_sink: Callable[[str], MongoSink],
    mongo: MongoServer,
    collection: Documents,
    caplog: pytest.LogCaptureFixture,
) -> None:
    sink = mongo_sink(mongo.uri)
    sink.open()
    collection.create_index("file_path", unique=True)
    collection.insert_one({"_id": "other", "file_path": "discoveries/hit_image_data-2-2.jpg"})
    with (
        caplog.at_level(logging.ERROR),
        pytest.raises(SinkUnavailableError, match=r"1 documents refused, the first _id=image_data-2-2: .*11000"),
    ):
        sink.write(make_results(5))
    assert "the first _id=image_data-2-2" in caplog.text
    assert collection.count_documents({"_id": {"$ne": "other"}}) == 4


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB; made by root alone."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)], check=False)
    if mounted.returncode:
        pytest.skip("mounting a small disk needs root")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_leaves_no_half_image_and_says_what_to_do(small_disk: Path) -> None:
    sink = DiskSink(Settings(storage_path=small_disk / "discoveries"))
    sink.open()
    batch = [make_result(number, payload=os.urandom(50_000)) for number in range(10)]
    with pytest.raises(SinkUnavailableError, match=r"No space left on device; free space, or .*MAX_STORED_FILES"):
        sink.write(batch)
    assert list((small_disk / "discoveries").iterdir()) == []
    sink.write(batch[:3])
    assert len(list((small_disk / "discoveries").iterdir())) == 3
    sink.close()


def test_a_disk_that_turned_read_only_is_named_and_used_again_when_writable(small_disk: Path) -> None:
    sink = DiskSink(Settings(storage_path=small_disk))
    sink.open()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(SinkUnavailableError, match="Read-only file system; mount it writable"):
        sink.write(make_results(3))
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    sink.write(make_results(3))
    assert len(list(small_disk.iterdir())) == 3
    sink.close()


def test_sqlite_on_a_full_disk_keeps_what_was_committed_and_goes_on_when_there_is_space(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 100_000)
    path = small_disk / "velox.db"
    sink = SqliteSink(Settings(sqlite_path=path))
    sink.open()
    sink.write(make_results(10))
    with pytest.raises(SinkUnavailableError, match=r"database or disk is full; .*free space"):
        sink.write(make_results(1000))
    ballast.unlink()
    sink.write(make_results(20))
    sink.close()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM predictions").fetchone() == (20,)


WRITE_FOR_EVER = """
import os, sys
from pathlib import Path
from tests.results import make_result
from velox.settings import Settings
from velox.sinks.disk import DiskSink

sink = DiskSink(Settings(storage_path=Path(sys.argv[1])))
sink.open()
payload = bytes(200_000)
for start in range(0, 10_000_000, 16):
    sink.write([make_result(number, payload=payload) for number in range(start, start + 16)])
    print(start, flush=True)
"""


def test_a_process_killed_while_writing_leaves_only_whole_images(tmp_path: Path) -> None:
    folder = tmp_path / "discoveries"
    written = 0
    for _ in range(3):
        command = [sys.executable, "-c", WRITE_FOR_EVER, str(folder)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            for _, line in zip(range(4), writer.stdout, strict=False):
                written = max(written, int(line) + 16)
            writer.kill()
        images = list(folder.glob("hit_*.jpg"))
        assert len(images) >= written
        assert {image.stat().st_size for image in images} == {200_000}
