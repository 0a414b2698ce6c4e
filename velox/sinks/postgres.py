"""Stores results in PostgreSQL's table ``prediction_results``, one row each."""

import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, Literal

import psycopg

from velox.errors import RefusedResultsError, SinkUnavailableError
from velox.postgres.connection import Connection, check_dsn, connect, explain, is_about_data
from velox.postgres.migrations import forget, is_migrated, migrate
from velox.postgres.schema import drop_schema
from velox.records import Result
from velox.settings.sinks import PostgresSettings
from velox.sinks.documents import clean
from velox.sinks.sink import Proof, Stored

_COLUMNS: Final = {
    "id": "text",
    "image_key": "text",
    "category": "text",
    "confidence": "real",
    "hostname": "text",
    "time": "double precision",
    "bucket": "text",
    "model": "text",
    "model_version": "text",
    "topic": "text",
    "partition": "integer",
    '"offset"': "bigint",
    "size": "bigint",
    "sha256": "text",
    "is_detection": "boolean",
}
_NAMES: Final = ", ".join(_COLUMNS)
_VALUES: Final = _NAMES.replace("time", "to_timestamp(time)")
_CHANGES: Final = ", ".join(f"{name} = excluded.{name}" for name in _COLUMNS if name != "id")
_UPSERT: Final = (
    f"INSERT INTO prediction_results ({_NAMES}) SELECT {_VALUES}"  # noqa: S608 - names of our own
    f" FROM unnest({', '.join(f'%s::{kind}[]' for kind in _COLUMNS.values())}) AS new ({_NAMES})"
    f" ON CONFLICT (id) DO UPDATE SET {_CHANGES}"
)
"""A column at a time: one statement, whatever the number of rows, and it works through a pooler of connections."""
_DURABLE: Final = (
    "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
)
"""An offset is committed on the strength of a commit here; stronger settings stay."""
_READ: Final = (
    'SELECT id, category, is_detection, topic, partition, "offset", extract(epoch FROM time)::float8'
    " FROM prediction_results WHERE starts_with(id, %s)"
)
_DELETE: Final = "DELETE FROM prediction_results WHERE starts_with(id, %s)"


class PostgresSink:
    """Upserts results by their id, a batch in one statement. A row that is refused costs only itself.

    ``image_key`` and ``bucket`` say where the payload is kept; they are NULL where it came with the record.
    ``confidence`` is in [0, 1]; ``time`` is when the prediction came, ``hostname`` where. Tables and views are made by
    the files in ``velox/postgres/sql``; columns that users add stay as they are.
    """

    def __init__(self, settings: PostgresSettings) -> None:
        """Read the address.

        Raises:
            SettingsError: POSTGRES_DSN is none.
        """
        self.name = "postgres"
        self.takes: Literal["detections", "all"] = "all" if settings.store == "all" else "detections"
        self._dsn = settings.postgres_dsn.get_secret_value()
        self._address = check_dsn("POSTGRES_DSN", self._dsn)
        self._timeout_s = settings.sink_timeout_s
        self._hostname = socket.gethostname()
        self._connection: Connection | None = None

    def open(self) -> None:
        """Connect, create or change the table where that is needed, and prove that it can be written."""
        self.close()
        with self._translated():
            self._connection = connect(self._dsn, self._timeout_s)
            self._connection.execute(_DURABLE)
            migrate(self._connection, "results")
            with self._connection.transaction(force_rollback=True):
                self._insert([_nobodys_row()])

    def write(self, batch: Sequence[Result]) -> None:
        """Upsert the batch. Where some of it is refused, the rest is stored nevertheless.

        Raises:
            RefusedResultsError: PostgreSQL will never take what this names, such as by a user's own constraint.
        """
        rows = {result.id: _row(result, self._hostname) for result in batch}
        if not rows:
            return
        if self._connection is None:
            self.open()
        with self._translated():
            if refused := self._insert_or_halve(list(rows.values())):
                raise RefusedResultsError(refused)

    def stored(self, prefix: str) -> Iterator[Stored]:
        """Yield the rows whose id begins with ``prefix``."""
        with self._translated(), connect(self._dsn, self._timeout_s) as connection:
            for identity, label, is_detection, topic, partition, offset, at in connection.execute(_READ, (prefix,)):
                yield Stored(identity, label, bool(is_detection), (topic, partition, offset), at)

    def remove(self, prefix: str) -> None:
        """Delete the rows whose id begins with ``prefix``; without one, all that ``open`` makes."""
        with self._translated(), connect(self._dsn, self._timeout_s) as connection:
            if prefix:
                connection.execute(_DELETE, (prefix,))
                return
            if not drop_schema(connection):
                connection.execute("DROP TABLE IF EXISTS prediction_results CASCADE")
                forget(connection, "results")

    def probe(self) -> Proof:
        """Prove that a row goes through, and leave none behind. Completing a table is left to the first start."""
        where = f"prediction_results of {self._address}"
        with self._translated(), connect(self._dsn, self._timeout_s) as connection:
            server = f"PostgreSQL {connection.info.server_version // 10_000}"
            if not is_migrated(connection, "results"):
                return Proof(f"{server}; {where} is made or completed by the first start")
            with connection.transaction(force_rollback=True):
                (count,) = connection.execute("SELECT count(*) FROM prediction_results").fetchone() or (0,)
                self._insert([_nobodys_row()], connection)
        return Proof(f"{server}, {count} rows in {where}")

    def close(self) -> None:
        """Disconnect."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _insert_or_halve(self, rows: list[tuple[Any, ...]]) -> dict[str, str]:
        """Store rows; answer why some were refused, by their ids. Halves find them in few statements."""
        try:
            self._insert(rows)
        except psycopg.Error as error:
            if not is_about_data(error):
                raise
            if len(rows) == 1:
                return {rows[0][0]: " ".join(str(error).split())}
            middle = len(rows) // 2
            return self._insert_or_halve(rows[:middle]) | self._insert_or_halve(rows[middle:])
        return {}

    def _insert(self, rows: list[tuple[Any, ...]], connection: Connection | None = None) -> None:
        if (used := connection or self._connection) is None:
            raise SinkUnavailableError("postgres: not connected")
        used.execute(_UPSERT, [list(column) for column in zip(*rows, strict=True)])

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (psycopg.Error, OSError) as error:
            self.close()  # the next try starts from a clean connection
            raise SinkUnavailableError(f"postgres: cannot use {self._address}: {explain(error)}") from error


def _row(result: Result, hostname: str) -> tuple[Any, ...]:
    record, pointer = result.record, result.record.pointer
    return (
        result.id,
        clean(pointer.key) if pointer else None,
        clean(result.prediction.label),
        float(result.prediction.confidence),
        hostname,
        float(result.predicted_at),
        (clean(pointer.bucket) or None) if pointer else None,
        clean(result.model.name),
        clean(result.model.version),
        record.position.topic,
        record.position.partition,
        record.position.offset,
        len(record.payload),
        (pointer.sha256 or None) if pointer else None,
        bool(result.is_detection),
    )


def _nobodys_row() -> tuple[Any, ...]:
    return ("velox-open", None, "", 0.0, "", 0.0, None, "", "", "", 0, 0, 0, None, False)
