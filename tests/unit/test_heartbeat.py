"""The producer's heartbeat, without Kafka and without waiting."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from velox.errors import SettingsError
from velox.heartbeat import Heartbeat


@dataclass
class Deliveries:
    delivered: int = 0
    failed: int = 0
    waiting: int = 0


class Watched:
    """A heartbeat whose clock moves two seconds with each beat, and whose file is taken away after each."""

    def __init__(self, folder: Path) -> None:
        self.now = 0.0
        self.file = folder / "heartbeat"
        self.deliveries = Deliveries()
        self._heartbeat = Heartbeat(self.file, clock=lambda: self.now)

    def beats(self, *, delivered: int = 0, failed: int = 0, waiting: int = 0) -> bool:
        """Whether the file is touched after so many more are delivered and failed, and as many wait."""
        self.now += 2
        self.deliveries.delivered += delivered
        self.deliveries.failed += failed
        self.deliveries.waiting = waiting
        self._heartbeat.beat(self.deliveries)
        try:
            return self.file.exists()
        finally:
            self.file.unlink(missing_ok=True)


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return Watched(tmp_path)


def test_it_beats_while_records_are_delivered_also_when_others_wait_or_fail(watched: Watched) -> None:
    assert watched.beats(delivered=1)
    assert watched.beats(delivered=1, waiting=100)
    assert watched.beats(delivered=1, failed=1, waiting=100)


def test_it_stops_when_records_wait_and_none_is_delivered(watched: Watched) -> None:
    assert watched.beats(delivered=1, waiting=1)
    assert not watched.beats(waiting=1)
    assert watched.beats(delivered=1)


def test_it_goes_on_when_there_is_nothing_to_deliver(watched: Watched) -> None:
    assert watched.beats()
    assert watched.beats()


def test_it_stops_when_records_fail_until_one_is_delivered(watched: Watched) -> None:
    assert watched.beats(delivered=1)
    assert not watched.beats(failed=1)
    assert not watched.beats(), "all have failed, and none waits"
    assert watched.beats(delivered=1)
    assert watched.beats()


def test_it_touches_the_file_once_a_second_at_most(watched: Watched) -> None:
    assert watched.beats(delivered=1)
    watched.now -= 1.5
    assert not watched.beats(delivered=1)


def test_what_an_earlier_producer_left_is_gone_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "heartbeat").touch()
    Heartbeat(tmp_path / "heartbeat")
    assert not (tmp_path / "heartbeat").exists()


def test_a_file_that_cannot_be_written_stops_the_start_and_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"--heartbeat .*/nowhere/file: No such file or directory"):
        Heartbeat(tmp_path / "nowhere" / "file")


def test_without_a_file_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Heartbeat().beat(Deliveries(delivered=1))
    assert list(tmp_path.iterdir()) == []
