"""The models of ``velox verify``: need no weights, and predict for each numbered payload what that payload says."""

import re
from collections.abc import Sequence
from typing import Final

from velox.errors import BadRecordError, Reason
from velox.records import Prediction
from velox.settings import InferenceSettings

LABELS: Final = ("numbered_detection", "numbered_other")
_MAGIC: Final = b"\xff\xd8\xff"
_FILLER: Final = bytes(range(256)) * 3
_NUMBER: Final = re.compile(rb"number (\d+)\xff\xd9")
_TEXT: Final = re.compile(rb"This is number (\d+)\.")
_DETECTION_EVERY: Final = 4


def payload(number: int) -> bytes:
    """Build the payload with this number: about 800 bytes that begin and end like a JPEG, each different."""
    return b"%b%bnumber %d\xff\xd9" % (_MAGIC, _FILLER, number)


def text(number: int) -> str:
    """Write the text with this number, for those who ask through the gateway."""
    return f"This is number {number}."


def label(number: int) -> str:
    """Say what the model answers for the payload with this number; every fourth is the detection."""
    return LABELS[0] if number % _DETECTION_EVERY == 0 else LABELS[1]


class NumberedModel:
    """Costs next to nothing, and is never in doubt: an answer that was stored for another record shows."""

    name = "numbered"
    version = "1"
    labels: Sequence[str] = LABELS

    def __init__(self, settings: InferenceSettings) -> None:
        """Need none of them."""

    def load(self, device: str) -> None:
        """Do nothing: there is nothing to load."""

    def decode(self, payload: bytes) -> int:
        """Read the number; refuse what is damaged."""
        if not payload.startswith(_MAGIC):
            raise BadRecordError(Reason.NOT_AN_IMAGE, f"{len(payload)} bytes that do not begin like a JPEG")
        found = _NUMBER.search(payload, len(_MAGIC) + len(_FILLER))
        if found is None:
            raise BadRecordError(Reason.UNDECODABLE, f"{len(payload)} bytes without a number at their end")
        return int(found[1])

    def predict(self, inputs: Sequence[int]) -> list[Prediction]:
        """Predict what each number says."""
        return [Prediction(label(number), 1.0) for number in inputs]


class NumberedTexts(NumberedModel):
    """The same for texts."""

    name = "numbered_texts"

    def decode(self, payload: bytes) -> int:
        """Read the number; refuse any other text."""
        found = _TEXT.fullmatch(payload)
        if found is None:
            raise BadRecordError(Reason.UNDECODABLE, f"{len(payload)} bytes without a number")
        return int(found[1])
