"""The store's calls: one class over PostgreSQL and SQLite."""

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, Connection, Executable, case, delete, func, literal_column, select, tuple_, update

from velox.core.states import State, WebhookState
from velox.records import Outcome
from velox.requests import columns, delivering, entering
from velox.requests.database import Database, Insert
from velox.requests.keys import Keys
from velox.requests.rows import Claim, Due, Entered, Finished, NewRequest, Postponed, Request, Tried
from velox.requests.secrets import Secrets
from velox.requests.tables import IS_PENDING, deliveries, requests, traces

_TOGETHER: Final = 5000
"""Ids in one query; SQLite takes 32766 parameters, PostgreSQL 65535."""
_REPLACED: Final = (
    *("state", "completed_at", "label", "score", "scores", "error_reason", "error_detail"),
    *("timings", "answered_by", "position"),
)
"""What an outcome replaces in the row that is there; the rest is as it was entered."""


class Page(NamedTuple):
    """Some of the requests that were searched for, newest first."""

    requests: list[Request]
    after: str | None
    """What to give ``search`` for the next page; None when there is none."""


class RequestStore:
    """Requests in a database. Thread-safe; each call is one transaction, and blocks: never call it on an event loop.

    Every method raises ``StoreUnavailableError`` when the database cannot be reached or does not answer within
    ``timeout_s``; then nothing of the call was done, or all of it, and calling again does no harm.
    """

    def __init__(self, url: str, *, timeout_s: float = 10.0) -> None:
        """Keep the address, as SQLAlchemy writes it: ``sqlite:///file.db``, ``postgresql://user@host/name``.

        Raises:
            SettingsError: it is none, or its driver is not installed.
        """
        self._database = Database(url, timeout_s)
        self.keys = Keys(self._database)
        self.secrets = Secrets(self._database)
        self._finish = _finishing(self._database.insert(requests))

    @property
    def address(self) -> str:
        """Name the database for people: without its password."""
        return self._database.address

    def open(self) -> None:
        """Connect, create what is missing, and prove that it can be written to. May be called again.

        Raises:
            SettingsError: the tables there are those of another version of Velox.
        """
        self._database.open()

    def probe(self) -> str:
        """Do what ``open`` does and take it back; answer what there is."""
        return self._database.probe()

    def close(self) -> None:
        """Close all connections. Safe twice."""
        self._database.close()

    def enter(self, new: Sequence[NewRequest]) -> list[Entered]:
        """Enter requests, in one statement where the database can; answer what became of each, in their order.

        One that was refused is pending again when the same one is entered, until its new ``expires_at``.
        """
        if not new:
            return []
        with self._database.writing() as transaction:
            return entering.enter(transaction, self._database.insert(requests), new)

    def refuse(self, ids: Sequence[str], reason: str, detail: str, at: float) -> None:
        """Have requests failed whose records Kafka did not take; one that has its result by now keeps it.

        No webhook is sent: the client hears of it at once.
        """
        change = update(requests).values(
            state=State.FAILED.value, completed_at=at, error_reason=reason, error_detail=columns.text(detail)
        )
        with self._database.writing() as transaction:
            for some in _portions(sorted(ids)):
                transaction.execute(change.where(requests.c.id.in_(some), IS_PENDING))

    def look(self, ids: Sequence[str]) -> dict[str, Request]:
        """Answer the requests with these ids, as far as there are any."""
        found: dict[str, Request] = {}
        if not ids:
            return found
        with self._database.reading() as transaction:
            for some in _portions(ids):
                rows = transaction.execute(select(requests).where(requests.c.id.in_(some))).mappings()
                found |= {row["id"]: columns.request(row) for row in rows}
        return found

    def finish(self, outcomes: Sequence[Outcome], *, model: str, ttl_s: float) -> list[Finished]:
        """Store outcomes; the same twice is stored once, the last of an id counts, a cancelled request stays cancelled.

        An id that nobody entered is entered by this, completed or failed (a record from elsewhere can be asked for,
        too), as one of ``model``. Where a webhook waits for the outcome, the same statement makes it due; one that is
        due or done already stays as it is. The row is kept for ``ttl_s`` from the outcome on, or longer. Answers what
        was stored; an outcome that comes again is among it again.
        """
        if not outcomes:
            return []
        with self._database.writing() as transaction:
            rows = columns.of_outcomes(outcomes, model=model, ttl_s=ttl_s)
            return [columns.finished(row) for row in transaction.execute(self._finish, rows).mappings()]

    def cancel(self, request_id: str, owner: str, at: float) -> Request | None:
        """Cancel a pending request, remove a final one; answer it as it was before, None when there is none.

        A cancelled one stays as it is until it expires: a late result would bring it back otherwise.
        """
        mine = select(requests).where(requests.c.id == request_id, requests.c.owner == owner)
        with self._database.writing() as transaction:
            row = transaction.execute(mine.with_for_update()).mappings().first()
            if row is None:
                return None
            before = columns.request(row)
            if before.state is State.PENDING:
                change = update(requests).where(requests.c.id == request_id)
                gone = {"state": State.CANCELLED.value, "webhook_state": WebhookState.NONE.value}
                transaction.execute(change.values(completed_at=at, **gone))
            elif before.state is not State.CANCELLED:
                _delete(transaction, [request_id])
        return before

    def search(
        self,
        owner: str,
        *,
        model: str | None = None,
        state: State | None = None,
        after: str | None = None,
        most: int = 50,
    ) -> Page:
        """Answer an owner's requests, newest first.

        Raises:
            ValueError: ``after`` is not what a page said.
        """
        query = select(requests).where(requests.c.owner == owner)
        if model is not None:
            query = query.where(requests.c.model == model)
        if state is not None:
            query = query.where(requests.c.state == state.value)
        if after is not None:
            query = query.where(tuple_(requests.c.created_at, requests.c.id) < tuple_(*_place(after)))
        query = query.order_by(requests.c.created_at.desc(), requests.c.id.desc()).limit(most + 1)
        with self._database.reading() as transaction:
            found = [columns.request(row) for row in transaction.execute(query).mappings()]
        last = found[most - 1] if len(found) > most else None
        return Page(found[:most], f"{last.created_at!r}:{last.id}" if last else None)

    def pending(self) -> dict[str, int]:
        """Count the pending requests of each model."""
        query = select(requests.c.model, func.count()).where(IS_PENDING).group_by(requests.c.model)
        with self._database.reading() as transaction:
            return dict(transaction.execute(query).all())

    def claim(self, most: int, *, lease_s: float, now: float) -> list[Claim]:
        """Lease deliveries that are due; nobody else gets them until the lease ends."""
        with self._database.reading() as transaction:
            if not delivering.has_due(transaction, now):
                return []
        with self._database.writing() as transaction:
            return delivering.claim(transaction, most, lease_s=lease_s, now=now)

    def tried(self, attempts: Sequence[Tried]) -> None:
        """Note what came of attempts, in the request and in its delivery log; of a request that is gone, nothing.

        Of two workers that try the same attempt, as the lease of the first has ended, the first one to say what came of
        it counts, or the one that has delivered.
        """
        if not attempts:
            return
        with self._database.writing() as transaction:
            delivering.tried(transaction, self._database.insert(deliveries), attempts)

    def postpone(self, postponed: Sequence[Postponed]) -> None:
        """Give claimed deliveries back without an attempt; who claims them later makes the one with the same number.

        One whose lease has ended, and which somebody else has claimed by now, stays theirs.
        """
        if not postponed:
            return
        with self._database.writing() as transaction:
            delivering.postpone(transaction, postponed)

    def due(self, now: float) -> Due:
        """Count the deliveries that are due, without those that somebody has claimed."""
        with self._database.reading() as transaction:
            return delivering.due(transaction, now)

    def deliveries(self, request_id: str) -> list[Tried]:
        """Answer the attempts to deliver a request's result, the first one first."""
        with self._database.reading() as transaction:
            return delivering.attempts(transaction, request_id)

    def redeliver(self, request_id: str, owner: str, at: float) -> bool:
        """Make the webhook of a completed or failed request due again, with all its rungs; say whether there is one."""
        with self._database.writing() as transaction:
            return delivering.redeliver(transaction, request_id, owner, at)

    def expire(self, now: float, *, most: int = 1000) -> int:
        """Remove requests whose time has passed, with their delivery logs; answer how many.

        Those whose webhook is due stay until it is delivered or given up.
        """
        chosen = (
            select(requests.c.id)
            .where(requests.c.expires_at <= now, requests.c.webhook_state != WebhookState.DUE.value)
            .order_by(requests.c.expires_at)
        )
        chosen = chosen.limit(most)
        with self._database.reading() as transaction:
            if transaction.execute(chosen.limit(1)).first() is None:
                return 0
        with self._database.writing() as transaction:
            ids = list(transaction.execute(chosen.with_for_update(skip_locked=True)).scalars())
            _delete(transaction, ids)
        return len(ids)

    def completed(self, prefix: str) -> Iterator[Request]:
        """Yield the requests that have a result and whose id begins with ``prefix``; needs no ``open``."""
        query = select(requests).where(requests.c.state == State.COMPLETED.value, _begins_with(prefix))
        with self._database.reading(as_it_is=True) as transaction:
            for row in transaction.execution_options(yield_per=_TOGETHER).execute(query).mappings():
                yield columns.request(row)

    def remove(self, prefix: str) -> None:
        """Remove the requests whose id begins with ``prefix``; an empty one means the tables, or the file."""
        if not prefix:
            self._database.remove()
            return
        with self._database.writing() as transaction:
            ids = list(transaction.execute(select(requests.c.id).where(_begins_with(prefix))).scalars())
            _delete(transaction, ids)


def _finishing(insert: Insert) -> Executable:
    """Write the statement that stores outcomes."""
    came = insert.excluded
    is_waited_for = requests.c.webhook_state == literal_column("'waiting'")
    changes: dict[str, ColumnElement[Any]] = {name: came[name] for name in _REPLACED}
    changes |= {
        "version": case((came.version != literal_column("''"), came.version), else_=requests.c.version),
        "expires_at": case((came.expires_at > requests.c.expires_at, came.expires_at), else_=requests.c.expires_at),
        "webhook_state": case((is_waited_for, literal_column("'due'")), else_=requests.c.webhook_state),
        "webhook_due_at": case((is_waited_for, came.completed_at), else_=requests.c.webhook_due_at),
    }
    statement = insert.on_conflict_do_update(
        index_elements=["id"], set_=changes, where=requests.c.state != literal_column("'cancelled'")
    )
    # RETURNING makes one statement of many rows, where SQLAlchemy would send them one by one.
    return statement.returning(requests.c.model, requests.c.state, requests.c.error_reason, requests.c.created_at)


def _begins_with(prefix: str) -> ColumnElement[bool]:
    """Compare the beginning, to the letter: LIKE and the order of texts go by each database's own idea of letters."""
    return func.substr(requests.c.id, 1, len(prefix)) == prefix


def _delete(transaction: Connection, ids: Sequence[str]) -> None:
    for some in _portions(ids):
        for beside in (deliveries, traces):
            transaction.execute(delete(beside).where(beside.c.request_id.in_(some)))
        transaction.execute(delete(requests).where(requests.c.id.in_(some)))


def _portions(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    return (ids[first : first + _TOGETHER] for first in range(0, len(ids), _TOGETHER))


def _place(after: str) -> tuple[float, str]:
    """Read where a page ended.

    Raises:
        ValueError: it is no such place.
    """
    created_at, colon, identity = after.partition(":")
    if not colon:
        msg = f"{after!r} is no place between two pages"
        raise ValueError(msg)
    return float(created_at), identity
