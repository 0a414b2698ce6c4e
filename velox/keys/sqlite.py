"""The table ``image_info`` in an SQLite file: for trying it out, and for one machine."""

import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from velox.errors import SettingsError
from velox.folders import prove_writable
from velox.keys.connecting import Connecting
from velox.keys.table import START, Holder, Place, Row
from velox.records import Pointer

_CREATE: Final = (
    "CREATE TABLE IF NOT EXISTS image_info"
    " (image_key TEXT, size INTEGER, sha256 TEXT, id INTEGER PRIMARY KEY AUTOINCREMENT)",
    "CREATE INDEX IF NOT EXISTS image_info_key ON image_info (image_key)",
    "CREATE TABLE IF NOT EXISTS velox_progress (name TEXT PRIMARY KEY, id INTEGER NOT NULL)",
)
_NAME: Final = "keys"
_LOOK_S: Final = 0.5
_COLUMNS: Final = "id, image_key, size, sha256"


class SqliteKeys(Connecting[sqlite3.Connection]):
    """Reads in the order of ids. SQLite has one writer at a time, so a lower id never comes later."""

    def __init__(self, path: str, *, timeout_s: float = 10.0) -> None:
        """Keep the path.

        Raises:
            SettingsError: there is none.
        """
        if not path:
            msg = "KEYS_URL: write sqlite:///FILE"
            raise SettingsError(msg)
        super().__init__(f"sqlite:///{path}", errors=(sqlite3.Error, OSError), explain=_explain)
        self._path = Path(path)
        self._timeout_s = timeout_s

    def open(self) -> None:
        """Make file and tables where they are missing."""
        self.close()
        with self._translated():
            self._path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(self._path, timeout=self._timeout_s, isolation_level=None)
            self._connection = connection
            connection.execute("PRAGMA journal_mode = WAL")
            for statement in _CREATE:
                connection.execute(statement)

    def place(self) -> Place:
        """Answer what was marked last."""
        with self._translated():
            found = self._opened.execute("SELECT id FROM velox_progress WHERE name = ?", (_NAME,)).fetchone()
        return Place(0, found[0]) if found else START

    def read(self, after: Place, *, prefix: str, most: int) -> list[Row]:
        """Answer the next rows."""
        query = (
            f"SELECT {_COLUMNS} FROM image_info WHERE id > ?"  # noqa: S608 - constants
            " AND substr(image_key, 1, length(?)) = ? ORDER BY id LIMIT ?"
        )
        with self._translated():
            return [_row(*each) for each in self._opened.execute(query, (after.id, prefix, prefix, most))]

    def mark(self, place: Place) -> None:
        """Remember how far the reader is."""
        with self._translated():
            self._opened.execute("INSERT OR REPLACE INTO velox_progress VALUES (?, ?)", (_NAME, place.id))

    def wait(self, timeout_s: float) -> None:
        """Wait a moment: SQLite tells nobody of new rows."""
        time.sleep(min(timeout_s, _LOOK_S))

    def known(self, keys: Sequence[str]) -> dict[str, Row]:
        """Answer what is known of keys."""
        query = f"SELECT {_COLUMNS} FROM image_info WHERE image_key = ? ORDER BY id DESC LIMIT 1"  # noqa: S608 - constants
        with self._translated():
            found = [self._opened.execute(query, (key,)).fetchone() for key in keys]
        return {row.key: row for row in (_row(*each) for each in found if each)}

    def add(self, pointers: Sequence[Pointer]) -> None:
        """Add a row for each, all or none."""
        rows = [(pointer.key, pointer.size_bytes, pointer.sha256 or None) for pointer in pointers]
        with self._translated():
            self._opened.execute("BEGIN IMMEDIATE")
            self._opened.executemany("INSERT INTO image_info (image_key, size, sha256) VALUES (?, ?, ?)", rows)
            self._opened.execute("COMMIT")

    def probe(self) -> str:
        """Say how many rows there are, if there is a file."""
        if not self._path.exists():
            with self._translated():
                prove_writable(self._path.parent)
            return f"{self.address} is not there yet, and can be made"
        with self._translated():
            (rows,) = self._opened.execute("SELECT count(*) FROM image_info").fetchone()
        return f"{rows} rows in image_info of {self.address}"

    def held_up_by(self) -> Holder | None:
        """Name nobody: rows come in the order of their numbers."""
        return None


def _explain(error: Exception) -> str:
    return f"{error}; check KEYS_URL, its folder's permissions and free space"


def _row(identity: int, key: str, size: int | None, sha256: str | None) -> Row:
    return Row(Place(0, identity), key, size, sha256 or "")
