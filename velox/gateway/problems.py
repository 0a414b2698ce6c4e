"""What goes wrong for a client, and how it is told: problem details on /v1, a plain ``detail`` on the old paths."""

import json
import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import compile_path

from velox.core.text import printable
from velox.errors import BadRecordError, BrokerUnavailableError, Reason, StoreUnavailableError

log = logging.getLogger(__name__)

V1: Final = "/v1/"
PROBLEM: Final = "application/problem+json"
"""RFC 9457."""
_RETRY_AFTER_S: Final = 1
_TOO_LARGE: Final = frozenset({Reason.TOO_LARGE, Reason.IMAGE_TOO_LARGE})


class Problem(Exception):  # noqa: N818 - RFC 9457's word
    """A request that is refused: what the client is told."""

    def __init__(
        self,
        status: HTTPStatus,
        detail: str,
        *,
        retry_after_s: int | None = None,
        errors: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        """Keep the status and, in a sentence, what is wrong and what to do about it."""
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = {} if retry_after_s is None else {"Retry-After": str(retry_after_s)}
        self.errors = errors

    def as_details(self) -> dict[str, Any]:
        """Write the members of RFC 9457; ``errors`` is ours."""
        details = {
            "type": "about:blank",
            "title": self.status.phrase,
            "status": int(self.status),
            "detail": self.detail,
        }
        return {**details, "errors": list(self.errors)} if self.errors else details


def not_found(request_id: str) -> Problem:
    """Say that there is no such request, or none of this owner's, which sounds the same."""
    return Problem(HTTPStatus.NOT_FOUND, f"no request {printable(request_id)[:200]!r}: it was never made, or is over")


def unprocessable(detail: str, field: str = "") -> Problem:
    """Say what is wrong with what was sent, and in which field of the body."""
    errors = [{"loc": ["body", field] if field else ["body"], "msg": detail, "type": "value_error"}]
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, detail, errors=errors)


def of(error: Exception) -> Problem:
    """Say what an error of Velox means to a client; one that is nobody's to know is an internal one."""
    match error:
        case Problem():
            return error
        case BadRecordError(reason=reason) if reason in _TOO_LARGE:
            return Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, error.detail)
        case BadRecordError():
            return unprocessable(error.detail)
        case BrokerUnavailableError():
            detail = "Kafka does not take requests now; nothing was accepted, try again"
            return Problem(HTTPStatus.SERVICE_UNAVAILABLE, detail, retry_after_s=_RETRY_AFTER_S)
        case StoreUnavailableError():
            detail = "the store of requests does not answer now; try again"
            return Problem(HTTPStatus.SERVICE_UNAVAILABLE, detail, retry_after_s=_RETRY_AFTER_S)
    return Problem(HTTPStatus.INTERNAL_SERVER_ERROR, "something went wrong here; it was logged")


def answer(problem: Problem, path: str) -> Response:
    """Write the response in the form of the API that was asked."""
    if path.startswith(V1):
        return _json(problem.as_details(), problem, PROBLEM)
    return _json({"detail": list(problem.errors) or problem.detail}, problem, "application/json")


def handle(app: FastAPI) -> None:
    """Have the app tell all that goes wrong in this way."""
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _plain)
    for kind in (Problem, BadRecordError, BrokerUnavailableError, StoreUnavailableError, Exception):
        app.add_exception_handler(kind, _failed)


async def _failed(request: Request, error: Exception) -> Response:
    problem = of(error)
    if problem.status == HTTPStatus.SERVICE_UNAVAILABLE and not isinstance(error, Problem):
        log.warning("%s %s: %s", request.method, request.url.path, error)
    elif problem.status == HTTPStatus.INTERNAL_SERVER_ERROR:
        log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return answer(problem, request.url.path)


async def _invalid(request: Request, error: Exception) -> Response:
    """Leave out what was sent: it may be private, huge, or no text that can be written."""
    found = error.errors() if isinstance(error, RequestValidationError) else []
    errors = [{name: each[name] for name in ("type", "loc", "msg") if name in each} for each in found]
    where = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in errors)
    return answer(Problem(HTTPStatus.UNPROCESSABLE_ENTITY, where, errors=errors), request.url.path)


async def _plain(request: Request, error: Exception) -> Response:
    status, detail, headers = HTTPStatus.INTERNAL_SERVER_ERROR, "", {}
    if isinstance(error, HTTPException):
        status, detail, headers = HTTPStatus(error.status_code), error.detail, dict(error.headers or {})
    if status == HTTPStatus.BAD_REQUEST:  # a body that is no text, or no form: as one that is no JSON
        return answer(unprocessable(detail), request.url.path)
    if status == HTTPStatus.METHOD_NOT_ALLOWED and (methods := _methods(request)):
        headers["Allow"] = ", ".join(sorted(methods))  # before, the path's first route alone has said what it takes
    problem = Problem(status, detail)
    problem.headers.update(headers)
    return answer(problem, request.url.path)


def _methods(request: Request) -> set[str]:
    """Find what is described of this path."""
    described: Mapping[str, Mapping[str, Any]] = request.app.openapi()["paths"]
    fitting = (each for path, each in described.items() if compile_path(path)[0].fullmatch(request.url.path))
    return {method.upper() for each in fitting for method in each}


def _json(content: object, problem: Problem, media_type: str) -> Response:
    # Only ASCII: what a client sent may be in it, and not all of that can be written otherwise.
    return Response(json.dumps(content), problem.status, headers=problem.headers, media_type=media_type)
