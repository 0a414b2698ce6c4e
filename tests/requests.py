"""Requests as the store answers them, for tests."""

from typing import Any

from velox.core.states import State, WebhookState
from velox.requests import Request


def make_request(identity: str = "r1", **changes: Any) -> Request:  # noqa: ANN401 - as varied as the fields
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
