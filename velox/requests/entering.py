"""How requests get into the table, and what becomes of those that are there already."""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import Connection, bindparam, delete, literal_column, select, tuple_, update
from sqlalchemy import insert as sql_insert

from velox.core.states import State
from velox.errors import StoreUnavailableError
from velox.requests import columns
from velox.requests.database import Insert
from velox.requests.rows import Entered, NewRequest, Request
from velox.requests.tables import requests as table
from velox.requests.tables import traces

_TRIES: Final = 3
"""A row that is in the way may be removed before it is looked at; hardly so often."""
_TOO_FAST: Final = "rows that are in the way are gone when they are looked at; try again"
_Key = tuple[str, str]


class _There:
    """The rows that are in the way of others."""

    def __init__(self) -> None:
        self.by_id: dict[str, Request] = {}
        self.by_key: dict[_Key, Request] = {}

    def add(self, request: Request) -> None:
        self.by_id[request.id] = request
        if request.idempotency is not None:
            self.by_key[request.owner, request.idempotency] = request

    def find(self, new: NewRequest) -> Request | None:
        """Answer the row with its owner's key, else the one with its id."""
        found = self.by_key.get((new.owner, new.idempotency)) if new.idempotency is not None else None
        return found or self.by_id.get(new.id)


def enter(transaction: Connection, insert: Insert, requests: Sequence[NewRequest]) -> list[Entered]:
    """Enter requests with the database's own ``insert``; answer what became of each, in their order.

    One whose record Kafka had not taken is pending again when the same one is entered.

    Raises:
        StoreUnavailableError: rows come and go too fast.
    """
    new = columns.distinct(requests)
    entered: dict[str, Request] = {}
    there = _There()
    for _ in range(_TRIES):
        entered |= _insert(transaction, insert, [each for each in new if there.find(each) is None])
        for row in (*entered.values(), *_look(transaction, [each for each in requests if each.id not in entered])):
            there.add(row)
        if all(there.find(each) for each in requests):
            break
    else:
        raise StoreUnavailableError(_TOO_FAST)
    for row in _revive(transaction, there, requests):
        there.add(row)
    first = {each.id: each for each in new if each.id in entered}
    return [_judge(each, there, is_entered=first.get(each.id) is each) for each in requests]


def _insert(transaction: Connection, insert: Insert, new: Sequence[NewRequest]) -> dict[str, Request]:
    """Insert those in whose way nothing is; answer them by id."""
    if not new:
        return {}
    rows = {each.id: columns.of_new(each) for each in new}
    statement = insert.on_conflict_do_nothing().returning(table.c.id)
    entered = set(transaction.execute(statement, list(rows.values())).scalars())
    if traced := [each for each in new if each.trace and each.id in entered]:
        # One that an older request of the same id has left, if another version of Velox removed that.
        transaction.execute(delete(traces).where(traces.c.request_id.in_([each.id for each in traced])))
        transaction.execute(sql_insert(traces), [{"request_id": each.id, "traceparent": each.trace} for each in traced])
    return {identity: columns.request(rows[identity]) for identity in entered}


def _look(transaction: Connection, new: Sequence[NewRequest]) -> list[Request]:
    """Answer the rows that have the id or the key of one."""
    keys = sorted({(each.owner, each.idempotency) for each in new if each.idempotency is not None})
    found: list[Request] = []
    for condition, values in (
        (table.c.id, sorted({each.id for each in new})),
        (tuple_(table.c.owner, table.c.idempotency), keys),
    ):
        if values:
            rows = transaction.execute(select(table).where(condition.in_(values))).mappings()
            found += [columns.request(row) for row in rows]
    return found


def _revive(transaction: Connection, there: _There, requests: Sequence[NewRequest]) -> list[Request]:
    """Have those pending again that failed without a record, and are asked for anew; answer them."""
    again = {
        found.id: new.expires_at
        for new in requests
        if (found := there.find(new)) is not None and _is_same(new, found) and is_refused(found)
    }
    if not again:
        return []
    statement = (
        update(table)
        .where(
            table.c.id == bindparam("of"),
            table.c.state == literal_column("'failed'"),
            table.c.position.is_(None),
        )
        .values(state=State.PENDING.value, completed_at=None, error_reason=None, error_detail=None)
        .values(expires_at=bindparam("until"))
    )
    transaction.execute(statement, [{"of": identity, "until": until} for identity, until in sorted(again.items())])
    rows = transaction.execute(select(table).where(table.c.id.in_(sorted(again)))).mappings()
    return [columns.request(row) for row in rows]


def is_refused(request: Request) -> bool:
    """Say whether Kafka did not take its record: what failed otherwise had one."""
    return request.state is State.FAILED and request.position is None


def _is_same(new: NewRequest, found: Request) -> bool:
    return (new.owner, new.fingerprint) == (found.owner, found.fingerprint)


def _judge(new: NewRequest, there: _There, *, is_entered: bool) -> Entered:
    if is_entered:
        return Entered("entered", there.by_id[new.id])
    found = there.find(new)
    if found is None:
        raise StoreUnavailableError(_TOO_FAST)
    return Entered("same" if _is_same(new, found) else "conflict", found)
