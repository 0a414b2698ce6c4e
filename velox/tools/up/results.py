"""What this run has stored, as the SQLite sink's file tells."""

import logging
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

log = logging.getLogger(__name__)


class Detection(NamedTuple):
    """One stored detection."""

    label: str
    confidence: float
    file_path: str


class Judged(NamedTuple):
    """One stored result of a text, whatever came of it; there are such only with STORE_TEXT."""

    label: str
    confidence: float
    text: str


class StoredResults:
    """Reads the rows added since this object was made. A row that is written again stays the row it was."""

    def __init__(self, path: Path) -> None:
        """Remember where the table ends now; it need not exist yet."""
        self._path = path
        self._start = 0
        self._start = next((row[0] or 0 for row in self._ask("SELECT max(rowid) FROM predictions")), 0)

    def count(self) -> int:
        """Count the results: one per record, however often it was predicted."""
        rows = self._ask("SELECT count(*) FROM predictions WHERE rowid > ?", self._start)
        return next((int(row[0]) for row in rows), 0)

    def detections(self, *, most: int = -1) -> list[Detection]:
        """Answer the detections, newest first, all by default."""
        query = (
            "SELECT predicted_label, confidence, file_path FROM predictions "
            "WHERE rowid > ? AND is_detection ORDER BY rowid DESC LIMIT ?"
        )
        return [Detection(*row) for row in self._ask(query, self._start, most)]

    def texts(self, *, most: int) -> list[Judged]:
        """Answer the last texts that were judged, newest first."""
        query = (
            "SELECT predicted_label, confidence, text FROM predictions "
            "WHERE rowid > ? AND text IS NOT NULL ORDER BY rowid DESC LIMIT ?"
        )
        return [Judged(*row) for row in self._ask(query, self._start, most)]

    def _ask(self, query: str, *values: int) -> list[Any]:
        """Ask; nothing while there is no file, no table, or no way to read it (the consumer says why)."""
        if not self._path.exists():
            return []
        try:
            with closing(sqlite3.connect(f"{self._path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
                return connection.execute(query, values).fetchall()
        except sqlite3.Error as error:
            log.debug("%s cannot be read now: %s", self._path, error)
            return []
