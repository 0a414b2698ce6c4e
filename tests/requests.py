"""Requests as the store answers them, for tests."""

import threading
from collections.abc import Sequence
from dataclasses import replace
from time import time
from typing import Any

from tests.results import make_result
from velox.core.states import State, WebhookState
from velox.errors import StoreUnavailableError
from velox.requests import Claim, Due, NewRequest, Postponed, Request, Tried
from velox.requests.rows import WebhookForm
from velox.requests.store import RequestStore


def make_request(identity: str = "r1", /, **changes: Any) -> Request:  # noqa: ANN401 - as varied as the fields
    """A completed request whose webhook is due; ``changes`` are other values of its fields."""
    values: dict[str, Any] = {
        "id": identity,
        "model": "sentiment",
        "owner": "-",
        "version": "2",
        "state": State.COMPLETED,
        "fingerprint": "f" * 64,
        "created_at": 1_700_000_000.25,
        "completed_at": 1_700_000_001.5,
        "expires_at": 1_700_086_400.0,
        "deadline": None,
        "idempotency": None,
        "label": "POSITIVE",
        "score": 0.9,
        "scores": (("POSITIVE", 0.9), ("NEGATIVE", 0.1)),
        "error_reason": None,
        "error_detail": None,
        "timings": {"queued_s": 0.5, "decoded_s": 0.001, "inferred_s": 0.02, "batch_size": 8},
        "answered_by": "distilbert",
        "position": "requests-0-1",
        "webhook_url": "http://127.0.0.1/hook",
        "webhook_form": "v1",
        "webhook_state": WebhookState.DUE,
        "webhook_attempts": 0,
        "webhook_due_at": 1_700_000_001.5,
    }
    return Request(**(values | changes))


class MemoryOutbox:
    """The store as a webhook worker sees it, in memory; ``is_down`` makes every call fail."""

    def __init__(self, *requests: Request) -> None:
        self.rows = {request.id: request for request in requests}
        self.log: list[Tried] = []
        self.calls: list[str] = []
        self.is_down = False
        self._lock = threading.Lock()

    def claim(self, most: int, *, lease_s: float, now: float) -> list[Claim]:
        with self._called("claim"):
            claims = []
            due = [each for each in self.rows.values() if _is_due(each, now)]
            for request in sorted(due, key=lambda each: each.webhook_due_at or 0.0)[:most]:
                self.rows[request.id] = replace(request, webhook_due_at=now + lease_s)
                claims.append(Claim(request, request.webhook_attempts + 1, now + lease_s))
            return claims

    def tried(self, attempts: Sequence[Tried]) -> None:
        with self._called("tried"):
            for each in attempts:
                self.log.append(each)
                self.rows[each.id] = replace(
                    self.rows[each.id],
                    webhook_state=each.state,
                    webhook_attempts=each.attempt,
                    webhook_due_at=each.due_at,
                )

    def postpone(self, postponed: Sequence[Postponed]) -> None:
        with self._called("postpone"):
            for each in postponed:
                self.rows[each.id] = replace(self.rows[each.id], webhook_due_at=each.due_at)

    def due(self, now: float) -> Due:
        with self._called("due"):
            since = [each.webhook_due_at for each in self.rows.values() if _is_due(each, now)]
            return Due(len(since), min((at for at in since if at is not None), default=None))

    def _called(self, name: str) -> threading.Lock:
        self.calls.append(name)
        if self.is_down:
            raise StoreUnavailableError("the store is down")
        return self._lock


def _is_due(request: Request, now: float) -> bool:
    at = request.webhook_due_at
    return request.webhook_state is WebhookState.DUE and at is not None and at <= now


def answered(store: RequestStore, *hooks: tuple[str, str], form: WebhookForm = "v1") -> None:
    """Enter requests with these ids and webhooks, and have them answered: their webhooks are due."""
    now = time()
    new = [
        NewRequest(
            id=identity,
            model="sentiment",
            fingerprint="f",
            created_at=now,
            expires_at=now + 3600,
            webhook_url=url,
            webhook_form=form,
        )
        for identity, url in hooks
    ]
    store.enter(new)
    results = [replace(make_result(record_id=each.id, produced_at=now), predicted_at=now) for each in new]
    store.finish(results, model="sentiment", ttl_s=3600)
