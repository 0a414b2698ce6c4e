"""The API of the sentiment service: ``POST /predict`` and ``GET /predict/{id}``."""

from typing import Any, Final

from fastapi import APIRouter, Response

from velox.core.states import State
from velox.gateway import payloads
from velox.gateway.access import Reader, Submitter
from velox.gateway.costs import tell_costs
from velox.gateway.models import SENTIMENT
from velox.gateway.parts import Here
from velox.gateway.problems import not_found
from velox.gateway.schemas import Accepted, Detail, Pending, Prediction, PredictRequest
from velox.gateway.submitting import Question
from velox.requests.rows import Request

router = APIRouter(tags=["predict"])

_UNAVAILABLE: Final[dict[int | str, dict[str, Any]]] = {
    429: {"model": Detail, "description": "Too many requests are pending"},
    503: {"model": Detail, "description": "Kafka or the store does not answer"},
}


@router.post("/predict", status_code=202, response_model=Accepted, responses={413: {"model": Detail}, **_UNAVAILABLE})
async def submit(body: PredictRequest, gateway: Here, owner: Submitter) -> dict[str, Any]:
    """Have a text judged: answers as soon as it is safe in Kafka."""
    payload = payloads.text(body.text, gateway.settings.max_text_length)
    question = Question(model=gateway.model(SENTIMENT), payload=payload, owner=owner, id=body.request_id or "")
    request = await gateway.submitting.submit(question)
    return {"request_id": request.id, "status": "pending", "message": "Request enqueued for processing"}


@router.get(
    "/predict/{request_id}", response_model=Prediction | Pending, responses={404: {"model": Detail}, **_UNAVAILABLE}
)
async def result(request_id: str, gateway: Here, owner: Reader, response: Response) -> dict[str, Any]:
    """Ask for the result of a text."""
    request = await gateway.owned(request_id, owner)
    if request is None or request.state is State.CANCELLED:
        raise not_found(request_id)
    if request.state is State.PENDING:
        return {"request_id": request.id, "status": "pending"}
    tell_costs(request, response)
    return _prediction(request)


def _prediction(request: Request) -> dict[str, Any]:
    """Write a result. ``created_at`` is when the result was made, and ``inference_time_ms`` its batch's."""
    timings = request.timings or {}
    is_completed = request.state is State.COMPLETED
    return {
        "request_id": request.id,
        "label": request.label if is_completed else "ERROR",
        "score": round(request.score or 0.0, 6) if is_completed else 0.0,
        "model_name": request.answered_by or request.model,
        "inference_time_ms": round(1000 * (timings.get("inferred_s") or 0.0), 2),
        "status": request.state.value,
        "created_at": payloads.iso(request.completed_at or request.created_at),
    }
