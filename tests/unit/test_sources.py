"""What is particular to each source; what they share is in the contract suite."""

import logging
import os
from collections import Counter
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.pictures import SIZE, drawn, encoded, turned_by_exif
from velox.core.image_formats import FORMATS
from velox.errors import SettingsError, SourceError
from velox.settings import Settings
from velox.sources.folder import FolderSource
from velox.sources.lines import LinesSource
from velox.sources.reviews import ReviewsSource
from velox.sources.shapes import ShapesSource
from velox.sources.source import Item
from velox.sources.video import VideoSource

GREY = np.full((32, 48, 3), 128, np.uint8)
JPEG = cv2.imencode(".jpg", GREY)[1].tobytes()


def pixels(item: Item) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]]:
    image = cv2.imdecode(np.frombuffer(item.payload, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    return image


def test_shapes_are_as_documented() -> None:
    items = {str(item.metadata): item for item in islice(ShapesSource(Settings()), 4)}
    item = items["{'shape_label': 'circle', 'color_label': 'red'}"]
    image = pixels(item)
    assert image.shape == (512, 512, 3)
    assert np.allclose(image[5, 5], 128, atol=3)
    assert np.allclose(image[256, 256], (0, 0, 255), atol=8)
    on_edge = image[256, 256 - 145], image[256, 256 - 155]
    assert on_edge[0][2] > 200
    assert np.allclose(on_edge[1], 128, atol=12)


def test_a_shape_grows_with_its_image() -> None:
    settings = Settings(img_height=256, img_width=1024, shapes=("square",), colors={"red": (0, 0, 255)})
    (item,) = islice(ShapesSource(settings), 1)
    image = pixels(item)
    assert image.shape == (256, 1024, 3)
    assert image[128, 512 - 70][2] > 200
    assert np.allclose(image[128, 512 - 80], 128, atol=12)


def test_every_label_comes_once_a_round() -> None:
    settings = Settings(shapes=("circle", "square", "triangle"))
    labels = [
        item.metadata["color_label"] + item.metadata["shape_label"] for item in islice(ShapesSource(settings), 60)
    ]
    for start in range(0, 60, 6):
        assert len(set(labels[start : start + 6])) == 6
    assert len({tuple(labels[start : start + 6]) for start in range(0, 60, 6)}) > 1
    assert set(Counter(labels).values()) == {10}


def test_a_shape_that_nothing_can_draw_stops_the_start() -> None:
    with pytest.raises(SettingsError, match="blob"):
        ShapesSource(Settings(shapes=("blob",)))


def test_shapes_take_no_path() -> None:
    with pytest.raises(SettingsError, match="SOURCE=shapes"):
        ShapesSource(Settings(), "images")


def test_jpeg_files_pass_unchanged_and_in_order(tmp_path: Path) -> None:
    other = JPEG + b"trailing bytes"
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "1.jpg").write_bytes(JPEG)
    (tmp_path / "a.jpeg").write_bytes(other)
    items = list(FolderSource(Settings(), str(tmp_path)))
    assert [item.payload for item in items] == [other, JPEG]
    assert [item.metadata["file"] for item in items] == ["a.jpeg", "b/1.jpg"]


@pytest.mark.parametrize("form", [form.name for form in FORMATS if form.name != "JPEG"])
def test_files_of_other_formats_become_jpeg(tmp_path: Path, form: str) -> None:
    (tmp_path / f"a.{form}").write_bytes(encoded(drawn(), form.upper()))
    (item,) = FolderSource(Settings(), str(tmp_path))
    assert item.payload.startswith(b"\xff\xd8\xff")
    expected = cv2.cvtColor(np.asarray(drawn()), cv2.COLOR_RGB2BGR)
    assert np.abs(pixels(item).astype(int) - expected).mean() < 8


def test_what_becomes_jpeg_loses_its_exif_data_and_is_turned_before_unless_stored_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encoded(drawn(), "PNG", exif=turned_by_exif(6)))
    (upright,) = FolderSource(Settings(), str(tmp_path))
    (stored,) = FolderSource(Settings(image_orientation="stored"), str(tmp_path))
    assert pixels(upright).shape[:2] == SIZE
    assert pixels(stored).shape[:2] == SIZE[::-1]


def test_jpeg_files_keep_their_exif_data_and_are_not_turned(tmp_path: Path) -> None:
    file = encoded(drawn(), "JPEG", exif=turned_by_exif(6))
    (tmp_path / "a.jpg").write_bytes(file)
    assert [item.payload for item in FolderSource(Settings(), str(tmp_path))] == [file]


def test_a_file_beyond_the_limits_is_skipped_undecoded(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "a.png").write_bytes(encoded(drawn(), "PNG"))
    (tmp_path / "b.jpg").write_bytes(JPEG)
    source = FolderSource(Settings(max_image_pixels=20_000), str(tmp_path))
    assert [item.payload for item in source] == [JPEG]
    assert "171×125 pixels: MAX_IMAGE_PIXELS=20000" in caplog.text


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_what_is_too_large_for_a_record_is_made_smaller_and_said_once(
    form: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (400, 600, 3), np.uint8)
    large = encoded(Image.fromarray(noise), form)
    for name in ("a", "b"):
        (tmp_path / f"{name}.{form.lower()}").write_bytes(large)
    items = list(FolderSource(Settings(max_message_bytes=60_000), str(tmp_path)))
    assert [20_000 < len(item.payload) <= 57_000 for item in items] == [True, True]
    height, width = pixels(items[0]).shape[:2]
    assert height < 400
    assert width / height == pytest.approx(1.5, abs=0.02)
    (said,) = caplog.messages
    assert f"a.{form.lower()} is too large for MAX_MESSAGE_BYTES=60000" in said


def test_an_image_of_which_no_size_fits_is_left_to_fail(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encoded(drawn(), "PNG"))
    source = FolderSource(Settings().model_copy(update={"max_message_bytes": 100}), str(tmp_path))
    assert len([item.payload for item in source]) == 1


def test_a_folder_named_after_a_label_labels_its_files(tmp_path: Path) -> None:
    for name in ("red_circle", "holiday"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.jpg").write_bytes(JPEG)
    holiday, labelled = FolderSource(Settings(), str(tmp_path))
    assert labelled.metadata == {"file": "red_circle/a.jpg", "color_label": "red", "shape_label": "circle"}
    assert holiday.metadata == {"file": "holiday/a.jpg"}


def test_unreadable_files_are_skipped_warned_of_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "good.jpg").write_bytes(JPEG)
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "page.png").write_bytes(b"<html>")
    (tmp_path / "dangling.jpg").symlink_to(tmp_path / "nowhere")
    (tmp_path / "notes.txt").write_text("no image, and not asked for")
    source = FolderSource(Settings(source_loop=True), str(tmp_path))
    with caplog.at_level(logging.WARNING):
        assert [item.payload for item in islice(source, 5)] == [JPEG] * 5
    assert {path.name for path in source.unreadable} == {"empty.jpg", "page.png", "dangling.jpg"}
    assert sum("Skipped" in line for line in caplog.messages) == 3


def test_a_file_name_that_is_no_text_stays_out_of_the_way(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.jpg")).write_bytes(JPEG)
    (item,) = FolderSource(Settings(), str(tmp_path))
    assert item.metadata["file"] == "\ufffd.jpg"


@pytest.mark.parametrize("loop", [False, True])
def test_a_folder_without_one_readable_file_is_an_error(tmp_path: Path, loop: bool) -> None:
    (tmp_path / "empty.jpg").write_bytes(b"")
    with pytest.raises(SourceError, match="1 bad"):
        list(FolderSource(Settings(source_loop=loop), str(tmp_path)))


@pytest.fixture
def film(tmp_path: Path) -> Path:
    path = tmp_path / "film.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (48, 32))
    for level in (0, 80, 160):
        writer.write(np.full_like(GREY, level))
    writer.release()
    return path


def test_a_video_keeps_its_own_pace_and_its_frames_their_order(film: Path) -> None:
    source = VideoSource(Settings(), str(film))
    items = list(source)
    assert source.interval_s == pytest.approx(1 / 25)
    assert [item.metadata["frame"] for item in items] == [0, 1, 2]
    assert [item.metadata["video_time_s"] for item in items] == pytest.approx([0, 0.04, 0.08])
    assert [round(float(pixels(item).mean()), -1) for item in items] == [0, 80, 160]
    assert {item.key for item in items} == {b"film.avi"}


def test_a_video_cut_short_gives_what_it_has_and_warns(film: Path, caplog: pytest.LogCaptureFixture) -> None:
    content = film.read_bytes()
    third = content.rindex(b"00dc", 0, content.rindex(b"idx1"))
    film.write_bytes(content[: third + 20])
    assert len(list(VideoSource(Settings(), str(film)))) == 2
    assert "after 2 frames" in caplog.text


def test_a_file_that_is_no_video_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(b"no video" * 100)
    with pytest.raises(SourceError, match=r"film\.mp4"):
        VideoSource(Settings(), str(path))


def lines(path: Path, content: bytes, **settings: object) -> LinesSource:
    path.write_bytes(content)
    return LinesSource(Settings.model_validate(settings), str(path))


def told(source: LinesSource) -> list[tuple[object, str]]:
    return [(item.metadata["line"], item.payload.decode()) for item in source]


def test_every_line_is_a_text_and_empty_ones_are_left_out(tmp_path: Path) -> None:
    source = lines(tmp_path / "texts.txt", "\ufeffone\r\n\n  schön \n\t\nlast".encode())
    assert told(source) == [(1, "one"), (3, "schön"), (5, "last")]
    (first, *_) = source
    assert first == Item(None, {"file": "texts.txt", "line": 1}, b"one", dtype="text")


def test_a_line_that_cannot_be_read_is_skipped_with_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    most = 2000
    content = b"good\n\xff\xfe\n" + b"x" * 10_000 + b"\n" + b"y" * most + b"\nlast\n"
    source = lines(tmp_path / "texts.txt", content, max_message_bytes=most)
    for _ in range(2):
        assert [line for line, _ in told(source)] == [1, 4, 5]
    assert [message.rpartition(": ")[2] for message in caplog.messages] == [
        "not UTF-8",
        "longer than MAX_MESSAGE_BYTES=2000",
    ]


def test_a_file_without_a_text_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no line with a text in it, 1 that cannot"):
        told(lines(tmp_path / "texts.txt", b"\n\xff\n"))


def test_reviews_are_half_for_and_half_against_and_hardly_two_alike() -> None:
    reviews = list(islice(ReviewsSource(Settings()), 1000))
    counts = Counter(item.metadata["label"] for item in reviews)
    assert set(counts) == {"POSITIVE", "NEGATIVE"}
    assert min(counts.values()) > 400
    assert len({item.payload for item in reviews}) > 800


def test_reviews_take_no_path() -> None:
    with pytest.raises(SettingsError, match="SOURCE=lines:FILE"):
        ReviewsSource(Settings(), "x")
