"""`velox upload`: from a folder to a bucket and the table of keys, on real servers."""

import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.e2e.pipeline import Program, wait_until
from tests.servers.postgres import PostgresServer
from tests.servers.proxy import TcpProxy
from tests.servers.s3 import S3Server
from velox.buckets import bucket
from velox.records import Pointer
from velox.settings import Settings

Upload = Callable[..., Program]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twenty-five images by their names, one of them of many bytes, and what is none."""
    made = tmp_path / "pictures"
    for number in range(24):
        path = made / f"{number % 3}" / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"image %d" % number)
    (made / "large.png").write_bytes(os.urandom(12_000_000))
    (made / "notes.txt").write_text("no image")
    (made / ".hidden.jpg").write_bytes(b"hidden")
    return made


class Places:
    """A bucket and a database of their own."""

    def __init__(self, s3: S3Server, postgres: PostgresServer) -> None:
        self.s3 = s3
        self._postgres = postgres
        self.bucket_name = f"bucket-{uuid.uuid4().hex[:8]}"
        self.folder = s3.make_bucket(self.bucket_name)
        self.database = f"db_{uuid.uuid4().hex[:12]}"
        postgres.execute("postgres", f"CREATE DATABASE {self.database}")

    def environment(self, *, s3_port: int | None = None) -> dict[str, str]:
        keys_url = self._postgres.url(self.database)
        return {**self.s3.environment(self.bucket_name, port=s3_port), "KEYS_URL": keys_url}

    def rows(self) -> list[tuple[Any, ...]]:
        with closing(psycopg.connect(self._postgres.url(self.database))) as connection:
            return connection.execute("SELECT image_key, size, sha256 FROM image_info ORDER BY id").fetchall()

    def objects(self) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        for folder, folders, names in os.walk(self.folder):
            folders[:] = [name for name in folders if not name.startswith(".")]  # the server's own, which come and go
            paths = (Path(folder, name) for name in names)
            found |= {path.relative_to(self.folder).as_posix(): path.read_bytes() for path in paths}
        return found


@pytest.fixture
def places(s3: S3Server, postgres: PostgresServer) -> Places:
    return Places(s3, postgres)


@pytest.fixture
def upload(folder: Path, tmp_path: Path) -> Iterator[Upload]:
    started: list[Program] = []

    def start(*args: str, **settings: object) -> Program:
        env = {"PATH": os.environ["PATH"], **{name: str(value) for name, value in settings.items()}}
        started.append(Program("upload", str(folder), *args, folder=tmp_path, env=env))
        return started[-1]

    yield start
    for program in started:
        program.end()


def images(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.suffix in {".jpg", ".png"} and path.name != ".hidden.jpg")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def test_images_come_into_the_bucket_and_each_key_is_recorded_once(
    upload: Upload, places: Places, folder: Path
) -> None:
    first = upload(**places.environment())
    assert first.process.wait(60) == 0, first.output
    assert places.objects() == images(folder)
    rows = places.rows()
    assert {key for key, *_ in rows} == set(images(folder))
    assert f"Uploaded 25 objects (12.0 MB) to s3://{places.bucket_name}, 0 were there already, 0 failed" in first.output
    assert "1 files are no images" in first.output
    store = bucket(Settings.model_validate({"codec": "key", **places.s3.settings(places.bucket_name)}))
    assert store is not None
    store.open()
    for key, size, sha256 in rows:
        pointer = Pointer(key=key, size_bytes=size, sha256=sha256)
        assert store.get(pointer, most_bytes=2**25) == images(folder)[key], "what is recorded is what is there"

    (folder / "0" / "0.jpg").write_bytes(b"changed")
    (folder / "new.jpg").write_bytes(b"new")
    (places.folder / "1" / "1.jpg").unlink()
    second = upload(**places.environment())
    assert second.process.wait(60) == 0, second.output
    assert "Uploaded 3 objects" in second.output
    assert "23 were there already" in second.output
    assert places.objects() == images(folder)
    assert [key for key, *_ in places.rows()[25:]] != []
    assert {key for key, *_ in places.rows()[25:]} == {"0/0.jpg", "new.jpg", "1/1.jpg"}


def test_keys_begin_as_told(upload: Upload, places: Places) -> None:
    told = places.environment()
    program = upload(**{**told, "BUCKET_URL": told["BUCKET_URL"] + "/warehouse"})
    assert program.process.wait(60) == 0, program.output
    assert all(key.startswith("warehouse/") for key in places.objects())
    other = upload("--prefix", "other/", "--any", "--no-keys", **told)
    assert other.process.wait(60) == 0, other.output
    assert "other/notes.txt" in places.objects()
    assert all(key.startswith("warehouse/") for key, *_ in places.rows())


def test_a_moments_outage_is_waited_out(upload: Upload, places: Places, s3: S3Server, folder: Path) -> None:
    with TcpProxy(s3.port) as proxy:
        for number in range(2000):
            (folder / f"more-{number}.jpg").write_bytes(b"more")
        program = upload(**places.environment(s3_port=proxy.port), OBJECT_TIMEOUT_S=1, DOWNLOADS=4)
        wait_until(lambda: len(places.objects()) > 100, what=lambda: f"some are there:\n{program.output}")
        proxy.block()
        program.wait_until_it_says("trying again in")
        proxy.unblock()
        assert program.process.wait(60) == 0, program.output
        assert "0 failed" in program.output
        assert len(places.rows()) == len(places.objects()) == 2025


def test_an_outage_that_lasts_ends_it_and_what_was_sent_is_recorded(
    upload: Upload, places: Places, s3: S3Server, folder: Path
) -> None:
    with TcpProxy(s3.port) as proxy:
        for number in range(2000):
            (folder / f"more-{number}.jpg").write_bytes(b"more")
        program = upload(**places.environment(s3_port=proxy.port), OBJECT_TIMEOUT_S=1, DOWNLOADS=4)
        wait_until(lambda: len(places.objects()) > 100, what=lambda: f"some are there:\n{program.output}")
        proxy.block()
        assert program.process.wait(90) == 2, program.output
        assert "velox upload: s3://" in program.output
        assert 0 < len(places.rows()) <= len(places.objects()) < 2025, "no key without its object"


def test_a_killed_upload_goes_on_with_what_is_missing(upload: Upload, places: Places, folder: Path) -> None:
    for number in range(3000):
        (folder / f"more-{number}.jpg").write_bytes(b"more")
    first = upload(**places.environment(), DOWNLOADS=2)
    wait_until(lambda: len(places.objects()) > 1200, what=lambda: f"some are there:\n{first.output}")
    first.process.kill()
    first.process.wait()
    recorded = len(places.rows())
    assert 0 < recorded < 3025
    second = upload(**places.environment())
    assert second.process.wait(60) == 0, second.output
    assert f"{recorded} were there already" in second.output
    assert len(places.rows()) == 3025
    assert places.objects() == images(folder)


def test_a_folder_and_a_file_do_as_well(upload: Upload, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "bucket").mkdir()
    told = {"BUCKET_URL": (tmp_path / "bucket").as_uri(), "KEYS_URL": f"sqlite:///{tmp_path}/keys.db"}
    for there in (0, 25):
        program = upload(**told)
        assert program.process.wait(60) == 0, program.output
        assert f"{there} were there already" in program.output
    assert len(list((tmp_path / "bucket").rglob("*.*"))) == 25


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({}, "upload: where to? Set BUCKET_URL"),
        ({"BUCKET_URL": "file:///no/such/folder"}, "/no/such/folder cannot be read"),
        ({"BUCKET_URL": "memory:///", "KEYS_URL": "postgresql://x@127.0.0.1:9/x"}, "image_info in postgresql://x@127"),
    ],
)
def test_what_cannot_be_is_an_error_that_says_why(upload: Upload, told: dict[str, str], said: str) -> None:
    program = upload(**told)
    assert program.process.wait(60) == 2
    assert said in program.output


def test_a_file_that_no_consumer_would_read_is_named_and_the_others_are_uploaded(
    upload: Upload, places: Places, folder: Path
) -> None:
    shutil.copy(folder / "large.png", folder / "huge.png")
    with (folder / "huge.png").open("ab") as file:
        file.write(bytes(10_000_000))
    (folder / "empty.jpg").touch()
    program = upload(**places.environment())
    assert program.process.wait(60) == 1, program.output
    assert "huge.png: 22000000 bytes, more than MAX_OBJECT_BYTES=20971520" in program.output
    assert "empty.jpg: empty" in program.output
    assert "Uploaded 25 objects" in program.output
    assert "2 failed" in program.output
