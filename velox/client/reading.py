"""From what a gateway answers to values: pure, and strict about what it needs, not about what it does not know."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Any, Final, TypeVar

from velox.client.errors import GatewayError, UnreadableError, refusal
from velox.client.values import Accepted, Failure, Model, Page, Refused, Request, Score
from velox.core.states import State

Read = TypeVar("Read")
_SHOWN: Final = 200


@dataclass(frozen=True, slots=True)
class Answer:
    """A response, whole."""

    status: int
    headers: Mapping[str, str]
    """By their names in small letters."""
    body: bytes

    @property
    def is_refusal(self) -> bool:
        """Say whether it is anything but what was asked for."""
        return not HTTPStatus.OK <= self.status < HTTPStatus.MULTIPLE_CHOICES

    @property
    def retry_after_s(self) -> float | None:
        """Seconds to wait, where the gateway says so; a date counts as nothing said."""
        said = self.headers.get("retry-after", "")
        return float(said) if said.isascii() and said.isdecimal() else None


def problem(answer: Answer) -> GatewayError:
    """Read why the gateway has refused: problem details, the older API's ``detail``, or whatever else came."""
    try:
        said = json.loads(answer.body)
    except ValueError:
        said = None
    told = said if isinstance(said, dict) else {}
    errors = told.get("errors")
    detail = told.get("detail") or answer.body[:_SHOWN].decode(errors="replace") or "no reason was given"
    return refusal(
        answer.status,
        str(detail),
        errors=[each for each in errors if isinstance(each, dict)] if isinstance(errors, list) else (),
        retry_after_s=answer.retry_after_s,
    )


def parsed(text: bytes | str, read: Callable[[Any], Read]) -> Read:
    """Read JSON.

    Raises:
        UnreadableError: it is none.
    """
    try:
        said = json.loads(text)
    except ValueError as error:
        raise UnreadableError(f"no JSON came, but {text[:_SHOWN]!r}; is this the address of a gateway?") from error
    return read(said)


def request(said: Any) -> Request:  # noqa: ANN401 - JSON
    """Read a request.

    Raises:
        UnreadableError: it is none, or of a version that this one does not know.
    """
    return _read(said, _request)


def page(said: Any) -> Page:  # noqa: ANN401 - JSON
    """Read a page of requests."""
    return _read(said, lambda each: Page([_request(one) for one in each["requests"]], each["after"]))


def models(said: Any) -> list[Model]:  # noqa: ANN401 - JSON
    """Read the models that are served."""
    return _read(said, lambda each: [_model(one) for one in each["models"]])


def line(said: Any, identity: str) -> Accepted | Refused:  # noqa: ANN401 - JSON
    """Read the answer to one question of a batch, whose id is given."""
    return _read(said, lambda each: _line(each, identity))


def _read(said: Any, read: Callable[[Any], Read]) -> Read:  # noqa: ANN401 - JSON
    try:
        return read(said)
    except (LookupError, TypeError, ValueError) as error:
        msg = f"this is no answer that version 1 of the API gives ({type(error).__name__}: {error})"
        raise UnreadableError(f"{msg}: {str(said)[:_SHOWN]}") from error


def _request(said: Mapping[str, Any]) -> Request:
    error, completed_at = said["error"], said["completed_at"]
    return Request(
        id=said["id"],
        model=said["model"],
        state=State(said["state"]),
        created_at=datetime.fromisoformat(said["created_at"]),
        expires_at=datetime.fromisoformat(said["expires_at"]),
        completed_at=None if completed_at is None else datetime.fromisoformat(completed_at),
        version=said["version"],
        label=said["label"],
        score=said["score"],
        scores=tuple(Score(each["label"], each["score"]) for each in said["scores"]),
        answered_by=said["answered_by"],
        failure=None if error is None else Failure(error["reason"], error["detail"]),
        timings=said["timings"] or {},
    )


def _model(said: Mapping[str, Any]) -> Model:
    return Model(
        name=said["name"],
        kind=said["kind"],
        topic=said["topic"],
        pending=said["pending"],
        state=said.get("state"),
        cause=said.get("cause"),
    )


def _line(said: Mapping[str, Any], identity: str) -> Accepted | Refused:
    if said["status"] in {HTTPStatus.OK, HTTPStatus.ACCEPTED}:
        return Accepted(said["id"], said["status"] == HTTPStatus.OK)
    return Refused(identity, said["status"], said["detail"])
