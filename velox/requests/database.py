"""The database behind the store: its address, its connections, its transactions, and what its errors mean."""

import re
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, Engine, Table, create_engine, event, func, select, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.schema import DropSchema

from velox.core.deadline import Deadline
from velox.errors import SettingsError, StoreUnavailableError
from velox.folders import prove_writable
from velox.requests.tables import VERSION, meta, metadata, requests

_EXAMPLES: Final = "sqlite:///velox-requests.db, or postgresql://USER:PASSWORD@HOST/NAME"
Insert = sqlite.Insert | postgresql.Insert

_SCHEMA: Final = "schema"
_BUSY: Final = "SQLITE_BUSY"
_AGAIN_S: Final = 0.01
_NAME: Final = r"[a-z_][a-z0-9_]*"
_SIDE_FILES: Final = ("", "-wal", "-shm")
_LOCK: Final = text("SELECT pg_advisory_xact_lock(5062163817)")
"""Held while tables are created: PostgreSQL's IF NOT EXISTS is no help when two do so at once."""
_POOL: Final = 5
"""Connections that are kept; twice as many can be in use."""


class Database:
    """PostgreSQL or SQLite by one address. Thread-safe; a transaction belongs to the thread that began it."""

    def __init__(self, url: str, timeout_s: float) -> None:
        """Read the address; connect to nothing yet.

        Raises:
            SettingsError: it is none, or its driver is not installed.
        """
        address = _parsed(url)
        plain = address.set(drivername=address.get_backend_name(), query={})
        self.address = plain.render_as_string(hide_password=True)
        """For people: without its password."""
        self.is_sqlite = address.get_backend_name() == "sqlite"
        self._file = Path(address.database or "") if self.is_sqlite else None
        self._inode: tuple[int, int] | None = None
        self._opening = threading.RLock()
        self._timeout_s = timeout_s
        self._engine = _of_sqlite(address, timeout_s) if self.is_sqlite else _of_postgres(address, timeout_s)

    def open(self) -> None:
        """Create what is missing, and write to it.

        Raises:
            StoreUnavailableError: not now.
            SettingsError: its tables are those of another version of Velox.
        """
        with self._opening, self._translated():
            if self._file is not None:
                self._engine.dispose()
                self._file.parent.mkdir(parents=True, exist_ok=True)
            with self._begun(writes=True) as transaction:
                there = self._prepare(transaction)
            if self._file is not None:
                self._inode = _inode(self._file)
        if there != VERSION:
            self.close()
            msg = (
                f"REQUESTS_URL: the tables in {self.address} are of version {there}, and this Velox knows version "
                f"{VERSION}; run the Velox that made them, or name another database"
            )
            raise SettingsError(msg)

    def probe(self) -> str:
        """Do what ``open`` does and take it back; answer how many requests there are.

        Raises:
            StoreUnavailableError: not now.
        """
        with self._translated():
            if self._file is not None and not self._file.exists():
                return f"{prove_writable(self._file.parent)} takes files, and {self.address} is not there yet"
            with self._engine.connect().execution_options(velox_writes=True) as connection:
                transaction = connection.begin()
                there = self._prepare(connection)
                count = connection.execute(select(func.count()).select_from(requests)).scalar_one()
                transaction.rollback()
        return f"{count} requests in {self.address}, tables of version {there}"

    def remove(self) -> None:
        """Remove all that ``open`` makes, with the requests. Safe twice.

        Raises:
            StoreUnavailableError: not now.
        """
        with self._opening, self._translated():
            self._engine.dispose()
            if self._file is not None:
                for suffix in _SIDE_FILES:
                    self._file.with_name(self._file.name + suffix).unlink(missing_ok=True)
                return
            with self._begun(writes=True) as transaction:
                metadata.drop_all(transaction)
                _drop_own_schema(transaction)

    def close(self) -> None:
        """Close all connections that are not in use. Safe twice; the next transaction connects again."""
        self._engine.dispose()

    def insert(self, table: Table) -> Insert:
        """Begin the database's own INSERT, which knows what to do about a row that is there."""
        return sqlite.insert(table) if self.is_sqlite else postgresql.insert(table)

    @contextmanager
    def reading(self, *, as_it_is: bool = False) -> Iterator[Connection]:
        """Begin a transaction that writes nothing; a file that is missing is made, unless it is to be read as it is.

        Raises:
            StoreUnavailableError: the database is down, or too slow.
        """
        with self._translated():
            if not as_it_is:
                self._find_file()
            elif self._file is not None:
                self._file.stat()
            with self._begun(writes=False) as transaction:
                yield transaction

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Begin a transaction that is committed at the end, and rolled back after an error.

        Raises:
            StoreUnavailableError: the database is down, or too slow; it may have been committed all the same.
        """
        with self._translated():
            self._find_file()
            with self._begun(writes=True) as transaction:
                yield transaction

    @contextmanager
    def _begun(self, *, writes: bool) -> Iterator[Connection]:
        with self._engine.connect().execution_options(velox_writes=writes) as connection, connection.begin():
            yield connection

    def _prepare(self, transaction: Connection) -> str:
        """Create what is missing, and write; answer of which version the tables are. New ones are of ours."""
        if not self.is_sqlite:
            transaction.execute(_LOCK)
            _ensure_schema(transaction)
        metadata.create_all(transaction)
        insert = self.insert(meta).on_conflict_do_update(index_elements=["name"], set_={"value": meta.c.value})
        transaction.execute(insert.values(name=_SCHEMA, value=VERSION))
        return str(transaction.execute(select(meta.c.value).where(meta.c.name == _SCHEMA)).scalar_one())

    def _find_file(self) -> None:
        """Begin a new file when the old one has lost its name: what is written to that would be lost with it."""
        if self._file is not None and _inode(self._file) != self._inode:
            with self._opening:
                if _inode(self._file) != self._inode:
                    self.open()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (SQLAlchemyError, sqlite3.Error, OSError) as error:
            why = str(getattr(error, "orig", None) or error).strip() or type(error).__name__
            msg = f"cannot use {self.address}: {' '.join(why.split())}; {self._remedy(error)}"
            raise StoreUnavailableError(msg) from error

    def _remedy(self, error: Exception) -> str:
        code = getattr(getattr(error, "orig", error), "sqlite_errorname", "")
        if code.startswith(_BUSY):
            return f"another process has held its write lock for {self._timeout_s:g} s"
        if code.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
            return "the file is damaged or no SQLite database: move it away, or restore it, and it goes on"
        if self.is_sqlite:
            return "check REQUESTS_URL, its folder's permissions and free space"
        return "check REQUESTS_URL, and that the server runs and lets this user in"


def apart(url: str, name: str) -> str:
    """Name a place like that of an address, and near it, that is empty: another file, or a schema of its own."""
    address = _parsed(url)
    if address.get_backend_name() == "sqlite":
        file = Path(address.database or "")
        address = address.set(database=str(file.with_stem(f"{file.stem}.{name}")))
    else:
        address = address.update_query_dict({"options": f"-csearch_path={name}"})
    return address.set(drivername=address.get_backend_name()).render_as_string(hide_password=False)


def _ensure_schema(transaction: Connection) -> None:
    """Make the schema that the address names, if it is not there, within this transaction."""
    from velox.postgres.connection import Connection as Driver  # noqa: PLC0415 - not everybody has its library
    from velox.postgres.schema import ensure_schema  # noqa: PLC0415 - likewise

    driver = transaction.connection.driver_connection
    if not isinstance(driver, Driver):
        msg = f"{driver!r} is not of velox.requests.postgres"
        raise TypeError(msg)
    ensure_schema(driver)


def _drop_own_schema(transaction: Connection) -> None:
    """Drop the schema that the address names, if nothing is left in it."""
    named = str(transaction.execute(text("SHOW search_path")).scalar_one())
    if re.fullmatch(_NAME, named) and named != "public":
        with suppress(SQLAlchemyError), transaction.begin_nested():
            transaction.execute(DropSchema(named, if_exists=True))


def _parsed(url: str) -> URL:
    try:
        address = make_url(url)
    except (ArgumentError, ValueError) as error:
        # Without what was given: it may hold a password.
        msg = f"REQUESTS_URL is no address of a database; write {_EXAMPLES}"
        raise SettingsError(msg) from error
    kind = address.drivername.partition("+")[0]
    if kind in {"postgresql", "postgres"}:
        return address.set(drivername="postgresql+psycopg")
    if kind != "sqlite":
        msg = f"REQUESTS_URL: {kind} is no database that requests can be kept in; write {_EXAMPLES}"
        raise SettingsError(msg)
    if not address.database or address.database.startswith((":memory:", "file:")):
        msg = "REQUESTS_URL: requests that are to survive need a file; write sqlite:///velox-requests.db"
        raise SettingsError(msg)
    return address.set(drivername="sqlite+pysqlite")


def _of_sqlite(address: URL, timeout_s: float) -> Engine:
    engine = create_engine(
        address, connect_args={"timeout": timeout_s}, pool_size=_POOL, max_overflow=_POOL, pool_timeout=timeout_s
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # transactions are begun below, for writing at once
        _log_ahead(connection, timeout_s)
        # Flush the log at every commit: an id is given out, or an offset committed, right after that.
        connection.execute("PRAGMA synchronous = FULL")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # A transaction that reads first and then wants to write is refused when another has written meanwhile.
        is_writing = connection.get_execution_options().get("velox_writes")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if is_writing else "BEGIN")

    return engine


def _log_ahead(connection: sqlite3.Connection, timeout_s: float) -> None:
    """Turn to WAL; SQLite refuses at once, instead of waiting, where another does so with the same new file."""
    until = Deadline(timeout_s)
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if until.has_passed() or not error.sqlite_errorname.startswith(_BUSY):
                raise
            time.sleep(_AGAIN_S)
        else:
            return


def _of_postgres(address: URL, timeout_s: float) -> Engine:
    try:
        from velox.requests.postgres import engine  # noqa: PLC0415 - SQLite does without its driver
    except ImportError as error:
        msg = f"REQUESTS_URL: {address.get_backend_name()} needs psycopg ({error}); run: pip install 'velox[gateway]'"
        raise SettingsError(msg) from error
    return engine(address, timeout_s)


def _inode(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
