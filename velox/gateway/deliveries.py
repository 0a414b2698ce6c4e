"""What became of a request's webhook, and having it delivered again: two routes of ``/v1``."""

import time
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter

from velox.core.states import FINAL, WebhookState
from velox.gateway.access import Admin, Reader
from velox.gateway.parts import Gateway, Here
from velox.gateway.problems import Problem, not_found
from velox.gateway.schemas import WebhookBody
from velox.gateway.v1 import problems
from velox.requests.bodies import iso
from velox.requests.rows import Request, Tried

router = APIRouter(prefix="/v1", tags=["v1"])


@router.get("/requests/{request_id}/webhook", response_model=WebhookBody, responses=problems(404, 503))
async def look(request_id: str, gateway: Here, owner: Reader) -> dict[str, Any]:
    """Ask what became of a request's webhook: every attempt to deliver it, and what came back."""
    return await _body(gateway, await _owned(gateway, request_id, owner))


@router.post(
    "/requests/{request_id}/webhook", status_code=202, response_model=WebhookBody, responses=problems(404, 409, 503)
)
async def redeliver(request_id: str, gateway: Here, owner: Admin) -> dict[str, Any]:
    """Have a result delivered again, whatever became of the webhook before; 409 when there is none to deliver."""
    request = await _owned(gateway, request_id, owner)
    if request.webhook_url is None:
        raise Problem(HTTPStatus.CONFLICT, "this request has no webhook_url")
    if not await gateway.on_store(lambda: gateway.store.redeliver(request_id, owner, time.time())):
        detail = "is cancelled" if request.state in FINAL else "has no result yet: it will be delivered when it has"
        raise Problem(HTTPStatus.CONFLICT, f"this request {detail}")
    return await _body(gateway, await _owned(gateway, request_id, owner))


async def _owned(gateway: Gateway, request_id: str, owner: str) -> Request:
    request = await gateway.owned(request_id, owner)
    if request is None:
        raise not_found(request_id)
    return request


async def _body(gateway: Gateway, request: Request) -> dict[str, Any]:
    attempts = await gateway.on_store(lambda: gateway.store.deliveries(request.id))
    is_due = request.webhook_state is WebhookState.DUE and request.webhook_due_at is not None
    return {
        "url": request.webhook_url,
        "state": request.webhook_state.value,
        "due_at": iso(request.webhook_due_at or 0.0) if is_due else None,
        "attempts": [_attempt(each) for each in attempts],
    }


def _attempt(tried: Tried) -> dict[str, Any]:
    return {
        "attempt": tried.attempt,
        "at": iso(tried.at),
        "state": tried.state.value,
        "status": tried.status,
        "seconds": round(tried.seconds, 3),
        "error": tried.error or None,
    }
