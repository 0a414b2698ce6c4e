"""What the client raises.

VeloxError
└── ClientError
    ├── UnreachableError        nobody answered, or the connection broke
    ├── UnreadableError         what was answered is not the answer of a gateway
    ├── GatewayError            the gateway refused, and said why
    │   ├── InvalidRequestError     400, 409, 413, 415, 422: the same again would be refused again
    │   ├── AccessError             401, 403: a key is missing, or does not allow it
    │   ├── NotFoundError           404: no such request, or none of yours
    │   └── BusyError               429, 503: too much at present, or something the gateway needs is down
    ├── RequestFailedError      the request has ended without a prediction
    ├── WaitTimeoutError        the request has not ended in the time that was given
    └── WebhookError            a webhook is not what it says it is
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from velox.client.values import Request
from velox.errors import VeloxError


class ClientError(VeloxError):
    """Base of all that the client raises on purpose."""


class UnreachableError(ClientError):
    """Nobody answered, or the connection broke before the whole answer was there."""


class UnreadableError(ClientError):
    """What was answered is not the answer of a gateway: perhaps a proxy's, or that of a much newer version."""


class GatewayError(ClientError):
    """The gateway refused; ``status`` is HTTP's, ``detail`` says why, ``errors`` which fields are wrong."""

    def __init__(
        self, status: int, detail: str, *, errors: Sequence[Mapping[str, Any]] = (), retry_after_s: float | None = None
    ) -> None:
        """Keep what the gateway said; ``retry_after_s`` is None where it named no time."""
        super().__init__(f"{status}: {detail}")
        self.status = status
        self.detail = detail
        self.errors = errors
        self.retry_after_s = retry_after_s


class InvalidRequestError(GatewayError):
    """What was sent is wrong, too large, or contradicts what was sent before under the same id or key."""


class AccessError(GatewayError):
    """An API key is missing, or does not allow this."""


class NotFoundError(GatewayError):
    """There is no such request, or it is not yours, or its time is over."""


class BusyError(GatewayError):
    """There is too much to do at present, or something that the gateway needs is down; try again later."""


class RequestFailedError(ClientError):
    """A request has ended without a prediction: ``request`` says why."""

    def __init__(self, request: Request) -> None:
        """Keep the request."""
        why = f": {request.failure}" if request.failure else ""
        super().__init__(f"request {request.id} ended as {request.state}{why}")
        self.request = request


class WaitTimeoutError(ClientError):
    """A request had not ended in the time that was given; it may do so yet, so ask again."""

    def __init__(self, request_id: str, timeout_s: float) -> None:
        """Keep the id."""
        super().__init__(f"request {request_id} has not ended within {timeout_s:g} s; ask again, or give more time")
        self.request_id = request_id


class WebhookError(ClientError):
    """A webhook was not signed with your secret, was changed on its way, or is too old: answer 400 and drop it."""


_KINDS: Final[Mapping[int, type[GatewayError]]] = {
    **dict.fromkeys((400, 409, 413, 415, 422), InvalidRequestError),
    **dict.fromkeys((401, 403), AccessError),
    404: NotFoundError,
    **dict.fromkeys((429, 503), BusyError),
}


def refusal(
    status: int, detail: str, *, errors: Sequence[Mapping[str, Any]] = (), retry_after_s: float | None = None
) -> GatewayError:
    """Make the error that a status stands for."""
    kind = _KINDS.get(status, GatewayError)
    return kind(status, detail, errors=errors, retry_after_s=retry_after_s)
