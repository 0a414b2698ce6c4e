"""What every source keeps to, whatever it reads."""

from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pydantic import SecretStr

from velox.core.envelope import frame, unframe
from velox.errors import SourceError
from velox.keys.sqlite import SqliteKeys
from velox.records import Pointer
from velox.settings import Settings
from velox.sources import PATHS, open_source
from velox.sources.source import Source

GREY = np.full((32, 48, 3), 128, np.uint8)
FPS = 10


def a_folder(folder: Path) -> str:
    labelled = folder / "images" / "red_circle"
    labelled.mkdir(parents=True)
    for name in ("a.jpg", "b.png", "c.JPEG"):
        jpeg = cv2.imencode(Path(name).suffix.lower(), GREY)[1]
        (labelled / name).write_bytes(jpeg.tobytes())
    return f"folder:{folder / 'images'}"


def a_video(folder: Path) -> str:
    path = folder / "film.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), FPS, (48, 32))
    for level in (0, 100, 200):
        writer.write(np.full_like(GREY, level))
    writer.release()
    return f"video:{path}"


def a_file_of_lines(folder: Path) -> str:
    path = folder / "texts.txt"
    path.write_text("one\n\nschön\nthree\n")
    return f"lines:{path}"


def a_table_of_keys(folder: Path) -> str:
    table = SqliteKeys(f"{folder}/keys.db")
    table.add([Pointer(key=f"{number}.jpg", size_bytes=1) for number in range(3)])
    table.close()
    return "keys"


EXAMPLES: dict[str, Callable[[Path], str]] = {
    "folder": a_folder,
    "keys": a_table_of_keys,
    "lines": a_file_of_lines,
    "reviews": lambda _folder: "reviews",
    "shapes": lambda _folder: "shapes",
    "video": a_video,
}


@pytest.fixture(params=PATHS)
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[bool], Source]:
    """Builds the source, looping or not."""
    name = EXAMPLES[request.param](tmp_path)

    def build(source_loop: bool) -> Source:
        told: dict[str, Any] = {}
        if name == "keys":
            told = {"codec": "key", "bucket_url": "memory:///", "keys_url": SecretStr(f"sqlite:///{tmp_path}/keys.db")}
        return open_source(Settings(source_loop=source_loop, **told), name)

    return build


def test_every_payload_is_a_jpeg_that_decodes_or_a_text(make: Callable[[bool], Source]) -> None:
    items = list(islice(make(False), 3))
    assert len(items) == 3
    for item in items:
        if item.dtype == "text":
            assert item.payload.decode().strip()
        else:
            assert item.payload.startswith(b"\xff\xd8")
            assert cv2.imdecode(np.frombuffer(item.payload, np.uint8), cv2.IMREAD_COLOR) is not None


def test_metadata_survives_the_wire(make: Callable[[bool], Source]) -> None:
    for item in islice(make(False), 3):
        assert unframe(frame(item.metadata, item.payload)) == (item.metadata, item.payload)


def test_a_key_is_bytes_or_none(make: Callable[[bool], Source]) -> None:
    assert all(item.key is None or isinstance(item.key, bytes) for item in islice(make(False), 3))


def test_a_pace_is_a_number_or_left_to_the_settings(make: Callable[[bool], Source]) -> None:
    interval_s = make(False).interval_s
    assert interval_s is None or interval_s >= 0


def test_a_looped_source_does_not_end(make: Callable[[bool], Source]) -> None:
    assert len(list(islice(make(True), 20))) == 20


def test_iterating_again_starts_again(make: Callable[[bool], Source]) -> None:
    source = make(False)
    first, second = ({item.payload for item in islice(source, 4)} for _ in range(2))
    assert first == second


@pytest.mark.parametrize("kind", ["folder", "lines", "video"])
def test_a_missing_path_is_an_error_that_names_it(kind: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="nowhere"):
        open_source(Settings(), f"{kind}:{tmp_path / 'nowhere'}")


@pytest.mark.parametrize("kind", ["folder", "lines", "video"])
def test_no_path_is_an_error_that_shows_how_to_write_it(kind: str) -> None:
    with pytest.raises(SourceError, match=rf"SOURCE={kind}:(PATH|FILE)"):
        open_source(Settings(), kind)
