"""Connections to PostgreSQL on which nothing waits longer than the time limit, and what its errors mean."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, Self, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import TransactionStatus

from velox.errors import SettingsError

_LATER_S: Final = 1.0
"""Given to a server, over its own limit for a statement, to say itself that this has passed."""
_REFUSED: Final = ("22", "23")
"""Classes of errors that data earn by themselves: not of their type, or in breach of a constraint."""
Answer = TypeVar("Answer")


class Connection(psycopg.Connection[Any]):
    """One that is given up when the server answers nothing at all, as behind a network that has gone silent."""

    longest_s: float = 10.0

    def wait(self, gen: PQGen[Answer], interval: float = 0.1, timeout: float | None = None) -> Answer:
        """Wait as the driver does, but not for ever."""
        try:
            return super().wait(gen, interval, self.longest_s if timeout is None else timeout)
        except psycopg.OperationalError:
            if not self.closed and self.pgconn.transaction_status == TransactionStatus.ACTIVE:
                self.pgconn.finish()  # the answer may still come, and would be taken for that to the next statement
                msg = f"no answer within {self.longest_s:g} s"
                raise psycopg.OperationalError(msg) from None
            raise

    def limit(self, timeout_s: float) -> Self:
        """Have the server end what takes longer, and wait a little longer than that for it to say so."""
        self.longest_s = timeout_s + _LATER_S
        before, self.autocommit = self.autocommit, True
        for name in ("statement_timeout", "idle_in_transaction_session_timeout"):
            self.execute("SELECT set_config(%s, %s, false)", (name, f"{math.ceil(timeout_s * 1000)}"))
        self.autocommit = before
        return self

    @contextmanager
    def patient(self, longest_s: float) -> Iterator[None]:
        """Let statements take longer for a while; for locks they wait no longer than before."""
        usual_s = self.longest_s - _LATER_S
        before, self.autocommit = self.autocommit, True
        try:
            self.longest_s = longest_s + _LATER_S
            for name, limit_s in (("statement_timeout", longest_s), ("lock_timeout", usual_s)):
                self.execute("SELECT set_config(%s, %s, false)", (name, f"{math.ceil(limit_s * 1000)}"))
            yield
        finally:
            self.longest_s = usual_s + _LATER_S
            if not self.closed:
                for name, limit_s in (("statement_timeout", usual_s), ("lock_timeout", 0.0)):
                    self.execute("SELECT set_config(%s, %s, false)", (name, f"{math.ceil(limit_s * 1000)}"))
                self.autocommit = before


def connect(dsn: str, timeout_s: float) -> Connection:
    """Connect by an address or a list of ``name=value``; each statement is a transaction of its own.

    Raises:
        psycopg.Error: not now.
    """
    connection = Connection.connect(
        dsn, autocommit=True, connect_timeout=connect_timeout(timeout_s), application_name="velox"
    )
    try:
        return connection.limit(timeout_s)
    except BaseException:
        connection.close()
        raise


def connect_timeout(timeout_s: float) -> int:
    """Answer a limit as the driver takes it: whole seconds, two at least."""
    return max(2, math.ceil(timeout_s))


def check_dsn(name: str, dsn: str) -> str:
    """Read an address; answer it for people, without its password.

    Raises:
        SettingsError: it is none; what was given is not repeated, as it may hold a password.
    """
    try:
        parts = conninfo_to_dict(dsn)
    except psycopg.Error:
        msg = f"{name} is no address of a PostgreSQL database; write postgresql://USER:PASSWORD@HOST/NAME"
        raise SettingsError(msg) from None
    host = parts.get("host") or parts.get("hostaddr") or "localhost"
    port = f":{parts['port']}" if parts.get("port") else ""
    user = f"{parts['user']}@" if parts.get("user") else ""
    return f"postgresql://{user}{host}{port}/{parts.get('dbname') or parts.get('user') or ''}"


def is_about_data(error: psycopg.Error) -> bool:
    """Say whether the data are what is wrong: the same again would fail again, whatever is done about the server."""
    return (error.sqlstate or "")[:2] in _REFUSED


def explain(error: Exception) -> str:
    """Put an error in a line, with what to do about it."""
    why = " ".join(str(error).split()) or type(error).__name__
    state = (getattr(error, "sqlstate", None) or "")[:5]
    if state == "42501":
        return f"{why}; let this user do so, or have its tables made by one who may"
    if state.startswith("53"):
        return f"{why}; give the server more of it"
    return f"{why}; check that server and database are there and let this user in"
