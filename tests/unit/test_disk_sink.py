import errno
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.results import make_result, make_results
from velox.errors import SinkUnavailableError
from velox.settings import Settings
from velox.sinks import disk
from velox.sinks.disk import DiskSink
from velox.sinks.images import image_path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "discoveries"


def open_sink(folder: Path, *, max_stored_files: int = 0) -> DiskSink:
    sink = DiskSink(Settings(storage_path=folder, max_stored_files=max_stored_files))
    sink.open()
    return sink


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def aged(path: Path, age_s: float, content: bytes = b"old") -> Path:
    path.write_bytes(content)
    then = path.stat().st_mtime - age_s
    os.utime(path, (then, then))
    return path


def test_a_file_bears_the_id_and_holds_the_original_bytes(folder: Path) -> None:
    payload = bytes(range(256)) * 100
    open_sink(folder).write([make_result(record_id="0198-ab", payload=payload)])
    assert (folder / "hit_0198-ab.jpg").read_bytes() == payload
    assert names(folder) == ["hit_0198-ab.jpg"]


def test_the_path_that_documents_name_is_the_path_that_is_written(folder: Path) -> None:
    result = make_result(3)
    open_sink(folder).write([result])
    assert Path(image_path(folder, result.id)).read_bytes() == result.record.payload


def test_a_position_in_a_topic_with_the_longest_name_fits_a_file_name(folder: Path) -> None:
    result = make_result(record_id=f"{'t' * 245}-9999-9223372036854775807")
    open_sink(folder).write([result])
    path = Path(image_path(folder, result.id))
    assert path.read_bytes() == result.record.payload
    assert len(path.name) <= 255


def test_a_file_of_the_same_size_is_not_written_again(folder: Path) -> None:
    sink = open_sink(folder)
    sink.write(make_results(1))
    path = folder / "hit_image_data-0-0.jpg"
    before = path.stat()
    sink.write(make_results(1))
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_file_of_another_size_is_replaced(folder: Path) -> None:
    sink = open_sink(folder)
    (folder / "hit_image_data-0-0.jpg").write_bytes(b"half")
    sink.write([make_result(payload=b"the whole image")])
    assert (folder / "hit_image_data-0-0.jpg").read_bytes() == b"the whole image"


def test_what_a_killed_process_left_half_written_is_removed_at_the_start(folder: Path) -> None:
    folder.mkdir()
    aged(folder / ".velox-17-1-0", age_s=3600)
    aged(folder / ".gitkeep", age_s=3600)
    open_sink(folder)
    assert names(folder) == [".gitkeep"]


def test_what_another_consumer_is_writing_just_now_is_left_alone(folder: Path) -> None:
    folder.mkdir()
    aged(folder / ".velox-17-1-0", age_s=0)
    open_sink(folder)
    assert names(folder) == [".velox-17-1-0"]


def test_a_batch_that_failed_leaves_no_temporary_file(folder: Path) -> None:
    sink = open_sink(folder)
    (folder / "hit_image_data-1-1.jpg").mkdir()
    with pytest.raises(SinkUnavailableError):
        sink.write(make_results(3))
    assert not [name for name in names(folder) if name.startswith(".")]


def test_the_oldest_files_go_when_there_are_more_than_the_limit(folder: Path) -> None:
    sink = open_sink(folder, max_stored_files=3)
    sink.write(make_results(2))
    sink.write(make_results(2, first=2))
    assert names(folder) == ["hit_image_data-1-1.jpg", "hit_image_data-2-2.jpg", "hit_image_data-3-3.jpg"]


def test_files_from_earlier_runs_count_by_their_age(folder: Path) -> None:
    folder.mkdir()
    aged(folder / "hit_a-newer.jpg", age_s=10)
    aged(folder / "hit_b-oldest.jpg", age_s=1000)
    aged(folder / "hit_c-old.jpg", age_s=100)
    sink = open_sink(folder, max_stored_files=2)
    assert names(folder) == ["hit_a-newer.jpg", "hit_c-old.jpg"]
    sink.write([make_result(record_id="new")])
    assert names(folder) == ["hit_a-newer.jpg", "hit_new.jpg"]


def test_only_images_count_and_only_images_are_deleted(folder: Path) -> None:
    folder.mkdir()
    aged(folder / "notes.txt", age_s=1000)
    aged(folder / ".gitkeep", age_s=1000)
    sink = open_sink(folder, max_stored_files=1)
    sink.write(make_results(2))
    assert names(folder) == [".gitkeep", "hit_image_data-1-1.jpg", "notes.txt"]


def test_a_replay_does_not_push_newer_files_out(folder: Path) -> None:
    sink = open_sink(folder, max_stored_files=3)
    sink.write(make_results(3))
    sink.write(make_results(3))
    sink.write(make_results(1))
    assert len(names(folder)) == 3


def test_a_file_that_someone_else_deleted_does_not_stop_retention(folder: Path) -> None:
    sink = open_sink(folder, max_stored_files=1)
    sink.write(make_results(1))
    (folder / "hit_image_data-0-0.jpg").unlink()
    sink.write(make_results(1, first=1))
    assert names(folder) == ["hit_image_data-1-1.jpg"]


def test_without_a_limit_everything_stays(folder: Path) -> None:
    sink = open_sink(folder)
    for first in range(0, 60, 20):
        sink.write(make_results(20, first=first))
    assert len(names(folder)) == 60


def test_a_folder_that_was_deleted_is_made_again(folder: Path) -> None:
    sink = open_sink(folder)
    folder.rmdir()
    sink.write(make_results(1))
    assert names(folder) == ["hit_image_data-0-0.jpg"]


def test_an_error_names_the_folder_and_the_remedy(folder: Path) -> None:
    folder.write_bytes(b"not a folder")
    with pytest.raises(SinkUnavailableError, match=r"disk: .*discoveries.*File exists.*check STORAGE_PATH"):
        open_sink(folder)


def failing_flush(of: Callable[[int], bool]) -> Callable[[int], None]:
    """Make an fsync that fails for some descriptors, as a dying disk does."""

    def flush(descriptor: int) -> None:
        if of(os.fstat(descriptor).st_mode):
            raise OSError(errno.EIO, "Input/output error")

    return flush


def test_an_image_that_is_not_flushed_gets_no_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sink = open_sink(folder)
    with monkeypatch.context() as dying:
        dying.setattr(os, "fsync", failing_flush(stat.S_ISREG))
        with pytest.raises(SinkUnavailableError, match="Input/output error"):
            sink.write(make_results(3))
        assert names(folder) == []
    sink.write(make_results(3))
    assert len(names(folder)) == 3


@pytest.mark.parametrize("alone_s", [0, 3600], ids=["slow disk", "fast disk"])
def test_every_image_is_flushed_by_one_thread_or_by_several(
    folder: Path, monkeypatch: pytest.MonkeyPatch, alone_s: float
) -> None:
    sink = open_sink(folder)
    flushed: list[int] = []
    threads = set()

    def flush(descriptor: int) -> None:
        flushed.append(os.fstat(descriptor).st_ino)
        threads.add(threading.current_thread())

    monkeypatch.setattr(disk, "_ALONE_S", alone_s)
    monkeypatch.setattr(os, "fsync", flush)
    sink.write(make_results(150))
    stored = [path.stat().st_ino for path in folder.iterdir()]
    assert len(stored) == 150
    assert sorted(flushed) == sorted([*stored, folder.stat().st_ino])
    assert (threads == {threading.current_thread()}) == (alone_s > 0)


def test_names_are_flushed_before_a_batch_is_accepted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sink = open_sink(folder)
    monkeypatch.setattr(os, "fsync", failing_flush(stat.S_ISDIR))
    for _ in range(2):  # at the second try all files are there, their names still unflushed
        with pytest.raises(SinkUnavailableError, match="Input/output error"):
            sink.write(make_results(3))
