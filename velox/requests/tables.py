"""The tables of the store, alike on PostgreSQL and SQLite."""

from typing import Final

from sqlalchemy import JSON, BigInteger, Column, Double, Index, MetaData, Table, Text, text

VERSION: Final = "1"
"""Of these tables; a change that other versions of Velox cannot live with raises it."""

metadata: Final = MetaData()

meta: Final = Table("meta", metadata, Column("name", Text, primary_key=True), Column("value", Text, nullable=False))
"""``schema`` = the version of the tables."""

requests: Final = Table(
    "requests",
    metadata,
    Column("id", Text, primary_key=True),
    Column("model", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("fingerprint", Text, nullable=False),
    # Times are Unix seconds, as everywhere: a Python float and a double are the same, to the last digit.
    Column("created_at", Double, nullable=False),
    Column("completed_at", Double),
    Column("expires_at", Double, nullable=False),
    Column("deadline", Double),
    Column("idempotency", Text),
    Column("label", Text),
    Column("score", Double),
    Column("scores", JSON(none_as_null=True)),
    Column("error_reason", Text),
    Column("error_detail", Text),
    Column("timings", JSON(none_as_null=True)),
    Column("answered_by", Text),
    Column("position", Text),
    Column("webhook_url", Text),
    Column("webhook_form", Text, nullable=False),
    Column("webhook_state", Text, nullable=False),
    Column("webhook_attempts", BigInteger, nullable=False),
    Column("webhook_due_at", Double),
    Index("requests_by_key", "owner", "idempotency", unique=True),
    Index("requests_by_owner", "owner", "created_at", "id"),
    Index("requests_by_expiry", "expires_at"),
)

IS_PENDING: Final = text("state = 'pending'")
"""Written out wherever a query is to use the index on it: a partial index is no help to a bound parameter."""
IS_DUE: Final = text("webhook_state = 'due'")

Index("requests_pending", requests.c.model, sqlite_where=IS_PENDING, postgresql_where=IS_PENDING)
Index("requests_due", requests.c.webhook_due_at, sqlite_where=IS_DUE, postgresql_where=IS_DUE)

deliveries: Final = Table(
    "deliveries",
    metadata,
    Column("request_id", Text, primary_key=True),
    Column("at", Double, primary_key=True),
    Column("attempt", BigInteger, primary_key=True),
    Column("state", Text, nullable=False),
    Column("due_at", Double),
    Column("status", BigInteger),
    Column("seconds", Double, nullable=False),
    Column("error", Text, nullable=False),
)
"""The log of attempts to deliver; it ends with its request."""

keys: Final = Table(
    "keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("hash", Text, nullable=False),
    Column("scopes", Text, nullable=False),
    Column("rate", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("revoked_at", Double),
)
"""API keys, without the keys. A revoked one stays, so that nobody gets its id, which owns requests."""

secrets: Final = Table(
    "secrets",
    metadata,
    Column("owner", Text, primary_key=True),
    Column("destination", Text, primary_key=True),
    Column("secret", Text, nullable=False),
    Column("before", Text, nullable=False),
    Column("before_until", Double, nullable=False),
    Column("changed_at", Double, nullable=False),
)
"""What signs webhooks to destinations that have secrets of their own. Who signs needs them as they are."""

traces: Final = Table(
    "traces",
    metadata,
    Column("request_id", Text, primary_key=True),
    Column("traceparent", Text, nullable=False),
)
"""The trace of each request whose webhook is to be told of in spans; it ends with its request."""
