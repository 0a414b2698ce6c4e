"""The rows of the store as values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from velox.core.states import State, WebhookState

WebhookForm = Literal["plain", "v1"]
"""How a webhook is written: the four keys of the old API, or an event of the Standard Webhooks convention."""

NOBODY = "-"
"""The owner where there are no API keys."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRequest:
    """A request as a gateway enters it: pending."""

    id: str
    model: str
    owner: str = NOBODY
    """Id of the API key that it came with."""
    version: str = ""
    """Of the model, when the client asks for one."""
    fingerprint: str
    """SHA-256 of model, payload and options, in hexadecimal digits: the same question has the same."""
    created_at: float
    """Unix seconds, as are all times here."""
    expires_at: float
    deadline: float | None = None
    idempotency: str | None = None
    """The client's ``Idempotency-Key``; unique among its owner's requests."""
    webhook_url: str | None = None
    webhook_form: WebhookForm = "v1"
    trace: str = ""
    """The ``traceparent`` under which its webhook's spans come; empty = there are none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request as the store has it."""

    id: str
    model: str
    owner: str
    version: str
    """Of the model that answered; before that the one the client asked for, or empty."""
    state: State
    fingerprint: str
    created_at: float
    completed_at: float | None
    """When its result, its failure or its cancelling was known."""
    expires_at: float
    deadline: float | None
    idempotency: str | None
    label: str | None
    score: float | None
    scores: tuple[tuple[str, float], ...]
    class_ids: tuple[int, ...] = ()
    """The numbers of those labels in the model's own list; empty when nobody knows them."""
    error_reason: str | None
    error_detail: str | None
    timings: Mapping[str, Any] | None
    """``queued_s``, ``decoded_s``, ``inferred_s`` and ``batch_size``, as Timings has them."""
    answered_by: str | None
    """Name of the model that answered, which may say more than ``model``: lexicon_sentiment."""
    position: str | None
    """Of its record: topic-partition-offset."""
    webhook_url: str | None
    webhook_form: WebhookForm
    webhook_state: WebhookState
    webhook_attempts: int
    webhook_due_at: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """An API key as the store has it: enough to know it again, and not enough to use it."""

    id: str
    """The owner of the requests that come with it."""
    name: str
    """For people."""
    hash: str
    """SHA-256 of its text, in hexadecimal digits."""
    scopes: frozenset[str]
    """Some of ``velox.core.api_keys.SCOPES``."""
    rate: str = ""
    """As ``velox.core.rates`` reads it; empty = as often as it likes."""
    created_at: float
    revoked_at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """What signs the webhooks of one owner, or of all, to one destination."""

    owner: str
    """``NOBODY`` stands for all who have none there."""
    destination: str
    """Scheme, host and port, as ``velox.core.addresses`` writes an origin."""
    secret: str = field(repr=False)
    """As WEBHOOK_SECRET has one."""
    before: str = field(repr=False)
    """The one before it; empty when there was none."""
    before_until: float
    changed_at: float

    def signing(self, now: float) -> str:
        """Write what signs now: one, or two with a comma between."""
        return f"{self.secret},{self.before}" if self.before and now < self.before_until else self.secret


class Entered(NamedTuple):
    """What became of entering one request."""

    what: Literal["entered", "same", "conflict"]
    """``same``: its id, or its owner's idempotency key, is there with the same fingerprint; else it is a conflict."""
    request: Request
    """As it is in the store now."""


class Finished(NamedTuple):
    """A request whose outcome has just been stored."""

    model: str
    outcome: str
    """``completed``, ``failed`` or ``deadline_passed``."""
    created_at: float


class Claim(NamedTuple):
    """A delivery leased to one webhook worker."""

    request: Request
    attempt: int
    """The number of this one, from 1."""
    leased_until: float
    secret: str = ""
    """What signs it, as WEBHOOK_SECRET has it; empty = as all others."""
    trace: str = ""
    """As the request was entered with it."""


class Tried(NamedTuple):
    """What came of one attempt to deliver."""

    id: str
    """Of the request."""
    attempt: int
    at: float
    state: WebhookState
    """What it is in now: delivered, gone, exhausted, or due again."""
    due_at: float | None = None
    """When to try again, if it is due."""
    status: int | None = None
    """HTTP status of the answer, if one came."""
    seconds: float = 0.0
    error: str = ""
    """What went wrong, in a few words; empty when nothing did."""


class Postponed(NamedTuple):
    """A claimed delivery that is given back without an attempt."""

    id: str
    """Of the request."""
    leased_until: float
    """As its claim says."""
    due_at: float


class Due(NamedTuple):
    """The deliveries that are due and that nobody has claimed."""

    waiting: int
    oldest_at: float | None = None
    """Since when the one is due that has waited longest; None when there is none."""
