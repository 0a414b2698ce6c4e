"""A client can see what became of its webhook, and have it delivered again."""

import time

import pytest

from tests.gateways import FakeStore, Running
from velox.core.states import State, WebhookState
from velox.requests import Tried

URL = "https://hooks.example.com/a"


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch) -> Running:
    """A gateway whose store has one failed attempt in each log, and delivers again what has a result."""

    def deliveries(_store: FakeStore, request_id: str) -> list[Tried]:
        return [Tried(request_id, 1, 1_700_000_000.0, WebhookState.DUE, 1_700_000_005.0, 500, 0.25, "answered 500")]

    def redeliver(store: FakeStore, request_id: str, owner: str, at: float) -> bool:
        row = store.rows[request_id]
        if row.owner != owner or row.state is not State.COMPLETED:
            return False
        store.change(request_id, webhook_state=WebhookState.DUE, webhook_due_at=at, webhook_attempts=0)
        return True

    monkeypatch.setattr(FakeStore, "deliveries", deliveries)
    monkeypatch.setattr(FakeStore, "redeliver", redeliver)
    return Running()


def asked(running: Running, *, webhook_url: str | None = URL) -> str:
    body = {"model": "sentiment", "text": "I love it!", "webhook_url": webhook_url}
    return str(running.post("/v1/requests", json=body).json()["id"])


def test_every_attempt_is_told(running: Running) -> None:
    request_id = asked(running)
    running.store.change(
        request_id, state=State.COMPLETED, webhook_state=WebhookState.DUE, webhook_due_at=1_700_000_005.0
    )
    answer = running.get(f"/v1/requests/{request_id}/webhook")
    assert answer.status_code == 200
    assert answer.json() == {
        "url": URL,
        "state": "due",
        "due_at": "2023-11-14T22:13:25.000Z",
        "attempts": [
            {
                "attempt": 1,
                "at": "2023-11-14T22:13:20.000Z",
                "state": "due",
                "status": 500,
                "seconds": 0.25,
                "error": "answered 500",
            }
        ],
    }


def test_a_result_is_delivered_again_when_asked_to(running: Running) -> None:
    request_id = asked(running)
    running.store.change(request_id, state=State.COMPLETED, webhook_state=WebhookState.EXHAUSTED)
    before = time.time()
    answer = running.post(f"/v1/requests/{request_id}/webhook")
    assert (answer.status_code, answer.json()["state"]) == (202, "due")
    assert (running.store.rows[request_id].webhook_due_at or 0) >= before


@pytest.mark.parametrize(
    ("url", "state", "detail"),
    [
        (URL, State.PENDING, "no result yet"),
        (URL, State.CANCELLED, "is cancelled"),
        (None, State.COMPLETED, "no webhook_url"),
    ],
)
def test_what_cannot_be_delivered_is_a_conflict_that_says_why(
    running: Running, url: str | None, state: State, detail: str
) -> None:
    request_id = asked(running, webhook_url=url)
    running.store.change(request_id, state=state)
    answer = running.post(f"/v1/requests/{request_id}/webhook")
    assert answer.status_code == 409
    assert detail in answer.json()["detail"]


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_strangers_request_and_one_that_never_was_are_not_found(running: Running, method: str) -> None:
    request_id = asked(running)
    running.store.change(request_id, owner="somebody-else")
    for each in (request_id, "never-made", "§"):
        assert running.request(method, f"/v1/requests/{each}/webhook").status_code == 404
