"""API keys in the store: who may ask."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select, update

from velox.requests import columns
from velox.requests.database import Database
from velox.requests.rows import Key
from velox.requests.tables import keys


class Keys:
    """The keys of one database. Thread-safe; every method raises ``StoreUnavailableError`` as those of the store do."""

    def __init__(self, database: Database) -> None:
        """Use the store's own connections."""
        self._database = database

    def add(self, key: Key) -> None:
        """Add a key; the same one twice is one."""
        row = {
            "id": key.id,
            "name": columns.text(key.name),
            "hash": key.hash,
            "scopes": ",".join(sorted(key.scopes)),
            "rate": key.rate,
            "created_at": key.created_at,
            "revoked_at": key.revoked_at,
        }
        with self._database.writing() as transaction:
            transaction.execute(self._database.insert(keys).on_conflict_do_nothing(), [row])

    def find(self, ids: Sequence[str]) -> dict[str, Key]:
        """Answer the keys with these ids, revoked ones too, as far as there are any; at most 5,000 at once."""
        if not ids:
            return {}
        with self._database.reading() as transaction:
            found = transaction.execute(select(keys).where(keys.c.id.in_(set(ids)))).mappings()
            return {row["id"]: _key(row) for row in found}

    def all(self) -> list[Key]:
        """Answer all keys, the oldest first, with those that are revoked."""
        with self._database.reading() as transaction:
            found = transaction.execute(select(keys).order_by(keys.c.created_at, keys.c.id)).mappings()
            return [_key(row) for row in found]

    def are_there(self) -> bool:
        """Say whether anybody has a key that counts."""
        with self._database.reading() as transaction:
            return (
                transaction.execute(select(keys.c.id).where(keys.c.revoked_at.is_(None)).limit(1)).first() is not None
            )

    def revoke(self, identity: str, at: float) -> bool:
        """Have a key count no more, for ever; say whether it did until now."""
        change = update(keys).where(keys.c.id == identity, keys.c.revoked_at.is_(None)).values(revoked_at=at)
        with self._database.writing() as transaction:
            return transaction.execute(change).rowcount == 1


def _key(row: Mapping[Any, Any]) -> Key:
    return Key(**{**row, "scopes": frozenset(filter(None, row["scopes"].split(",")))})
