"""PostgreSQL as the store uses it: connections on which nothing waits longer than the time limit."""

import math
from typing import Any, Final, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.pq import TransactionStatus
from sqlalchemy import URL, Engine, create_engine, event

_LATER_S: Final = 1.0
"""Given to a server, over its own limit for a statement, to say itself that this has passed."""
_POOL: Final = 5
"""Connections that are kept; twice as many can be in use."""
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


def engine(address: URL, timeout_s: float) -> Engine:
    """Make the engine of an address; it connects when first used."""
    made = create_engine(
        address,
        connect_args={"connect_timeout": max(2, math.ceil(timeout_s)), "application_name": "velox"}
        | dict(address.query),
        pool_size=_POOL,
        max_overflow=_POOL,
        pool_timeout=timeout_s,
        # A connection that the server has closed, as by a restart, is replaced before it is used.
        pool_pre_ping=True,
    )

    @event.listens_for(made, "do_connect")
    def connect(_dialect: object, _record: object, words: tuple[str, ...], options: dict[str, Any]) -> Connection:
        connection = Connection.connect(*words, **options)
        connection.longest_s = timeout_s + _LATER_S
        limit = f"{math.ceil(timeout_s * 1000)}"
        connection.autocommit = True
        for name in ("statement_timeout", "idle_in_transaction_session_timeout"):
            connection.execute("SELECT set_config(%s, %s, false)", (name, limit))
        connection.autocommit = False
        return connection

    return made
