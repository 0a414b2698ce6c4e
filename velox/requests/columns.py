"""Between the rows of the tables and the values of the code. Pure."""

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from velox.core.states import State, WebhookState
from velox.errors import Reason
from velox.records import Failure, Outcome, Prediction, Result
from velox.requests.rows import NOBODY, Finished, NewRequest, Request, Tried

Row = dict[str, Any]
"""The columns of a row by their names."""


def of_new(new: NewRequest) -> Row:
    """Write a request as it is entered: pending, its webhook waiting if there is one."""
    return {
        **_blank(new.id, new.model),
        "owner": new.owner,
        "version": text(new.version),
        "fingerprint": new.fingerprint,
        "created_at": new.created_at,
        "expires_at": new.expires_at,
        "deadline": new.deadline,
        "idempotency": new.idempotency,
        "webhook_url": new.webhook_url,
        "webhook_form": new.webhook_form,
        "webhook_state": (WebhookState.WAITING if new.webhook_url else WebhookState.NONE).value,
    }


def of_outcomes(outcomes: Iterable[Outcome], *, model: str, ttl_s: float) -> list[Row]:
    """Write what became of records, one row an id: its last outcome, in the order of the ids.

    All writers take rows in that order, so that none waits for another that waits for it.
    """
    last = {outcome.id: outcome for outcome in outcomes}
    return [_of_outcome(last[identity], model, ttl_s) for identity in sorted(last)]


def _of_outcome(outcome: Outcome, model: str, ttl_s: float) -> Row:
    at = outcome.predicted_at if isinstance(outcome, Result) else outcome.at
    made = outcome.record.produced_at
    return {
        **_blank(outcome.id, model),
        "created_at": made if 0 < made < at else at,
        "completed_at": at,
        "expires_at": at + ttl_s,
        "position": str(outcome.record.position),
        **(_failed(outcome) if isinstance(outcome, Failure) else _answered(outcome)),
    }


def _failed(failure: Failure) -> Row:
    return {"state": State.FAILED.value, "error_reason": failure.reason.value, "error_detail": text(failure.detail)}


def _answered(result: Result) -> Row:
    prediction = result.prediction
    return {
        "state": State.COMPLETED.value,
        "version": text(result.model.version),
        "answered_by": text(result.model.name),
        "label": text(prediction.label),
        "score": _number(prediction.confidence),
        "scores": _scores(prediction, result.model.labels),
        "timings": {name: _number(value) for name, value in result.timings._asdict().items()}
        if result.timings
        else None,
    }


def _blank(identity: str, model: str) -> Row:
    """Fill in every column, since rows that are written together have the same; what stays so is nobody's yet."""
    return {
        "id": identity,
        "model": text(model),
        "owner": NOBODY,
        "version": "",
        "state": State.PENDING.value,
        "fingerprint": "",
        "created_at": 0.0,
        "completed_at": None,
        "expires_at": 0.0,
        "deadline": None,
        "idempotency": None,
        "label": None,
        "score": None,
        "scores": None,
        "error_reason": None,
        "error_detail": None,
        "timings": None,
        "answered_by": None,
        "position": None,
        "webhook_url": None,
        "webhook_form": "v1",
        "webhook_state": WebhookState.NONE.value,
        "webhook_attempts": 0,
        "webhook_due_at": None,
    }


def request(row: Mapping[Any, Any]) -> Request:
    """Read a row of ``requests``."""
    return Request(
        **{
            **row,
            "state": State(row["state"]),
            "scores": tuple((label, score) for label, score, _number in row["scores"] or ()),
            "class_ids": _class_ids(row["scores"] or ()),
            "webhook_state": WebhookState(row["webhook_state"]),
        }
    )


def finished(row: Mapping[Any, Any]) -> Finished:
    """Read what is told of a row whose outcome was stored."""
    is_late = row["error_reason"] == Reason.DEADLINE_PASSED.value
    return Finished(row["model"], Reason.DEADLINE_PASSED.value if is_late else row["state"], row["created_at"])


def of_tried(tried: Tried) -> Row:
    """Write an attempt to deliver."""
    row = tried._asdict()
    return {"request_id": row.pop("id"), **row, "state": tried.state.value, "error": text(tried.error)}


def tried(row: Mapping[Any, Any]) -> Tried:
    """Read a row of ``deliveries``."""
    known = {name: value for name, value in row.items() if name != "request_id"}
    return Tried(**{**known, "id": row["request_id"], "state": WebhookState(row["state"])})


def distinct(requests: Sequence[NewRequest]) -> list[NewRequest]:
    """Leave out requests whose id or idempotency key an earlier one has.

    The rest is in the order of keys and ids, which is the same for all who enter: so that none waits for another that
    waits for it.
    """
    ids: set[str] = set()
    keys: set[tuple[str, str]] = set()
    kept: list[NewRequest] = []
    for new in requests:
        key = (new.owner, new.idempotency) if new.idempotency is not None else None
        if new.id in ids or key in keys:
            continue
        ids.add(new.id)
        if key:
            keys.add(key)
        kept.append(new)
    return sorted(kept, key=lambda new: (new.owner, new.idempotency or "", new.id))


def text(value: str) -> str:
    r"""Write a text as every database takes it: without NUL, and without half of a surrogate pair (``"\ud800"``)."""
    return value.encode("utf-8", errors="replace").decode("utf-8").replace("\0", "\ufffd")


def _scores(prediction: Prediction, labels: tuple[str, ...]) -> list[list[Any]] | None:
    """Write labels with their scores, and with their numbers in the model's list."""
    numbers = _numbers(labels)
    return [[text(label), _number(score), numbers.get(label)] for label, score in prediction.scores] or None


@lru_cache(maxsize=4)
def _numbers(labels: tuple[str, ...]) -> Mapping[str, int]:
    return {label: number for number, label in enumerate(labels)}


def _class_ids(scores: Sequence[Sequence[Any]]) -> tuple[int, ...]:
    """Read the numbers of the labels; none when one of them has none."""
    numbers = tuple(number for _label, _score, number in scores)
    return () if None in numbers else numbers


def _number(value: float) -> float | None:
    """Write a number as JSON has it: NaN and the infinite are none."""
    return value if math.isfinite(value) else None
