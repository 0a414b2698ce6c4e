"""What the fetcher and an inference process say to each other. Tuples: they are pickled once per batch."""

from typing import NamedTuple

from velox.core.pace import UNDECIDED, Decision
from velox.errors import BadRecordError
from velox.records import ModelInfo, Prediction


class Work(NamedTuple):
    """Payloads to predict, each under a ticket that its answer will carry."""

    sent_at: float
    """Monotonic seconds; one clock serves all processes of a machine."""
    payloads: list[tuple[int, bytes]]
    alone: bool = False
    """Predict them at once and by themselves; nothing else is given meanwhile."""


class Ready(NamedTuple):
    """The model is loaded and warm."""

    model: ModelInfo


class Refused(NamedTuple):
    """The model cannot be loaded, and starting again would not help."""

    reason: str


class Answers(NamedTuple):
    """One batch, predicted."""

    answers: list[tuple[int, Prediction | BadRecordError]]
    queue_s: float
    """Seconds the batch's first record waited in the process and on the way to it."""
    decode_s: float
    """Seconds the process spent on decoding the batch; with DECODE_THREADS, waiting for what was not decoded yet."""
    inference_s: float
    """Seconds in ``predict``, all parts of the batch together."""
    batch_limit: int
    """How many inputs it predicts at once now: BATCH_SIZE, or fewer since memory ran out."""
    finished_at: float
    """Monotonic seconds."""
    batch_wait_s: float
    """Seconds in which the process did nothing but wait for more records to predict with those it had."""
    decision: Decision = UNDECIDED
    """What its batcher has decided for the present."""
    remarks: tuple[tuple[int, str], ...] = ()
    """By ticket, what is wrong with payloads that could be decoded all the same."""


Reply = Ready | Refused | Answers
