"""Secrets of single destinations in the store: what signs the webhooks that go there."""

from collections.abc import Iterable, Mapping

from sqlalchemy import Connection, case, delete, select

from velox.core.addresses import target
from velox.errors import ForbiddenAddressError
from velox.requests.database import Database
from velox.requests.rows import NOBODY, Request, Secret
from velox.requests.tables import secrets


class Secrets:
    """The secrets of one database. Thread-safe; every method raises ``StoreUnavailableError`` as the store's do.

    They are kept as they are, since who signs needs them.
    """

    def __init__(self, database: Database) -> None:
        """Use the store's own connections."""
        self._database = database

    def replace(self, owner: str, destination: str, secret: str, *, at: float, keep_s: float) -> Secret:
        """Have a destination's webhooks signed with this; the secret before it signs too, for ``keep_s`` more.

        The same secret again changes nothing. ``NOBODY`` as the owner means every owner who has none there.
        """
        insert = self._database.insert(secrets)
        came = insert.excluded
        is_same = secrets.c.secret == came.secret
        kept = {
            "before": case((is_same, secrets.c.before), else_=secrets.c.secret),
            "before_until": case((is_same, secrets.c.before_until), else_=came.before_until),
            "changed_at": case((is_same, secrets.c.changed_at), else_=came.changed_at),
        }
        row = {"owner": owner, "destination": destination, "secret": secret, "changed_at": at}
        statement = insert.on_conflict_do_update(
            index_elements=["owner", "destination"], set_={"secret": came.secret, **kept}
        )
        with self._database.writing() as transaction:
            transaction.execute(statement, [{**row, "before": "", "before_until": at + keep_s}])
            there = select(secrets).where(secrets.c.owner == owner, secrets.c.destination == destination)
            return Secret(**transaction.execute(there).mappings().one())

    def all(self, owner: str | None = None) -> list[Secret]:
        """Answer those of an owner, or of all, by destination."""
        query = select(secrets).order_by(secrets.c.destination, secrets.c.owner)
        if owner is not None:
            query = query.where(secrets.c.owner == owner)
        with self._database.reading() as transaction:
            return [Secret(**row) for row in transaction.execute(query).mappings()]

    def remove(self, owner: str, destination: str) -> bool:
        """Remove a destination's, so that it is signed for as all others; say whether there was one."""
        gone = delete(secrets).where(secrets.c.owner == owner, secrets.c.destination == destination)
        with self._database.writing() as transaction:
            return transaction.execute(gone).rowcount == 1


def told(transaction: Connection, requests: Iterable[Request], now: float) -> Mapping[str, str]:
    """Answer by the ids of requests what signs their webhooks now, where their destination has secrets of its own.

    As WEBHOOK_SECRET has them: one, or two with a comma between.
    """
    places = {each.id: (each.owner, place) for each in requests if (place := _origin(each)) is not None}
    if not places:
        return {}
    query = select(secrets).where(
        secrets.c.owner.in_({NOBODY, *(owner for owner, _ in places.values())}),
        secrets.c.destination.in_({place for _, place in places.values()}),
    )
    found = [Secret(**row) for row in transaction.execute(query).mappings()]
    rows = {(each.owner, each.destination): each.signing(now) for each in found}
    return {
        identity: text
        for identity, (owner, place) in places.items()
        if (text := rows.get((owner, place)) or rows.get((NOBODY, place)))
    }


def _origin(request: Request) -> str | None:
    try:
        return target(request.webhook_url or "").origin
    except ForbiddenAddressError:  # its delivery will be refused
        return None
