"""What a request and its webhook may be in, and which of it is final."""

from enum import StrEnum
from typing import Final


class State(StrEnum):
    """Where a request stands."""

    PENDING = "pending"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class WebhookState(StrEnum):
    """Where the delivery of its result stands."""

    NONE = "none"
    """Nobody asked for one."""
    WAITING = "waiting"
    """For the result."""
    DUE = "due"
    """At ``webhook_due_at``, for the first time or again."""
    DELIVERED = "delivered"
    GONE = "gone"
    """The receiver wants no more of them (410)."""
    EXHAUSTED = "exhausted"
    """Every rung of the ladder was tried."""


FINAL: Final = frozenset({State.COMPLETED, State.FAILED, State.CANCELLED})
"""A request in one of these changes no more, but that it is deleted or expires."""
