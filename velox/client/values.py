"""What is asked of a gateway, and what it answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypedDict

from velox.core.states import FINAL, State


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A question to a model: exactly one of ``text`` and ``image``."""

    model: str
    text: str | None = None
    image: bytes | None = None
    """An image's file."""
    id: str | None = None
    """Your own: the same id with the same question is one request. None = one is made."""
    version: str | None = None
    """Of the model; None = whichever answers."""
    deadline_s: float | None = None
    """Seconds after which the answer is of no use: it is not computed any more, and the request fails."""
    webhook_url: str | None = None
    """Where the result is sent to."""


class Options(TypedDict, total=False):
    """A question's other fields, as keyword arguments; see `Question`."""

    text: str | None
    image: bytes | None
    id: str | None
    version: str | None
    deadline_s: float | None
    webhook_url: str | None


@dataclass(frozen=True, slots=True)
class Score:
    """A label with its probability, 0 to 1."""

    label: str
    score: float


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a request has failed; ``reason`` is one of a few words, ``detail`` a sentence or empty."""

    reason: str
    detail: str

    def __str__(self) -> str:
        """Read as one line."""
        return f"{self.reason}: {self.detail}" if self.detail else self.reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request as it was when the gateway answered. Times are aware, in UTC."""

    id: str
    model: str
    state: State
    created_at: datetime
    expires_at: datetime
    """When the gateway forgets it."""
    completed_at: datetime | None = None
    version: str | None = None
    label: str | None = None
    """The best one; None until it is completed."""
    score: float | None = None
    """Of that label, 0 to 1."""
    scores: Sequence[Score] = ()
    """The best first; not all models give more than one."""
    answered_by: str | None = None
    """What the model calls itself."""
    failure: Failure | None = None
    timings: Mapping[str, Any] = field(default_factory=dict)
    """Seconds, as far as they were measured: ``queued_s``, ``decoded_s``, ``inferred_s``; and ``batch_size``."""

    @property
    def has_ended(self) -> bool:
        """Say whether it changes no more."""
        return self.state in FINAL


@dataclass(frozen=True, slots=True)
class Page:
    """Some requests, newest first; give ``after`` for the next page. None = this is the last one."""

    requests: Sequence[Request]
    after: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model that is served."""

    name: str
    kind: str
    """What it reads: ``text`` or ``image``."""
    topic: str
    pending: int
    """Requests without a result."""
    state: str | None = None
    """``ready``, ``starting``, ``unready``, ``failing``, ``draining``; None where nobody reports it."""
    cause: str | None = None
    """Why it is not ready."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """A question of a batch that is safe; it has an answer already when it was asked before."""

    id: str
    has_ended: bool = False


@dataclass(frozen=True, slots=True)
class Refused:
    """A question of a batch that was not taken: HTTP's status, and why."""

    id: str
    """What it would have been called; ask again under this id and it is the same request."""
    status: int
    detail: str


@dataclass(frozen=True, slots=True)
class Webhook:
    """A webhook that was signed with your secret."""

    id: str
    """The same for every attempt to deliver it: a receiver that has seen it has nothing more to do."""
    body: Mapping[str, Any]
    """What was sent."""
    request: Request | None
    """How the request has ended; None for a request of the older API, whose body has a form of its own."""
