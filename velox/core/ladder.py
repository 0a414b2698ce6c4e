"""What follows an attempt to deliver a webhook: it is done, or the next rung of the ladder, or nothing more.

The rules are those of the Standard Webhooks convention: only 2xx is success, redirects are not followed, 410 means that
the receiver wants no more, and who says ``Retry-After`` is left alone for as long.
"""

import random
from collections.abc import Sequence
from datetime import UTC
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Final, NamedTuple

from velox.core.states import WebhookState

JITTER: Final = 0.2
"""A wait is drawn from so much less to so much more: what failed together does not come back together."""
MAX_RETRY_AFTER_S: Final = 86_400.0
_GONE: Final = 410
BUSY: Final = frozenset({429, 502, 503, 504})
"""Answers by which a destination says that it cannot take more now."""


class Cause(StrEnum):
    """Why an attempt has not delivered: a label of the counter of attempts."""

    NONE = "none"
    STATUS = "status"
    """An answer, but not 2xx."""
    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"
    """No connection, or one that broke."""
    REFUSED = "refused"
    """Its host is at an address to which no webhook may go."""


class Answer(NamedTuple):
    """What came back from one attempt."""

    status: int | None = None
    cause: Cause = Cause.NONE
    retry_after_s: float | None = None
    error: str = ""
    """What went wrong, in a few words."""

    @property
    def is_success(self) -> bool:
        """Say whether the receiver has it."""
        return self.status is not None and 200 <= self.status < 300  # noqa: PLR2004 - HTTP's

    @property
    def is_outage(self) -> bool:
        """Say whether other deliveries to the same destination would fare no better now."""
        return self.status in BUSY or self.cause in {Cause.TIMEOUT, Cause.UNREACHABLE}


class Next(NamedTuple):
    """What a delivery is in after an attempt."""

    state: WebhookState
    due_at: float | None = None
    """When to try again, if it is due."""


def follow(attempt: int, answer: Answer, ladder_s: Sequence[float], *, now: float, rng: random.Random) -> Next:
    """Say what follows the ``attempt``-th answer (from 1); ``ladder_s`` are the waits before each attempt."""
    if answer.is_success:
        return Next(WebhookState.DELIVERED)
    if answer.status == _GONE:
        return Next(WebhookState.GONE)
    if attempt >= len(ladder_s):
        return Next(WebhookState.EXHAUSTED)
    wait_s = ladder_s[attempt] * rng.uniform(1 - JITTER, 1 + JITTER)
    asked_s = answer.retry_after_s if answer.status in BUSY else None
    return Next(WebhookState.DUE, now + max(wait_s, asked_s or 0.0))


def retry_after_s(text: str, now: float) -> float | None:
    """Read a header ``Retry-After``: seconds, or a date. None when it is neither; a day at most."""
    text = text.strip()
    if text.isascii() and text.isdecimal():
        return min(MAX_RETRY_AFTER_S, float(text[:9]))
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, IndexError, OverflowError):
        return None
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return min(MAX_RETRY_AFTER_S, max(0.0, at.timestamp() - now))
