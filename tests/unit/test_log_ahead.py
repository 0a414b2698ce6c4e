"""Several processes may begin the same new file at once: SQLite refuses some of them, which is no outage."""

import sqlite3
from typing import cast

import pytest

from velox.requests.database import _log_ahead


class Refusing:
    """A connection that is refused so often."""

    def __init__(self, times: int, code: str = "SQLITE_BUSY") -> None:
        self.left = times
        self._code = code

    def execute(self, statement: str) -> None:
        assert statement == "PRAGMA journal_mode = WAL"
        if self.left:
            self.left -= 1
            error = sqlite3.OperationalError("database is locked")
            error.sqlite_errorname = self._code
            raise error


def turned(connection: Refusing, *, timeout_s: float) -> int:
    _log_ahead(cast("sqlite3.Connection", connection), timeout_s)
    return connection.left


def test_it_is_asked_again_until_it_turns() -> None:
    assert turned(Refusing(3), timeout_s=60) == 0


def test_but_no_longer_than_the_limit() -> None:
    with pytest.raises(sqlite3.OperationalError):
        turned(Refusing(1_000_000), timeout_s=0)


def test_another_error_is_one_at_once() -> None:
    refusing = Refusing(2, "SQLITE_IOERR")
    with pytest.raises(sqlite3.OperationalError):
        turned(refusing, timeout_s=60)
    assert refusing.left == 1
