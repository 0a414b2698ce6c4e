"""PostgreSQL as the store uses it: a pool of connections on which nothing waits longer than the time limit."""

from typing import Any, Final

from sqlalchemy import URL, Engine, create_engine, event

from velox.postgres.connection import Connection, connect_timeout

_POOL: Final = 5
"""Connections that are kept; twice as many can be in use."""


def engine(address: URL, timeout_s: float) -> Engine:
    """Make the engine of an address; it connects when first used."""
    made = create_engine(
        address,
        connect_args={"connect_timeout": connect_timeout(timeout_s), "application_name": "velox"} | dict(address.query),
        pool_size=_POOL,
        max_overflow=_POOL,
        pool_timeout=timeout_s,
        # A connection that the server has closed, as by a restart, is replaced before it is used.
        pool_pre_ping=True,
    )

    @event.listens_for(made, "do_connect")
    def connect(_dialect: object, _record: object, words: tuple[str, ...], options: dict[str, Any]) -> Connection:
        return Connection.connect(*words, **options).limit(timeout_s)

    return made
