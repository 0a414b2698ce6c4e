"""The outbox: which results are to be delivered, by whom, and what came of it."""

from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy import Connection, and_, bindparam, func, or_, select, update

from velox.core.states import State, WebhookState
from velox.requests import columns, secrets
from velox.requests.database import Insert
from velox.requests.rows import Claim, Due, Postponed, Tried
from velox.requests.tables import IS_DUE, deliveries, requests, traces


def has_due(transaction: Connection, now: float) -> bool:
    """Say whether a delivery is due; asked before ``claim``, which would keep others from writing for nothing."""
    found = select(requests.c.id).where(IS_DUE, requests.c.webhook_due_at <= now).limit(1)
    return transaction.execute(found).first() is not None


def claim(transaction: Connection, most: int, *, lease_s: float, now: float) -> list[Claim]:
    """Lease deliveries, the one that has waited longest first; those that others are leasing now are passed over."""
    chosen = (
        select(requests, traces.c.traceparent)
        .outerjoin(traces, traces.c.request_id == requests.c.id)
        .where(IS_DUE, requests.c.webhook_due_at <= now)
        .order_by(requests.c.webhook_due_at)
        .limit(most)
        .with_for_update(skip_locked=True, of=requests)
    )
    until = now + lease_s
    rows = [dict(row) for row in transaction.execute(chosen).mappings()]
    told = [row.pop("traceparent") or "" for row in rows]
    found = list(map(columns.request, rows))
    leased = update(requests).where(requests.c.id.in_([each.id for each in found]))
    transaction.execute(leased.values(webhook_due_at=until))
    signing = secrets.told(transaction, found, now)
    return [
        Claim(replace(each, webhook_due_at=until), each.webhook_attempts + 1, until, signing.get(each.id, ""), trace)
        for each, trace in zip(found, told, strict=True)
    ]


def tried(transaction: Connection, insert: Insert, attempts: Sequence[Tried]) -> None:
    """Note what came of attempts, with an ``insert`` into the log.

    The lease of a worker that was slow may have ended, and another's have begun: what it says of an attempt that was
    noted already changes the request no more, unless it has delivered.
    """
    ids = sorted({each.id for each in attempts})
    there = select(requests.c.id).where(requests.c.id.in_(ids)).order_by(requests.c.id).with_for_update()
    known = set(transaction.execute(there).scalars())
    noted = [each for each in attempts if each.id in known]
    if not noted:
        return
    transaction.execute(insert.on_conflict_do_nothing(), [columns.of_tried(each) for each in noted])
    change = (
        update(requests)
        .where(
            requests.c.id == bindparam("of"),
            IS_DUE,
            or_(requests.c.webhook_attempts < bindparam("number"), bindparam("into") == WebhookState.DELIVERED.value),
        )
        .values(webhook_state=bindparam("into"), webhook_due_at=bindparam("next"), webhook_attempts=bindparam("number"))
    )
    transaction.execute(
        change,
        [{"of": each.id, "number": each.attempt, "into": each.state.value, "next": each.due_at} for each in noted],
    )


def postpone(transaction: Connection, postponed: Sequence[Postponed]) -> None:
    """End leases early; the time until which one was leased tells it from another's."""
    change = (
        update(requests)
        .where(requests.c.id == bindparam("of"), IS_DUE, requests.c.webhook_due_at == bindparam("until"))
        .values(webhook_due_at=bindparam("next"))
    )
    in_order = sorted(postponed)
    transaction.execute(change, [{"of": each.id, "until": each.leased_until, "next": each.due_at} for each in in_order])


def due(transaction: Connection, now: float) -> Due:
    """Count what waits, and since when."""
    found = select(func.count(), func.min(requests.c.webhook_due_at)).where(IS_DUE, requests.c.webhook_due_at <= now)
    waiting, oldest_at = transaction.execute(found).one()
    return Due(waiting, oldest_at)


def attempts(transaction: Connection, request_id: str) -> list[Tried]:
    """Answer the log of one request, the first attempt first."""
    found = select(deliveries).where(deliveries.c.request_id == request_id)
    rows = transaction.execute(found.order_by(deliveries.c.at, deliveries.c.attempt)).mappings()
    return [columns.tried(row) for row in rows]


def redeliver(transaction: Connection, request_id: str, owner: str, at: float) -> bool:
    """Make the webhook of a request with an answer due, with all its rungs; say whether there is one."""
    change = (
        update(requests)
        .where(
            and_(requests.c.id == request_id, requests.c.owner == owner, requests.c.webhook_url.is_not(None)),
            requests.c.state.in_([State.COMPLETED.value, State.FAILED.value]),
        )
        .values(webhook_state=WebhookState.DUE.value, webhook_due_at=at, webhook_attempts=0)
    )
    return transaction.execute(change).rowcount > 0
