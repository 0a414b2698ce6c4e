"""How deployments read frames: what cannot be read costs only itself, a bucket that is away is waited for."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from velox.cluster.frames import Frame
from velox.cluster.reading import DEFAULT_BUCKET, FrameReader, with_bucket
from velox.errors import BadRecordError, BucketUnavailableError
from velox.records import Pointer
from velox.settings import ObjectSettings, Settings


@pytest.fixture
def bucket(tmp_path: Path) -> Path:
    folder = tmp_path / "frames"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(b"a")
    (folder / "empty.jpg").write_bytes(b"")
    return folder


@pytest.fixture
def reader(bucket: Path) -> Iterator[FrameReader]:
    made = FrameReader(Settings(bucket_url=bucket.as_uri(), max_object_bytes=1024).part(ObjectSettings))
    yield made
    made.close()


def asked(*keys: str) -> list[Frame]:
    return [Frame(pointer=Pointer(key=key)) for key in keys]


def outcome(read: list[bytes | BadRecordError]) -> list[object]:
    return [each.reason.value if isinstance(each, BadRecordError) else each for each in read]


def test_each_frame_is_read_or_refused_by_itself(reader: FrameReader, bucket: Path) -> None:
    (bucket / "large.jpg").write_bytes(b"x" * 2000)
    keys = ("a.jpg", "missing.jpg", "../a.jpg", "empty.jpg", "large.jpg", "a.jpg")
    expected = [b"a", "object_missing", "forbidden_pointer", "empty", "too_large", b"a"]
    assert outcome(reader.read(asked(*keys))) == expected


def test_a_frame_that_comes_with_its_bytes_is_not_looked_for(reader: FrameReader) -> None:
    assert reader.read([Frame(b"bytes"), *asked("a.jpg")]) == [b"bytes", b"a"]


def test_a_frame_that_is_too_old_is_not_read(reader: FrameReader) -> None:
    now = time.time()
    frames = [Frame(pointer=Pointer(key="a.jpg"), produced_at=at) for at in (now - 2, now)]
    assert outcome(reader.read(frames, now - 1)) == ["stale", b"a"]


def test_a_bucket_that_is_away_is_no_fault_of_a_frame_and_its_return_is_noticed(
    reader: FrameReader, bucket: Path
) -> None:
    bucket.rename(bucket.with_name("away"))
    with pytest.raises(BucketUnavailableError):
        reader.read(asked("a.jpg"))
    bucket.with_name("away").rename(bucket)
    assert reader.read(asked("a.jpg")) == [b"a"]


def test_frames_are_in_shared_memory_unless_somebody_says_otherwise() -> None:
    assert with_bucket(Settings().part(ObjectSettings)).bucket_url == DEFAULT_BUCKET
    named = Settings(bucket_url="s3://frames").part(ObjectSettings)
    assert with_bucket(named).bucket_url == "s3://frames"
