"""When each record was stored: a sink that notes it, and how to read its notes."""

import struct
from collections.abc import Sequence
from pathlib import Path
from time import monotonic
from typing import BinaryIO, Final

import numpy as np

from benchmarks.open_loop import Times
from velox.records import Result
from velox.settings import Settings
from velox.sinks.mongo import MongoSink

SINK: Final = "benchmarks.stamps:StampedMongoSink"
"""For SINKS; last, so that a stamp means that every sink has the record."""
_FILE: Final = "stored.stamps"
_STAMP: Final = struct.Struct("<qd")


class StampedMongoSink(MongoSink):
    """The sink ``mongo``; notes number and time of each record when the server has acknowledged its write.

    Notes are 16 bytes a record in a file under STORAGE_PATH, by the monotonic clock, which all processes of a machine
    share. Noting costs 10 µs a write and 0.4 µs a record, after the time that is noted.
    """

    def __init__(self, settings: Settings) -> None:
        """Keep the path."""
        super().__init__(settings)
        self._path = settings.storage_path / _FILE
        self._file: BinaryIO | None = None

    def open(self) -> None:
        """Connect, and make the file."""
        super().open()
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._path.open("ab", buffering=0)

    def write(self, batch: Sequence[Result]) -> None:
        """Store, then note."""
        super().write(batch)
        now = monotonic()
        if self._file is not None:
            self._file.write(b"".join(_STAMP.pack(number(result.id), now) for result in batch))

    def close(self) -> None:
        """Close both."""
        super().close()
        file, self._file = self._file, None
        if file is not None:
            file.close()


def number(record_id: str) -> int:
    """Read the number at the end of a numbered record's id."""
    return int(record_id.rpartition("-")[2])


def count(folder: Path) -> int:
    """Count the notes so far."""
    path = folder / _FILE
    return path.stat().st_size // _STAMP.size if path.exists() else 0


def read(folder: Path, records: int) -> Times:
    """Answer when each of ``records`` was first stored."""
    noted = np.fromfile(folder / _FILE, dtype=[("number", "<i8"), ("at", "<f8")])
    stored = np.full(records, np.nan)
    np.fmin.at(stored, noted["number"], noted["at"])
    return stored
