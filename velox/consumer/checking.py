"""What a model answers is looked at before it leaves the inference process: plain, bounded, within 0 and 1."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any, Final

from velox.errors import BadRecordError, Reason
from velox.records import Box, Prediction

MOST_SCORES: Final = 100
"""Scores, and boxes, of one prediction: more would make a result that no sink has room for."""
_MAX_LABEL: Final = 1000
"""Characters: longer text is no label, and no sink has room for what has no bound."""


def checked(prediction: Prediction | BadRecordError) -> Prediction | BadRecordError:
    """Make it one that can cross to the fetcher, which has neither a user's own classes nor numpy to read others with.

    Raises:
        TypeError: a label is no text, or a score or box has another form than that of the contract.
    """
    if isinstance(prediction, BadRecordError):
        return plain(prediction)
    try:
        label, confidence = _label(prediction.label), _share(prediction.confidence, "confidence")
        if not prediction.scores and not prediction.boxes:
            return Prediction(label, confidence)
        return Prediction(label, confidence, _scores(prediction.scores), _boxes(prediction.boxes))
    except BadRecordError as error:
        return error


def plain(error: BadRecordError) -> BadRecordError:
    """Make it one that can cross to the fetcher: a user's subclass may need other arguments to be built again."""
    return error if type(error) is BadRecordError else BadRecordError(Reason(error.reason), error.detail)


def _label(label: object) -> str:
    if not isinstance(label, str):
        msg = f"predict returned the label {label!r}; labels are text"
        raise TypeError(msg)
    if len(label) > _MAX_LABEL:
        raise _bad(f"a label of {len(label)} characters, more than {_MAX_LABEL}")
    return str.__str__(label)


def _share(number: float, what: str) -> float:
    share = float(number)
    if not 0 <= share <= 1:
        raise _bad(f"{what} {share} is not within 0 and 1")
    return share


def _scores(scores: Sequence[tuple[str, float]]) -> tuple[tuple[str, float], ...]:
    _bound(len(scores), "scores")
    found = tuple((_label(label), _share(score, "score")) for label, score in _of_length(scores, 2, "score"))
    if any(one < other for (_, one), (_, other) in pairwise(found)):
        raise _bad("scores are not in order, best first")
    return found


def _boxes(boxes: Sequence[Box]) -> tuple[Box, ...]:
    _bound(len(boxes), "boxes")
    return tuple(_box(*box) for box in _of_length(boxes, len(Box._fields), "box"))


def _box(label: str, *numbers: float) -> Box:
    confidence, left, top, right, bottom = (_share(number, "a number of a box,") for number in numbers)
    if left > right or top > bottom:
        raise _bad(f"a box from {left}, {top} to {right}, {bottom}: its far edge comes first")
    return Box(_label(label), confidence, left, top, right, bottom)


def _of_length(parts: Iterable[tuple[Any, ...]], length: int, what: str) -> Iterator[tuple[Any, ...]]:
    for part in parts:
        if len(part) != length:
            msg = f"predict returned a {what} of {len(part)} parts, {part!r}; it has {length}"
            raise TypeError(msg)
        yield part


def _bound(count: int, what: str) -> None:
    if count > MOST_SCORES:
        raise _bad(f"{count} {what}, more than {MOST_SCORES}")


def _bad(detail: str) -> BadRecordError:
    return BadRecordError(Reason.BAD_PREDICTION, detail)
