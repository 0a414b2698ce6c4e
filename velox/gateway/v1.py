"""Our own API, ``/v1``: everything the others can, and waiting, streaming, batches, lists, deadlines."""

import re
from collections.abc import AsyncIterator
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent

from velox.core.states import FINAL, State
from velox.errors import StoreUnavailableError
from velox.gateway import questions
from velox.gateway.access import Reader, Submitter
from velox.gateway.costs import tell_costs
from velox.gateway.parts import Gateway, Here, until_disconnected
from velox.gateway.problems import PROBLEM, not_found, unprocessable
from velox.gateway.removing import remove
from velox.gateway.schemas import ModelList, NewRequest, ProblemDetails, RequestBody, RequestList
from velox.requests import rows
from velox.requests.bodies import request_body

router = APIRouter(prefix="/v1", tags=["v1"])

_DURATION: Final = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)(ms|s|m)?")
_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, None: 1.0}
_MOST_LISTED: Final = 200


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Describe for /docs what may go wrong."""
    return {status: {"model": ProblemDetails, "content": {PROBLEM: {}}} for status in statuses}


Wait = Annotated[
    str | None, Query(description="Wait for the result so long, as in `5s` or `500ms`; WAIT_MAX_S at most.")
]
Key = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=255,
        description="The same key again is the same request, whatever became of the first.",
    ),
]


@router.post("/requests", status_code=202, response_model=RequestBody, responses=problems(413, 422, 429, 503))
async def submit(
    body: NewRequest, gateway: Here, owner: Submitter, response: Response, idempotency_key: Key = None
) -> dict[str, Any]:
    """Ask a model: answers as soon as it is safe in Kafka. 200 when the same request has its result already."""
    question = questions.checked(gateway, body, owner=owner, idempotency=idempotency_key)
    request = await gateway.submitting.submit(question)
    response.headers["Location"] = f"/v1/requests/{request.id}"
    if request.state in FINAL:
        response.status_code = 200
        tell_costs(request, response)
    return request_body(request)


@router.get("/requests/{request_id}", response_model=RequestBody, responses=problems(404, 422, 503))
async def look(
    request_id: str, gateway: Here, owner: Reader, response: Response, request: Request, *, wait: Wait = None
) -> dict[str, Any]:
    """Ask for a request; with `wait`, as soon as it has its result, or as it is when the time is over."""
    asked = gateway.owned(request_id, owner, _seconds(wait, gateway))
    found = await (until_disconnected(request, asked) if wait else asked)
    if found is None:
        raise not_found(request_id)
    tell_costs(found, response)
    return request_body(found)


async def _present(request_id: str, gateway: Here, owner: Reader) -> rows.Request:
    """Look for a request before anything of the answer is sent."""
    request = await gateway.owned(request_id, owner)
    if request is None:
        raise not_found(request_id)
    return request


@router.get("/requests/{request_id}/events", response_class=EventSourceResponse, responses=problems(404, 503))
async def events(
    present: Annotated[rows.Request, Depends(_present)], gateway: Here, owner: Reader
) -> AsyncIterator[ServerSentEvent]:
    """Stream a request's states as server-sent events: the present one and, when it comes, the final one.

    The stream ends then, or after WAIT_MAX_S; a client that goes on waiting connects again.
    """
    yield ServerSentEvent(event=present.state.value, data=request_body(present))
    if present.state in FINAL:
        return
    try:
        later = await gateway.owned(present.id, owner, gateway.settings.wait_max_s)
    except StoreUnavailableError:  # whoever waits on connects again, and is told then
        return
    if later is not None and later.state in FINAL:
        yield ServerSentEvent(event=later.state.value, data=request_body(later))


@router.get("/requests", response_model=RequestList, responses=problems(422, 503))
async def search(
    gateway: Here,
    owner: Reader,
    *,
    model: str | None = None,
    state: State | None = None,
    after: Annotated[str | None, Query(max_length=200, pattern="^[!-~]*$")] = None,
    limit: Annotated[int, Query(ge=1, le=_MOST_LISTED)] = 50,
) -> dict[str, Any]:
    """List requests, newest first; `after` is what the page before answered."""
    found = gateway.model(model).name if model is not None else None
    try:
        page = await gateway.on_store(
            lambda: gateway.store.search(owner, model=found, state=state, after=after, most=limit)
        )
    except ValueError as error:
        raise unprocessable("after is what a page answered, and this is none; leave it out for the first") from error
    return {"requests": [request_body(request) for request in page.requests], "after": page.after}


@router.delete("/requests/{request_id}", response_model=RequestBody, responses=problems(404, 503))
async def delete(request_id: str, gateway: Here, owner: Submitter) -> dict[str, Any]:
    """Cancel a pending request (its result is dropped, though it may be computed), or remove one that has ended.

    Answers the request as it was before.
    """
    if await gateway.owned(request_id, owner) is None or (before := await remove(gateway, request_id, owner)) is None:
        raise not_found(request_id)
    return request_body(before)


@router.get("/models", response_model=ModelList, responses=problems(503))
async def models(gateway: Here, _owner: Reader) -> dict[str, Any]:
    """List the models, and how they are, as far as their consumers can tell this gateway."""
    pending = await gateway.on_store(gateway.store.pending)
    return {
        "models": [
            {
                "name": each.name,
                "kind": each.kind,
                "topic": each.topic,
                "pending": pending.get(each.name, 0),
                "state": each.state,
                "cause": each.cause or None,
            }
            for each in gateway.models.values()
        ]
    }


def _seconds(wait: str | None, gateway: Gateway) -> float:
    if wait is None:
        return 0.0
    match = _DURATION.fullmatch(wait)
    if match is None:
        raise unprocessable(f"wait={wait[:20]!r} is no time: write 5s, 500ms or 1m")
    return min(float(match[1]) * _UNITS[match[2]], gateway.settings.wait_max_s)
