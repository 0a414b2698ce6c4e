"""Stores results in an SQLite file, one row each."""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final, Literal

from velox.errors import SinkUnavailableError
from velox.folders import prove_writable
from velox.records import Result
from velox.settings.sinks import SqliteSettings
from velox.sinks.documents import Document, Extras, documents, stored
from velox.sinks.sink import Proof, Stored

_CREATE: Final = (
    """
    CREATE TABLE IF NOT EXISTS predictions (
        id TEXT PRIMARY KEY NOT NULL,
        timestamp REAL,
        confidence REAL,
        predicted_label TEXT NOT NULL,
        ground_truth TEXT NOT NULL,
        file_path TEXT NOT NULL,
        is_detection INTEGER NOT NULL,
        topic TEXT NOT NULL,
        partition INTEGER NOT NULL,
        offset INTEGER NOT NULL,
        model TEXT NOT NULL,
        model_version TEXT NOT NULL,
        predicted_at REAL
    )
    """,
    "CREATE INDEX IF NOT EXISTS predictions_by_label_and_time ON predictions (predicted_label, timestamp)",
    "CREATE INDEX IF NOT EXISTS predictions_by_time ON predictions (timestamp)",
)
_COLUMNS: Final = (
    *("id", "timestamp", "confidence", "predicted_label", "ground_truth", "file_path", "is_detection"),
    *("topic", "partition", "offset", "model", "model_version", "predicted_at"),
)
_EXTRA_COLUMNS: Final = {
    "object_key": "TEXT",
    "hostname": "TEXT",
    "camera_id": "TEXT",
    "img_path": "TEXT",
    "frame_timestamp": "REAL",
    "age_ms": "REAL",
    "scores": "TEXT",
    "boxes": "TEXT",
    "queue_ms": "REAL",
    "decode_ms": "REAL",
    "inference_ms": "REAL",
    "batch_size": "INTEGER",
    "text": "TEXT",
}
"""Those that a table gets with the first result that has them; lists are JSON."""
_VIEW: Final = """
    CREATE VIEW IF NOT EXISTS prediction_results AS
    SELECT object_key AS image_key, predicted_label AS category, confidence, hostname,
        datetime(predicted_at, 'unixepoch') AS time, id, model, model_version, topic, partition, offset
    FROM predictions
"""
"""The table that PostgreSQL has of the same results."""
_BEGINS_WITH: Final = "WHERE id >= :prefix AND id < :prefix || char(0x10ffff)"
_SIDE_FILES: Final = ("", "-wal", "-shm")
_DAMAGED: Final = ("SQLITE_CORRUPT", "SQLITE_NOTADB")


class SqliteSink:
    """Upserts results into the table ``predictions``, keyed by the prediction id, one transaction a batch.

    Readers never wait for the writer (WAL). ``timestamp`` and ``predicted_at`` are Unix seconds; a number that is
    none (NaN) becomes NULL. ``scores`` and ``boxes`` are JSON.
    """

    def __init__(self, settings: SqliteSettings) -> None:
        """Keep the path."""
        self.name = "sqlite"
        self.takes: Literal["detections", "all"] = "all" if settings.store == "all" else "detections"
        self._extras = Extras.of(settings)
        self._path = settings.sqlite_path
        self._timeout_s = settings.sink_timeout_s
        self._connection: sqlite3.Connection | None = None
        self._inode: tuple[int, int] | None = None
        self._extra_columns: dict[str, None] = {}
        """Those of them that the table has, each with what a row without it gets."""

    def open(self) -> None:
        """Create file, table and index where missing; take the write lock to prove that it can be had."""
        self.close()
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            # Transactions are begun by hand, so that one is exactly one batch.
            connection = sqlite3.connect(self._path, timeout=self._timeout_s, isolation_level=None)
        except (sqlite3.Error, OSError) as error:
            raise self._unavailable(error) from error
        self._connection = connection
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            # Flush the log at every commit: Kafka's offset is committed next, and the row may not be lost after that.
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("BEGIN IMMEDIATE")
            for statement in _CREATE:
                connection.execute(statement)
            self._extra_columns = _with_columns(connection, ())
            connection.execute("COMMIT")
            self._inode = _inode(self._path)
        except (sqlite3.Error, OSError) as error:
            self.close()
            raise self._unavailable(error) from error

    def write(self, batch: Sequence[Result]) -> None:
        """Upsert the batch in one transaction. A file that was moved away or deleted is created again."""
        if not batch:
            return
        if self._connection is None or _inode(self._path) != self._inode:
            self.open()
        if self._connection is None:
            raise SinkUnavailableError(f"sqlite: {self._path} is not open")
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            rows = [_row(document) for document in documents(batch, self._extras)]
            extra = [name for name in _EXTRA_COLUMNS if any(name in row for row in rows)]
            if not self._extra_columns.keys() >= set(extra):
                self._extra_columns = _with_columns(self._connection, extra)
            self._connection.executemany(
                _upsert([*_COLUMNS, *self._extra_columns]), [self._extra_columns | row for row in rows]
            )
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            self.close()  # rolls back; the next try starts from a clean connection
            raise self._unavailable(error) from error

    def stored(self, prefix: str) -> Iterator[Stored]:
        """Yield the rows whose id begins with ``prefix``."""
        query = f"SELECT *, id AS _id FROM predictions {_BEGINS_WITH}"  # noqa: S608 - a constant
        with self._translated(), self._connected() as connection:
            connection.row_factory = sqlite3.Row
            for row in connection.execute(query, {"prefix": prefix}):
                yield stored(dict(row))

    def remove(self, prefix: str) -> None:
        """Delete the rows whose id begins with ``prefix``; delete the file when that is empty."""
        if not prefix:
            for suffix in _SIDE_FILES:
                self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
            return
        statement = f"DELETE FROM predictions {_BEGINS_WITH}"  # noqa: S608 - a constant
        with (
            self._translated(),
            closing(sqlite3.connect(self._path, timeout=self._timeout_s)) as connection,
            connection,
        ):
            connection.execute(statement, {"prefix": prefix})

    def probe(self) -> Proof:
        """Take and give back the write lock of a file that is there; else prove that its folder takes files."""
        with self._translated():
            if not self._path.exists():
                prove_writable(self._path.parent)
                return Proof(f"{self._path} is not there yet, and can be made")
            connection = sqlite3.connect(self._path, timeout=self._timeout_s, isolation_level=None)
            with closing(connection):
                connection.execute("BEGIN IMMEDIATE")
                tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
                rows = 0
                if "predictions" in tables:
                    (rows,) = connection.execute("SELECT count(*) FROM predictions").fetchone()
                connection.execute("ROLLBACK")
        return Proof(f"SQLite {sqlite3.sqlite_version}, {rows} rows in {self._path}")

    def close(self) -> None:
        """Close the file, rolling back what was not committed."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _connected(self) -> closing[sqlite3.Connection]:
        """Connect to the file if it is there; nothing is made."""
        uri = f"{self._path.absolute().as_uri()}?mode=rw"
        return closing(sqlite3.connect(uri, uri=True, timeout=self._timeout_s))

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise self._unavailable(error) from error

    def _unavailable(self, error: sqlite3.Error | OSError) -> SinkUnavailableError:
        code = getattr(error, "sqlite_errorname", "")
        remedy = "check SQLITE_PATH, its folder's permissions and free space"
        if code.startswith(_DAMAGED):
            remedy = "the file is damaged or no SQLite database: move it away, or restore it, and it goes on"
        elif code.startswith("SQLITE_BUSY"):
            remedy = f"another process has held its write lock for SINK_TIMEOUT_S={self._timeout_s:g}"
        return SinkUnavailableError(f"sqlite: cannot use {self._path}: {error}; {remedy}")


def _row(document: Document) -> dict[str, object]:
    """Write a document as SQLite takes it: it has no lists."""
    plain = {k: json.dumps(v, ensure_ascii=False) if isinstance(v, list) else v for k, v in document.items()}
    return {"id": plain.pop("_id"), **plain}


def _with_columns(connection: sqlite3.Connection, names: Sequence[str]) -> dict[str, None]:
    """Add columns to a table that was made without them; answer which there are now. For use in a transaction."""
    there = {name for _, name, *_ in connection.execute("PRAGMA table_info(predictions)")}
    for name in names:
        if name not in there:
            connection.execute(f"ALTER TABLE predictions ADD COLUMN {name} {_EXTRA_COLUMNS[name]}")
    if {"object_key", "hostname"} <= there | set(names):
        connection.execute(_VIEW)
    return dict.fromkeys(name for name in _EXTRA_COLUMNS if name in there or name in names)


def _upsert(columns: Sequence[str]) -> str:
    values = ", ".join(f":{name}" for name in columns)
    changes = ", ".join(f"{name} = excluded.{name}" for name in columns if name != "id")
    return (
        f"INSERT INTO predictions ({', '.join(columns)}) VALUES ({values}) "  # noqa: S608 - names of our own
        f"ON CONFLICT (id) DO UPDATE SET {changes}"
    )


def _inode(path: Path) -> tuple[int, int] | None:
    """Identify the file behind the path: rows written to one that has lost its name would be lost with it."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
