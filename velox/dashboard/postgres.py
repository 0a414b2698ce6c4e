"""Results that the sink ``postgres`` stored, read from its table."""

import threading
from collections.abc import Sequence
from typing import Any, Final

import psycopg
from psycopg.rows import dict_row

from velox.dashboard.queries import BINS, QUERY_S, SUMMARISED, Columns, Cursor, Page, Row, Summary, Wanted, conditions
from velox.dashboard.queries import summarise as added_up
from velox.errors import StoreUnavailableError
from velox.postgres.connection import Connection, check_dsn, connect, explain
from velox.settings.sinks import PostgresSettings

_COLUMNS: Final = Columns(label="category", at="time", truth="", camera="topic", mark="%s", moment="to_timestamp(%s)")
_ROW: Final = (
    "id, extract(epoch FROM time)::float8 AS at, category, confidence, is_detection, topic, partition,"
    ' "offset", model, model_version, image_key, bucket, hostname, size, sha256'
)
_SHOWN: Final = frozenset(
    {
        *("id", "at", "category", "confidence", "is_detection", "topic", "partition", "offset"),
        *("model", "model_version", "image_key"),
    }
)
_SELECT: Final = f"SELECT {_ROW} FROM prediction_results WHERE id IS NOT NULL"  # noqa: S608 - names of our own


class PostgresResults:
    """Reads the table ``prediction_results`` by its indexes on time, and on category and time.

    Rows of before, which have no id, are left out. One connection, used by one thread at a time; its statements have a
    time limit on the server.
    """

    absent: frozenset[str] = frozenset({"verdict"})

    def __init__(self, settings: PostgresSettings) -> None:
        """Read the address; connect when first asked.

        Raises:
            SettingsError: POSTGRES_DSN is none.
        """
        self._dsn = settings.postgres_dsn.get_secret_value()
        self._address = check_dsn("POSTGRES_DSN", self._dsn)
        self.name = f"PostgreSQL, {self._address.rpartition('/')[2]}"
        self._connection: Connection | None = None
        self._lock = threading.Lock()

    def newest(self, limit: int) -> Sequence[Row]:
        """Answer those with the latest time."""
        return self._ask(f"{_SELECT} ORDER BY time DESC NULLS LAST, id DESC LIMIT %s", (limit,))

    def page(self, wanted: Wanted, after: Cursor | None, limit: int) -> Page:
        """Go through an index; rows of one moment are in the order of their ids."""
        where, values = conditions(wanted, _COLUMNS)
        if after is not None:
            where += " AND (time, id) < (to_timestamp(%s), %s)"
            values += [after.at, str(after.key)]
        query = f"{_SELECT} AND time IS NOT NULL AND {where} ORDER BY time DESC, id DESC LIMIT %s"
        found = self._ask(query, (*values, limit + 1))
        rows = found[:limit]
        if len(found) <= limit or rows[-1].at is None:
            return Page(rows, None)
        return Page(rows, Cursor(rows[-1].at, rows[-1].id))

    def summary(self, wanted: Wanted) -> Summary:
        """Count by category and confidence."""
        where, values = conditions(wanted, _COLUMNS)
        query = (
            f"SELECT category, floor(confidence * {BINS})::int AS bin, count(*) AS rows FROM"  # noqa: S608 - our own
            f" (SELECT category, confidence FROM prediction_results WHERE id IS NOT NULL AND {where}"
            f" ORDER BY time DESC LIMIT {SUMMARISED}) AS newest GROUP BY 1, 2"
        )
        return added_up([(row["category"], row["bin"], row["rows"]) for row in self._run(query, tuple(values))])

    def find(self, identity: str) -> Row | None:
        """Look it up by its id."""
        found = self._ask(f"{_SELECT} AND id = %s", (identity,))
        return found[0] if found else None

    def beside(self, row: Row) -> tuple[str | None, str | None]:
        """Go a step in each direction of the index of times."""
        here = "(SELECT time, id FROM prediction_results WHERE id = %s)"
        newer = self._ask(f"{_SELECT} AND (time, id) > {here} ORDER BY time, id LIMIT 1", (row.id,))
        older = self._ask(f"{_SELECT} AND (time, id) < {here} ORDER BY time DESC, id DESC LIMIT 1", (row.id,))
        return (newer[0].id if newer else None), (older[0].id if older else None)

    def close(self) -> None:
        """Disconnect."""
        with self._lock:
            self._close()

    def _ask(self, query: str, values: Sequence[object]) -> list[Row]:
        return [_row(found) for found in self._run(query, values)]

    def _run(self, query: str, values: Sequence[object]) -> list[dict[str, Any]]:
        with self._lock:
            try:
                if self._connection is None:
                    self._connection = connect(self._dsn, QUERY_S)
                cursor = self._connection.cursor(row_factory=dict_row)
                return list(cursor.execute(query.encode(), values))
            except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn):
                return []  # the sink has not made it yet
            except psycopg.errors.QueryCanceled as error:
                msg = f"{self._address} took longer than {QUERY_S:g} s: narrow it by a label or a time"
                raise StoreUnavailableError(msg) from error
            except psycopg.Error as error:
                self._close()
                raise StoreUnavailableError(f"{self._address} cannot be read now: {explain(error)}") from error

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _row(found: dict[str, Any]) -> Row:
    return Row(
        id=found["id"],
        at=found["at"],
        label=found["category"] or "",
        confidence=found["confidence"],
        is_detection=bool(found["is_detection"]),
        topic=found["topic"] or "",
        partition=found["partition"] or 0,
        offset=found["offset"] or 0,
        model=found["model"] or "",
        version=found["model_version"] or "",
        object_key=found["image_key"] or "",
        more={name: value for name, value in found.items() if name not in _SHOWN and value is not None},
    )
