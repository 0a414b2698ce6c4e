"""A gateway for tests: its parts in memory, or the application in this process."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar, cast

from httpx2 import ASGITransport, AsyncClient, Response

from velox.core.api_keys import make_key
from velox.core.states import FINAL, State, WebhookState
from velox.errors import BrokerUnavailableError, StoreUnavailableError
from velox.gateway.app import build, connect
from velox.gateway.models import served
from velox.kafka.asking import Answered, Asker
from velox.records import Headers
from velox.requests import Entered, NewRequest, Request
from velox.requests.keys import Keys
from velox.requests.rows import Key
from velox.requests.store import Page, RequestStore
from velox.settings import Settings

Answer = TypeVar("Answer")
Client = AsyncClient


class FakeKeys(Keys):
    """API keys in memory; away with their store."""

    def __init__(self, store: "FakeStore") -> None:
        self.store = store
        self.rows: dict[str, Key] = {}
        self.asked: list[str] = []

    def add(self, key: Key) -> None:
        self.rows[key.id] = key

    def find(self, ids: Sequence[str]) -> dict[str, Key]:
        self.store.called("find keys", len(ids))
        self.asked += ids
        return {identity: self.rows[identity] for identity in ids if identity in self.rows}

    def are_there(self) -> bool:
        self.store.called("are there keys", 1)
        return any(key.revoked_at is None for key in self.rows.values())

    def made(self, *scopes: str, rate: str = "") -> str:
        """Make a key with these scopes, and answer it as its owner has it."""
        text, kept = make_key()
        self.add(Key(id=kept.id, name="shop", hash=kept.hash, scopes=frozenset(scopes), rate=rate, created_at=1.0))
        return text

    def revoke(self, identity: str, at: float) -> bool:
        self.rows[identity] = replace(self.rows[identity], revoked_at=at)
        return True


class FakeStore(RequestStore):
    """Requests in memory; away when told so. What only workers and webhooks need is not there."""

    def __init__(self) -> None:
        super().__init__("sqlite:///never-opened.db")
        self.keys: FakeKeys = FakeKeys(self)
        self.rows: dict[str, Request] = {}
        self.is_away = False
        self.calls: list[tuple[str, int]] = []
        """What was called, about how many rows."""
        self.entered: list[NewRequest] = []

    def open(self) -> None:
        self.called("open", 1)

    def close(self) -> None:
        """Nothing is open."""

    def enter(self, requests: Sequence[NewRequest]) -> list[Entered]:
        self.called("enter", len(requests))
        self.entered += requests
        return [self._enter(new) for new in requests]

    def refuse(self, ids: Sequence[str], reason: str, detail: str, at: float) -> None:
        self.called("refuse", len(ids))
        for request_id in ids:
            if self.rows[request_id].state not in FINAL:
                self.change(request_id, state=State.FAILED, error_reason=reason, error_detail=detail, completed_at=at)

    def look(self, ids: Sequence[str]) -> dict[str, Request]:
        self.called("look", len(ids))
        return {request_id: self.rows[request_id] for request_id in ids if request_id in self.rows}

    def cancel(self, request_id: str, owner: str, at: float) -> Request | None:
        self.called("cancel", 1)
        before = self.rows.get(request_id)
        if before is None or before.owner != owner:
            return None
        if before.state is State.PENDING:
            self.change(request_id, state=State.CANCELLED, completed_at=at)
        elif before.state is not State.CANCELLED:
            del self.rows[request_id]
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
        self.called("search", most)
        if after == "no-page":
            msg = "no page said this"
            raise ValueError(msg)
        found = sorted((row for row in self.rows.values() if row.owner == owner), key=lambda row: row.id, reverse=True)
        found = [row for row in found if model in {None, row.model} and state in {None, row.state}]
        found = [row for row in found if after is None or row.id < after]
        return Page(found[:most], found[most - 1].id if len(found) > most else None)

    def pending(self) -> dict[str, int]:
        self.called("pending", 1)
        models = [row.model for row in self.rows.values() if row.state is State.PENDING]
        return {model: models.count(model) for model in set(models)}

    def expire(self, now: float, *, most: int = 1000) -> int:
        self.called("expire", most)
        return 0

    def answer(self, request_id: str, label: str = "POSITIVE", score: float = 0.98765432) -> None:
        """Have a worker answer it."""
        scores = ((label, score), ("NEGATIVE" if label == "POSITIVE" else "POSITIVE", 1 - score))
        self.change(
            request_id,
            state=State.COMPLETED,
            completed_at=time.time(),
            label=label,
            score=score,
            scores=scores,
            answered_by="distilbert",
            version="7",
            timings={"queued_s": 0.012, "decoded_s": 0.001, "inferred_s": 0.0345678, "batch_size": 4},
        )

    def change(self, request_id: str, **values: Any) -> None:  # noqa: ANN401 - as varied as the fields
        """Have a row say something else."""
        self.rows[request_id] = replace(self.rows[request_id], **values)

    def called(self, what: str, rows: int) -> None:
        """Note a call; it fails when the store is away."""
        self.calls.append((what, rows))
        if self.is_away:
            raise StoreUnavailableError("the database at db:5432 is away")

    def _enter(self, new: NewRequest) -> Entered:
        there = self.rows.get(new.id) or next(
            (
                row
                for row in self.rows.values()
                if new.idempotency and (row.owner, row.idempotency) == (new.owner, new.idempotency)
            ),
            None,
        )
        if there is not None and there.error_reason == "not_accepted" and there.fingerprint == new.fingerprint:
            self.change(there.id, state=State.PENDING, error_reason=None, error_detail=None, completed_at=None)
            there = self.rows[there.id]
        if there is not None:
            is_same = (there.owner, there.fingerprint) == (new.owner, new.fingerprint)
            return Entered("same" if is_same else "conflict", there)
        row = _row(new)
        self.rows[new.id] = row
        return Entered("entered", row)


def _row(new: NewRequest) -> Request:
    return Request(
        id=new.id,
        model=new.model,
        owner=new.owner,
        version=new.version,
        state=State.PENDING,
        fingerprint=new.fingerprint,
        created_at=new.created_at,
        completed_at=None,
        expires_at=new.expires_at,
        deadline=new.deadline,
        idempotency=new.idempotency,
        label=None,
        score=None,
        scores=(),
        error_reason=None,
        error_detail=None,
        timings=None,
        answered_by=None,
        position=None,
        webhook_url=new.webhook_url,
        webhook_form=new.webhook_form,
        webhook_state=WebhookState.WAITING if new.webhook_url else WebhookState.NONE,
        webhook_attempts=0,
        webhook_due_at=None,
    )


class FakeAsker:
    """Acknowledges at once what it is given, and keeps it; or fails as told."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, bytes, bytes, Mapping[str, bytes | None]]] = []
        """Topic, key, value and headers."""
        self.refusal: Exception | None = None
        """Raised in the place of an answer."""
        self.failure: BrokerUnavailableError | None = None
        """Answered in the place of an acknowledgement."""
        self.when_asked: Callable[[str], None] = lambda _request_id: None

    def ask(self, topic: str, *, key: bytes, value: bytes, headers: Headers, answered: Answered) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.asked.append((topic, key, value, dict(headers)))
        answered(self.failure)
        self.when_asked(key.decode())

    def check(self, _topic: str, _timeout_s: float) -> None:
        if self.failure is not None:
            raise self.failure

    @property
    def as_asker(self) -> Asker:
        return cast("Asker", self)


class Running:
    """The application with a store and a Kafka in memory; requests are answered in this process."""

    def __init__(self, **settings: Any) -> None:  # noqa: ANN401 - any setting
        self.store, self.asker = FakeStore(), FakeAsker()
        self.gateway = connect(Settings(**settings), self.store, self.asker.as_asker, served())
        self.app = build(self.gateway)

    def do(self, calls: Callable[["Client"], Awaitable[Answer]]) -> Answer:
        """Make calls, on a loop of their own."""

        async def with_client() -> Answer:
            async with Client(
                transport=ASGITransport(self.app, raise_app_exceptions=False), base_url="http://api"
            ) as c:
                return await calls(c)

        return asyncio.run(with_client())

    def request(self, method: str, path: str, **options: Any) -> Response:  # noqa: ANN401 - any of httpx2's
        """Make one call."""
        return self.do(lambda client: client.request(method, path, **options))

    def get(self, path: str, **options: Any) -> Response:  # noqa: ANN401
        return self.request("GET", path, **options)

    def post(self, path: str, **options: Any) -> Response:  # noqa: ANN401
        return self.request("POST", path, **options)

    def predicted(self, text: str = "I love it!") -> str:
        """Submit a text, and answer the id that it got."""
        return str(self.post("/predict", json={"text": text}).json()["request_id"])
