"""A schema of one's own: all tables in a place that can be removed as a whole."""

import re
from typing import Final

from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from velox.postgres.connection import Connection

_NAME: Final = re.compile(r"[a-z_][a-z0-9_]*")


def apart(dsn: str, name: str) -> str:
    """Answer an address of the same database, with tables in the schema ``name``: small letters, digits and ``_``."""
    options = str(conninfo_to_dict(dsn).get("options") or "")
    return make_conninfo(dsn, options=f"{options} -csearch_path={name}".strip())


def ensure_schema(connection: Connection) -> None:
    """Make the schema that the address names, if it is not there."""
    there, named = _asked_for(connection)
    if there is None and _NAME.fullmatch(named):
        connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(named)))


def drop_schema(connection: Connection) -> bool:
    """Drop the schema that the address names, with all that is in it; say whether it names one."""
    named = _asked_for(connection)[1]
    if not _NAME.fullmatch(named) or named == "public":
        return False
    connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(named)))
    return True


def _asked_for(connection: Connection) -> tuple[str | None, str]:
    row = connection.execute("SELECT current_schema(), current_setting('search_path')").fetchone()
    return row or (None, "")
