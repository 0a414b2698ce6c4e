"""What an inference process writes to its standard error is in the log, in the log's form; also its last words."""

import logging
import os
from multiprocessing import Pipe

import pytest

from tests.fakes import FakeClock
from velox.consumer.last_words import LastWords


def heard(*parts: bytes, clock: FakeClock | None = None) -> None:
    """Have parts written, and the process end."""
    ear, mouth = Pipe(duplex=False)
    listener = LastWords(ear, 77, clock=clock or FakeClock())
    for part in parts:
        os.write(mouth.fileno(), part)
    mouth.close()
    listener.thread.join(10)
    assert not listener.thread.is_alive()
    assert ear.closed


def test_each_line_becomes_one_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    heard(b"malloc(): ", b"corrupted\n\n  at 0x7f\xff\n", b"no line end")
    assert caplog.messages == [
        "Inference process 77: malloc(): corrupted",
        "Inference process 77: at 0x7f\ufffd",
        "Inference process 77: no line end",
    ]
    assert {record.levelno for record in caplog.records} == {logging.WARNING}


def test_what_a_decoder_says_of_a_file_stands_in_its_dead_letter_and_not_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO):
        heard(b"libpng error: Not enough image data\nlibpng warning: IDAT: too much\n")
    assert caplog.messages == []
    with caplog.at_level(logging.DEBUG):
        heard(b"libpng error: Not enough image data\n")
    assert caplog.messages == ["Inference process 77: libpng error: Not enough image data"]


def test_a_flood_is_cut_short_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    heard(b"libpng error: no pixels\n" * 5000, b"again\n" * 5000)
    assert len(caplog.messages) == 101
    assert caplog.messages[-1] == "Inference process 77: 4900 lines more"


def test_a_line_without_end_is_told_in_pieces(caplog: pytest.LogCaptureFixture) -> None:
    heard(b"x" * 2500)
    assert [len(message) for message in caplog.messages] == [1022, 1022, 522]


class Ticking(FakeClock):
    """A second for each look."""

    def __call__(self) -> float:
        self.advance(1)
        return super().__call__()


def test_what_comes_slowly_is_never_cut_short(caplog: pytest.LogCaptureFixture) -> None:
    heard(b"again\n" * 500, clock=Ticking())
    assert len(caplog.messages) == 500
