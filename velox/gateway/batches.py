"""``POST /v1/batches``: up to a thousand requests as JSON Lines, answered line by line."""

import json
from http import HTTPStatus
from typing import Any, Final

from fastapi import APIRouter, Request, Response
from pydantic import ValidationError

from velox.errors import VeloxError
from velox.gateway import problems, questions
from velox.gateway.access import Submitter, caller_of
from velox.gateway.parts import Gateway, Here
from velox.gateway.problems import Problem, unprocessable
from velox.gateway.schemas import NewRequest
from velox.gateway.submitting import Question
from velox.gateway.v1 import problems as described
from velox.requests import rows

router = APIRouter(prefix="/v1", tags=["v1"])

JSON_LINES: Final = "application/x-ndjson"
MOST_LINES: Final = 1000

_BODY: Final = {
    "requestBody": {
        "required": True,
        "content": {
            JSON_LINES: {"schema": {"type": "string", "description": "A request, as of POST /v1/requests, a line."}}
        },
    }
}


@router.post(
    "/batches",
    response_class=Response,
    responses={200: {"content": {JSON_LINES: {}}}, **described(413, 422)},
    openapi_extra=_BODY,
)
async def submit(request: Request, gateway: Here, owner: Submitter) -> Response:
    """Ask much at once: one line for each request, and one answer for each line, in their order.

    An answer has the `id` and `status` 202 (200 when its result is there already), or the problem's details, with
    `retry_after_s` where the same line may be accepted later. Each line stands for itself: those that are accepted stay
    accepted whatever becomes of the others. Each counts as a request for the rate of the API key.
    """
    lines = [line for line in (await request.body()).splitlines() if line.strip()]
    if not 1 <= len(lines) <= MOST_LINES:
        raise unprocessable(f"{len(lines)} lines: a batch has 1 to {MOST_LINES}")
    caller_of(request).take(len(lines) - 1)
    read = [_read(gateway, line, owner) for line in lines]
    submitted = iter(await gateway.submitting.submit_all([each for each in read if isinstance(each, Question)]))
    answers = (_answer(next(submitted) if isinstance(each, Question) else each) for each in read)
    content = "".join(json.dumps({"line": number} | each) + "\n" for number, each in enumerate(answers, start=1))
    return Response(content, media_type=JSON_LINES)


def _read(gateway: Gateway, line: bytes, owner: str) -> Question | VeloxError | Problem:
    try:
        return questions.checked(gateway, NewRequest.model_validate_json(line), owner=owner)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)
        where = "; ".join(f"{'.'.join(map(str, each['loc'])) or 'line'}: {each['msg']}" for each in found)
        return unprocessable(where)
    except (VeloxError, Problem) as error:
        return error


def _answer(became: rows.Request | VeloxError | Problem) -> dict[str, Any]:
    if isinstance(became, rows.Request):
        is_new = became.completed_at is None
        return {"id": became.id, "status": int(HTTPStatus.ACCEPTED if is_new else HTTPStatus.OK)}
    problem = problems.of(became)
    wait_s = problem.headers.get("Retry-After")
    return problem.as_details() | ({} if wait_s is None else {"retry_after_s": int(wait_s)})
