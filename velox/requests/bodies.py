"""How a request's result is written: the same for who asks for it and for who is sent it."""

from datetime import UTC, datetime
from typing import Any, Final

from velox.core.states import State
from velox.requests.rows import Request

TEXT_MODEL: Final = "text_processing"
"""The model of the old API for sentiment: its labels are in small letters, and have no numbers."""
MOST_PREDICTIONS: Final = 5
STATUSES: Final = {State.PENDING: "submitted", State.CANCELLED: "failed"}
"""What the old API calls a state, where that is not its name."""


def status(request: Request) -> str:
    """Say where a request stands in the words of the old API: submitted, completed or failed."""
    return STATUSES.get(request.state, request.state.value)


def result_body(request: Request) -> dict[str, Any]:
    """Write the old API's result, which is also its webhook: ``request_id``, ``status``, ``result`` and ``error``.

    ``result`` is None until the request is completed: then ``predictions``, the best first and five at most, and
    ``processing_time`` in seconds, which is None where nobody measured it. ``class_id`` is there where the number of
    the label is known. ``error`` is None unless the request has failed.
    """
    is_completed = request.state is State.COMPLETED
    return {
        "request_id": request.id,
        "status": status(request),
        "result": {"predictions": _predictions(request), "processing_time": processing_s(request)}
        if is_completed
        else None,
        "error": None if is_completed else error_text(request),
    }


def event_body(request: Request) -> dict[str, Any]:
    """Write the event of the Standard Webhooks convention that says how a request ended; the same each time."""
    return {
        "type": "request.completed" if request.state is State.COMPLETED else "request.failed",
        "timestamp": iso(request.completed_at or request.created_at),
        "data": request_body(request),
    }


def request_body(request: Request) -> dict[str, Any]:
    """Write a request with its answer as ``/v1`` does. Times are in ISO 8601, UTC; what is not known is None."""
    return {
        "id": request.id,
        "model": request.model,
        "version": request.version or None,
        "state": request.state.value,
        "label": request.label,
        "score": request.score,
        "scores": [{"label": label, "score": score} for label, score in request.scores],
        "answered_by": request.answered_by,
        "error": None
        if request.error_reason is None
        else {"reason": request.error_reason, "detail": request.error_detail or ""},
        "created_at": iso(request.created_at),
        "completed_at": None if request.completed_at is None else iso(request.completed_at),
        "expires_at": iso(request.expires_at),
        "timings": None if request.timings is None else dict(request.timings),
    }


def error_text(request: Request) -> str | None:
    """Say in one line why a request has failed; None while nothing is wrong with it."""
    if request.error_reason is None:
        return "cancelled" if request.state is State.CANCELLED else None
    return f"{request.error_reason}: {request.error_detail}" if request.error_detail else request.error_reason


def processing_s(request: Request) -> float | None:
    """Seconds that its batch took to be decoded and predicted, all its records together; None when nobody knows."""
    timings = request.timings or {}
    parts = [timings[name] for name in ("decoded_s", "inferred_s") if timings.get(name) is not None]
    return round(sum(parts), 6) if parts else None


def _predictions(request: Request) -> list[dict[str, Any]]:
    scores = request.scores
    if not scores and request.label is not None:
        scores = ((request.label, request.score or 0.0),)
    found = [{"label": label, "score": score} for label, score in scores[:MOST_PREDICTIONS]]
    if request.model == TEXT_MODEL:
        return [each | {"label": str(each["label"]).lower()} for each in found]
    numbers = request.class_ids if len(request.class_ids) == len(scores) else ()
    return [{"class_id": number, **each} for number, each in zip(numbers, found, strict=False)] or found


def iso(at: float) -> str:
    """Write Unix seconds in ISO 8601, UTC, to the millisecond."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
