"""A table ``image_info`` in PostgreSQL that may not be altered: read whole in every run, and left as it is."""

import logging
import time
from collections.abc import Sequence
from typing import Final, NamedTuple

import psycopg
from psycopg import sql

from velox.errors import StoreUnavailableError
from velox.keys.connecting import Connecting
from velox.keys.table import START, Holder, Place, Row
from velox.postgres.connection import Connection, check_dsn, connect, explain
from velox.records import Pointer

log = logging.getLogger(__name__)

_KEY: Final = "image_key"
_LOOK_S: Final = 0.5
_COLUMNS: Final = (
    "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute"
    " WHERE attrelid = to_regclass('image_info') AND attnum > 0 AND NOT attisdropped"
)
_PRIMARY: Final = (
    "SELECT a.attname FROM pg_index i, unnest(i.indkey) WITH ORDINALITY AS k (number, place), pg_attribute a"
    " WHERE i.indrelid = to_regclass('image_info') AND i.indisprimary"
    " AND a.attrelid = i.indrelid AND a.attnum = k.number ORDER BY k.place"
)
_KEY_IS_INDEXED: Final = (
    "SELECT EXISTS (SELECT FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]"
    " WHERE i.indrelid = to_regclass('image_info') AND i.indpred IS NULL AND a.attname = 'image_key')"
)
_ROWS: Final = "SELECT reltuples::bigint FROM pg_class WHERE oid = to_regclass('image_info')"
_LIKE: Final = {"bigint": {"bigint", "integer"}, "text": {"text", "character varying", "character"}}
_UNSORTED: Final = 50_000
"""Rows that are read at once where no index gives their order: each page looks at the whole table."""


class _Shape(NamedTuple):
    """What the table is like."""

    columns: dict[str, str]
    """Their types."""
    order: list[str]
    """The columns that rows are read by."""
    is_sorted: bool
    """Whether an index gives that order."""

    def column(self, name: str, kind: str) -> sql.Composable:
        """Write a column that may not be there, or may be something else under the same name."""
        return sql.Identifier(name) if self.has(name, kind) else sql.SQL(f"NULL::{kind}")

    def has(self, name: str, kind: str) -> bool:
        """Say whether there is a column of a type that can be taken for this one."""
        return self.columns.get(name, "").partition("(")[0] in _LIKE[kind]


class PostgresPages(Connecting[Connection]):
    """Reads all rows by their primary key, page by page, in every run: nothing tells which are new.

    A row has the same id in every run, so that its result is stored once. Where there is no primary key, rows are read
    by ``image_key``, and those with the same key are one. Rows that come behind the reader are for the next run.
    """

    def __init__(self, dsn: str, *, timeout_s: float) -> None:
        """Read the address.

        Raises:
            SettingsError: KEYS_URL is none.
        """
        super().__init__(check_dsn("KEYS_URL", dsn), errors=(psycopg.Error, OSError), explain=explain)
        self._dsn = dsn
        self._timeout_s = timeout_s
        self._shape = _Shape({}, [_KEY], is_sorted=False)
        self._told = False

    def open(self) -> None:
        """Connect, and find out what rows can be read by."""
        self.close()
        with self._translated():
            self._connection = connect(self._dsn, self._timeout_s)
            self._shape = _shape(self._connection)
            rows = (self._connection.execute(_ROWS).fetchone() or (-1,))[0]
        if _KEY not in self._shape.columns:
            self.close()
            raise StoreUnavailableError(f"image_info in {self.address}: it has no column {_KEY}, or is not there")
        if not self._told:
            self._told = True
            log.info("%s", self._cost(rows))

    def place(self) -> Place:
        """Begin at the beginning."""
        return START

    def read(self, after: Place, *, prefix: str, most: int) -> list[Row]:
        """Answer the next rows by the primary key."""
        with self._translated():
            connection = self._opened
            shape, names = self._shape, [sql.Identifier("t", name) for name in self._shape.order]
            columns: list[sql.Composable] = [sql.SQL("{}::text").format(name) for name in names]
            columns += [sql.Identifier(_KEY), shape.column("size", "bigint"), shape.column("sha256", "text")]
            # With the table's name: alone, a name in ORDER BY would be that of the column that is text by now.
            # Types come from the server's catalogue, as it writes them itself.
            values = [sql.SQL("%s::{}").format(sql.SQL(shape.columns[name])) for name in shape.order]
            query = sql.SQL(
                "SELECT {distinct} {columns} FROM image_info AS t WHERE {key} IS NOT NULL AND starts_with({key}, %s)"
                " {beyond} ORDER BY {order} LIMIT %s"
            ).format(
                distinct=sql.SQL("DISTINCT ON ({})").format(sql.Identifier(_KEY))
                if shape.order == [_KEY]
                else sql.SQL(""),
                columns=sql.SQL(", ").join(columns),
                key=sql.Identifier(_KEY),
                beyond=sql.SQL("AND ({}) > ({})").format(sql.SQL(", ").join(names), sql.SQL(", ").join(values))
                if after.by
                else sql.SQL(""),
                order=sql.SQL(", ").join(names),
            )
            most = most if shape.is_sorted else _UNSORTED
            found = connection.execute(query, (prefix, *after.by, most)).fetchall()
        count = len(names)
        return [Row(Place(0, 0, tuple(row[:count])), row[count], row[-2], row[-1] or "") for row in found]

    def mark(self, place: Place) -> None:
        """Remember nothing: there is nowhere to."""

    def wait(self, timeout_s: float) -> None:
        """Wait a moment."""
        time.sleep(min(timeout_s, _LOOK_S))

    def known(self, keys: Sequence[str]) -> dict[str, Row]:
        """Answer what is known of keys: size and checksum only where there are such columns."""
        with self._translated():
            connection, shape = self._opened, self._shape
            query = sql.SQL("SELECT {}, {}, {} FROM image_info WHERE {} = ANY(%s)").format(
                sql.Identifier(_KEY),
                shape.column("size", "bigint"),
                shape.column("sha256", "text"),
                sql.Identifier(_KEY),
            )
            found = connection.execute(query, (list(keys),)).fetchall()
        return {key: Row(START, key, size, sha256 or "") for key, size, sha256 in found}

    def add(self, pointers: Sequence[Pointer]) -> None:
        """Add a row for each, all or none, with what there are columns for."""
        with self._translated():
            connection, shape = self._opened, self._shape
            given = {
                _KEY: [pointer.key for pointer in pointers],
                "size": [pointer.size_bytes for pointer in pointers],
                "sha256": [pointer.sha256 or None for pointer in pointers],
            }
            kinds = {_KEY: "text", "size": "bigint", "sha256": "text"}
            names = [name for name in given if shape.has(name, kinds[name])]
            casts = [sql.SQL("%s::{}[]").format(sql.SQL(kinds[name])) for name in names]
            query = sql.SQL("INSERT INTO image_info ({}) SELECT * FROM unnest({})").format(
                sql.SQL(", ").join(map(sql.Identifier, names)), sql.SQL(", ").join(casts)
            )
            connection.execute(query, [given[name] for name in names])

    def probe(self) -> str:
        """Say how many rows there are, and how they would be read."""
        with self._translated(), connect(self._dsn, self._timeout_s) as connection:
            self._shape = _shape(connection)
            if _KEY not in self._shape.columns:
                return f"image_info of {self.address} is not there, or has no column {_KEY}"
            return self._cost((connection.execute(_ROWS).fetchone() or (-1,))[0])

    def held_up_by(self) -> Holder | None:
        """Name nobody: rows that are committed later come with the next run."""
        return None

    def _cost(self, rows: int) -> str:
        about = f"all rows, about {rows:,}," if rows > 0 else "all rows"
        by = ", ".join(self._shape.order)
        slow = "" if self._shape.is_sorted else f"; no index is on {by}, so each {_UNSORTED:,} rows cost a look at all"
        return (
            f"KEYS_FULL_PASS: each run publishes {about} of image_info in {self.address} again, by {by}, with the same "
            f"ids, and changes nothing there{slow}"
        )


def _shape(connection: Connection) -> _Shape:
    columns: dict[str, str] = dict(connection.execute(_COLUMNS).fetchall())
    if primary := [name for (name,) in connection.execute(_PRIMARY)]:
        return _Shape(columns, primary, is_sorted=True)
    return _Shape(columns, [_KEY], is_sorted=connection.execute(_KEY_IS_INDEXED).fetchone() == (True,))
