"""What consumers and deployments say to each other. Tuples: they are pickled once a hand-over, not once a frame."""

import math
from enum import StrEnum
from typing import NamedTuple

from velox.errors import BadRecordError
from velox.records import ModelInfo, Pointer, Prediction, Timings

Said = Prediction | BadRecordError
"""What a model says of one frame."""


class Frame(NamedTuple):
    """What is to be predicted: its bytes, or where they are."""

    payload: bytes = b""
    pointer: Pointer | None = None
    produced_at: float = math.inf
    """Unix seconds; without them it never grows too old."""


class Column(NamedTuple):
    """What one model says of all frames of a call, in their order."""

    model: ModelInfo
    """Without its labels, which would weigh more than the answers."""
    said: list[Said]
    timings: Timings


class Seen(NamedTuple):
    """A call, answered: a column of each model."""

    columns: list[Column]


class Kind(StrEnum):
    """Why a call has no answer."""

    BUSY = "busy"
    """All queues are full: the same call later."""
    DOWN = "down"
    """Something that is needed cannot be reached: the same call later."""
    LOST = "lost"
    """What worked on it died or raised, and one of the frames may be the cause."""


class Trouble(NamedTuple):
    """A call without an answer."""

    kind: Kind
    why: str


Reply = Seen | Trouble
