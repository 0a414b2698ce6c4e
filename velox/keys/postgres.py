"""The table ``image_info`` in PostgreSQL."""

from collections.abc import Sequence
from typing import Final

import psycopg

from velox.keys.connecting import Connecting
from velox.keys.table import START, Holder, Place, Row
from velox.postgres.connection import Connection, check_dsn, connect, explain
from velox.postgres.migrations import migrate
from velox.records import Pointer

_CHANGED: Final = "velox_image_info"
_READ: Final = (
    "SELECT added_by::text::bigint, id, image_key, size, sha256 FROM image_info"
    " WHERE (added_by, id) > (%s::text::xid8, %s) AND added_by < pg_snapshot_xmin(pg_current_snapshot())"
    " AND image_key IS NOT NULL AND starts_with(image_key, %s) ORDER BY added_by, id LIMIT %s"
)
"""Of a transaction older than all open ones, all rows are there, or none ever will be."""
_MARK: Final = (
    "INSERT INTO velox_progress (name, cluster, added_by, id) VALUES (%s, %s, %s::text::xid8, %s) ON CONFLICT (name)"
    " DO UPDATE SET cluster = excluded.cluster, added_by = excluded.added_by, id = excluded.id, changed_at = now()"
)
_IS_FROM_ELSEWHERE: Final = (
    "SELECT EXISTS (SELECT FROM image_info WHERE added_by >= pg_snapshot_xmax(pg_current_snapshot()))"
)
_FROM_ELSEWHERE: Final = (
    "UPDATE image_info SET added_by = pg_current_xact_id() WHERE added_by >= pg_snapshot_xmax(pg_current_snapshot())"
)
"""A table that was restored on another server has numbers of transactions that this one has not reached."""
_THERE: Final = (
    "SELECT to_regclass('image_info') IS NOT NULL, EXISTS (SELECT FROM pg_attribute"
    " WHERE attrelid = to_regclass('image_info') AND attname = 'added_by')"
)
_PROBE: Final = (
    "SELECT count(*), count(*) FILTER (WHERE p.name IS NULL OR (i.added_by, i.id) > (p.added_by, p.id))"
    " FROM image_info i LEFT JOIN velox_progress p ON p.name = %s"
)
_OLDEST: Final = (
    "SELECT 'pid ' || pid || ', ' || coalesce(nullif(application_name, ''), backend_type)"
    " || coalesce(' of ' || usename, '') || coalesce(', ' || state, ''),"
    " extract(epoch FROM now() - xact_start)::float8, format('SELECT pg_terminate_backend(%s)', pid)"
    " FROM pg_stat_activity WHERE backend_xid IS NOT NULL AND xact_start IS NOT NULL AND pid <> pg_backend_pid()"
    " UNION ALL SELECT 'prepared as ' || gid || ' by ' || owner, extract(epoch FROM now() - prepared)::float8,"
    " format('ROLLBACK PREPARED %L', gid) FROM pg_prepared_xacts ORDER BY 2 DESC LIMIT 1"
)
"""Only what has written something has a number, and holds up what came later; what reads does not."""
_HELD_UP: Final = "SELECT EXISTS (SELECT FROM image_info WHERE added_by >= pg_snapshot_xmin(pg_current_snapshot()))"
_OLDEST_NUMBER: Final = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text"
_A_WHILE: Final = "SELECT pg_sleep(1)"
_KNOWN: Final = (
    "SELECT DISTINCT ON (image_key) added_by::text::bigint, id, image_key, size, sha256 FROM image_info"
    " WHERE image_key = ANY(%s) ORDER BY image_key, id DESC"
)
_ADD: Final = (
    "INSERT INTO image_info (image_key, size, sha256) SELECT * FROM unnest(%s::text[], %s::bigint[], %s::text[])"
)


class PostgresKeys(Connecting[Connection]):
    """Reads in the order in which transactions added rows, and remembers how far it is, under a name."""

    def __init__(self, dsn: str, name: str, *, timeout_s: float) -> None:
        """Read the address.

        Raises:
            SettingsError: KEYS_URL is none.
        """
        super().__init__(check_dsn("KEYS_URL", dsn), errors=(psycopg.Error, OSError), explain=explain)
        self._dsn = dsn
        self._name = name
        self._timeout_s = timeout_s
        self._cluster = ""

    def open(self) -> None:
        """Connect, give the table the columns that tell rows' order, and listen for new ones."""
        self.close()
        with self._translated():
            self._connection = connect(self._dsn, self._timeout_s)
            migrate(self._connection, "keys")
            self._cluster = str(self._one("SELECT system_identifier FROM pg_control_system()")[0])
            if self._one(_IS_FROM_ELSEWHERE)[0]:
                self._connection.execute(_FROM_ELSEWHERE)
            self._connection.execute(f"LISTEN {_CHANGED}".encode())

    def place(self) -> Place:
        """Answer what was marked here; a mark that came with a table from another server counts for nothing."""
        with self._translated():
            query = "SELECT added_by::text::bigint, id FROM velox_progress WHERE name = %s AND cluster = %s"
            found = self._opened.execute(query, (self._name, self._cluster)).fetchone()
        return Place(*found) if found else START

    def read(self, after: Place, *, prefix: str, most: int) -> list[Row]:
        """Answer the next rows; those that came after the oldest transaction that is still open have to wait for it."""
        with self._translated():
            found = self._opened.execute(_READ, (str(after.added), after.id, prefix, most)).fetchall()
        return [_row(*each) for each in found]

    def mark(self, place: Place) -> None:
        """Remember how far the reader is."""
        with self._translated():
            self._opened.execute(_MARK, (self._name, self._cluster, str(place.added), place.id))

    def wait(self, timeout_s: float) -> None:
        """Wait for the server's word that rows were added: a hint, since it is lost with a connection."""
        with self._translated():
            for _ in self._opened.notifies(timeout=timeout_s, stop_after=1):
                pass

    def known(self, keys: Sequence[str]) -> dict[str, Row]:
        """Answer what is known of keys."""
        with self._translated():
            rows = [_row(*each) for each in self._opened.execute(_KNOWN, (list(keys),))]
        return {row.key: row for row in rows}

    def add(self, pointers: Sequence[Pointer]) -> None:
        """Add a row for each, all or none."""
        columns = (
            [pointer.key for pointer in pointers],
            [pointer.size_bytes for pointer in pointers],
            [pointer.sha256 or None for pointer in pointers],
        )
        with self._translated():
            self._opened.execute(_ADD, columns)

    def probe(self) -> str:
        """Say how many rows there are, and how many wait. Completing the table is left to the first start."""
        where = f"image_info of {self.address}"
        with self._translated(), connect(self._dsn, self._timeout_s) as connection:
            is_there, is_complete = connection.execute(_THERE).fetchone() or (False, False)
            if not is_there:
                return f"{where} is not there yet, and will be made"
            if not is_complete:
                (rows,) = connection.execute("SELECT count(*) FROM image_info").fetchone() or (0,)
                return f"{rows} rows in {where}, whose columns the first start completes"
            rows, waiting = connection.execute(_PROBE, (self._name,)).fetchone() or (0, 0)
        return f"{rows} rows in {where}, {waiting} not published yet"

    def held_up_by(self) -> Holder | None:
        """Name the oldest transaction that is open anywhere on the server and has written something.

        Who is not the server's monitor sees no other user's; then rows that go on waiting tell that there is one.
        """
        with self._translated(), connect(self._dsn, self._timeout_s) as connection:
            if found := connection.execute(_OLDEST).fetchone():
                return Holder(*found)
            _, is_complete = connection.execute(_THERE).fetchone() or (False, False)
            if not is_complete or connection.execute(_HELD_UP).fetchone() != (True,):
                return None
            before = connection.execute(_OLDEST_NUMBER).fetchone()
            connection.execute(_A_WHILE)
            if connection.execute(_OLDEST_NUMBER).fetchone() != before:
                return None
        return Holder("one that this user may not see: GRANT pg_read_all_stats to it to see which")

    def _one(self, query: str) -> tuple[object, ...]:
        return self._opened.execute(query.encode()).fetchone() or ("",)


def _row(added: int, identity: int, key: str, size: int | None, sha256: str | None) -> Row:
    return Row(Place(added, identity), key, size, sha256 or "")
