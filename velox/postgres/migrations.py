"""The tables in PostgreSQL, made and changed by numbered files of SQL, each applied once."""

from importlib.resources import files
from typing import Final, Literal

from velox.postgres.connection import Connection
from velox.postgres.schema import ensure_schema

_LOCK: Final = 7_260_163_817
"""Held meanwhile: of several processes that start at once, one does it, and the others find it done."""

_LONGEST_S: Final = 3600.0
"""An index of a large table takes minutes; a lock that others hold is not waited for that long."""

Subject = Literal["results", "keys"]


def migrate(connection: Connection, subject: Subject) -> None:
    """Apply the files of a subject that were not applied yet, all in one transaction.

    Nothing is changed, and no right to change anything is needed, where all were.

    Raises:
        psycopg.Error: the server refuses; nothing was applied.
    """
    if is_migrated(connection, subject):
        return
    with connection.patient(_LONGEST_S), connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        ensure_schema(connection)
        connection.execute(
            "CREATE TABLE IF NOT EXISTS velox_migrations"
            " (name text PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())"
        )
        there = _applied(connection)
        for name in names(subject):
            if name not in there:
                connection.execute((files(__package__) / "sql" / name).read_bytes())
                connection.execute("INSERT INTO velox_migrations (name) VALUES (%s)", (name,))


def is_migrated(connection: Connection, subject: Subject) -> bool:
    """Say whether all files of a subject were applied."""
    return _applied(connection).issuperset(names(subject))


def forget(connection: Connection, subject: Subject) -> None:
    """Take back that a subject's files were applied, for tables that were dropped."""
    if applied := sorted(_applied(connection) & set(names(subject))):
        connection.execute("DELETE FROM velox_migrations WHERE name = ANY(%s)", (applied,))


def names(subject: Subject) -> list[str]:
    """List the files of a subject in their order."""
    found = (file.name for file in (files(__package__) / "sql").iterdir())
    return sorted(name for name in found if name.startswith(f"{subject}_"))


def _applied(connection: Connection) -> set[str]:
    there = connection.execute("SELECT to_regclass('velox_migrations') IS NOT NULL").fetchone()
    if not there or not there[0]:
        return set()
    return {name for (name,) in connection.execute("SELECT name FROM velox_migrations")}
