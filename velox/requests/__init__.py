"""The gateway's store: one row for each question of a client, with its state and its answer."""

from velox.requests.rows import Claim, Due, Entered, NewRequest, Postponed, Request, Tried

__all__ = ["Claim", "Due", "Entered", "NewRequest", "Postponed", "Request", "Tried"]
