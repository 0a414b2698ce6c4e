"""The gateway's store: one row for each question of a client, with its state and its answer."""

from velox.requests.rows import Claim, Entered, NewRequest, Request, Tried

__all__ = ["Claim", "Entered", "NewRequest", "Request", "Tried"]
