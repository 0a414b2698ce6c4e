"""The store's statements: one class over PostgreSQL and SQLite."""

from collections.abc import Sequence
from typing import NamedTuple

from velox.core.states import State
from velox.records import Outcome
from velox.requests.rows import Claim, Due, Entered, NewRequest, Postponed, Request, Tried


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
        """Keep the address, as SQLAlchemy writes it: ``sqlite:///file.db``, ``postgresql://user@host/name``."""

    def open(self) -> None:
        """Connect, create what is missing, and prove that it can be written to. May be called again."""
        raise NotImplementedError

    def close(self) -> None:
        """Close all connections. Safe twice."""
        raise NotImplementedError

    def enter(self, requests: Sequence[NewRequest]) -> list[Entered]:
        """Enter requests, in one statement where the database can; answer what became of each, in their order."""
        raise NotImplementedError

    def refuse(self, ids: Sequence[str], reason: str, detail: str, at: float) -> None:
        """Have requests failed whose records Kafka did not take; one that has its result by now keeps it."""
        raise NotImplementedError

    def look(self, ids: Sequence[str]) -> dict[str, Request]:
        """Answer the requests with these ids, as far as there are any."""
        raise NotImplementedError

    def finish(self, outcomes: Sequence[Outcome], *, model: str, ttl_s: float) -> None:
        """Store outcomes; the same twice is stored once, the last of an id counts, a cancelled request stays cancelled.

        An id that nobody entered is entered by this, completed or failed (a record from elsewhere can be asked for,
        too). Where a webhook waits for the outcome, the same statement makes it due; one that is due or done already
        stays as it is.
        """
        raise NotImplementedError

    def cancel(self, request_id: str, owner: str, at: float) -> Request | None:
        """Cancel a pending request, remove a final one; answer it as it was before, None when there is none."""
        raise NotImplementedError

    def search(
        self,
        owner: str,
        *,
        model: str | None = None,
        state: State | None = None,
        after: str | None = None,
        most: int = 50,
    ) -> Page:
        """Answer an owner's requests, newest first."""
        raise NotImplementedError

    def pending(self) -> dict[str, int]:
        """Count the pending requests of each model."""
        raise NotImplementedError

    def claim(self, most: int, *, lease_s: float, now: float) -> list[Claim]:
        """Lease deliveries that are due; nobody else gets them until the lease ends."""
        raise NotImplementedError

    def tried(self, deliveries: Sequence[Tried]) -> None:
        """Note what came of attempts, in the request and in its delivery log; of a request that is gone, nothing."""
        raise NotImplementedError

    def postpone(self, deliveries: Sequence[Postponed]) -> None:
        """Give claimed deliveries back without an attempt; who claims them later makes the one with the same number."""
        raise NotImplementedError

    def due(self, now: float) -> Due:
        """Count the deliveries that are due, without those that somebody has claimed."""
        raise NotImplementedError

    def deliveries(self, request_id: str) -> list[Tried]:
        """Answer the attempts to deliver a request's result, the first one first."""
        raise NotImplementedError

    def redeliver(self, request_id: str, owner: str, at: float) -> bool:
        """Make the webhook of a final request due again, with all its rungs; say whether there is one."""
        raise NotImplementedError

    def expire(self, now: float, *, most: int = 1000) -> int:
        """Remove requests whose time has passed, with their delivery logs; answer how many."""
        raise NotImplementedError
