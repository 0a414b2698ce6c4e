"""What a model answers leaves its process plain, bounded and within 0 and 1, or not at all."""

from typing import Any

import numpy as np
import pytest

from velox.consumer.checking import MOST_SCORES, checked
from velox.errors import BadRecordError, Reason
from velox.records import Box, Prediction

SCORES = (("cat", 0.75), ("dog", 0.25))
BOX = Box("cat", 0.5, 0.1, 0.2, 0.3, 0.4)


class Label(str):
    """A text of a user's own kind."""

    __slots__ = ()


def scored(*scores: Any) -> Prediction | BadRecordError:  # noqa: ANN401 - what a model may give
    return checked(Prediction("cat", 0.75, scores))


def boxed(*boxes: Any) -> Prediction | BadRecordError:  # noqa: ANN401 - as above
    return checked(Prediction("cat", 0.75, (), boxes))


def test_scores_and_boxes_pass_as_they_are() -> None:
    prediction = Prediction("cat", 0.75, SCORES, (BOX,))
    assert checked(prediction) == prediction


def test_what_comes_out_is_plain() -> None:
    box = (Label("cat"), *map(np.float32, BOX[1:]))
    out = checked(Prediction(Label("cat"), np.float32(0.75), [[Label("cat"), np.float64(0.5)]], [box]))  # type: ignore[arg-type] # numpy's, in lists
    assert isinstance(out, Prediction)
    assert type(out.label) is str
    assert type(out.confidence) is float
    assert [type(part) for part in (out.scores, *out.scores, *out.scores[0])] == [tuple, tuple, str, float]
    assert [type(part) for part in (out.boxes, *out.boxes, *out.boxes[0])] == [tuple, Box, str, *[float] * 5]


@pytest.mark.parametrize("scores", [[("cat", 0.5), ("dog", 0.5)], [("cat", 1), ("dog", 0)], [("cat", 0.3)]])
def test_bounds_and_equal_scores_are_in_order(scores: list[tuple[str, float]]) -> None:
    assert isinstance(scored(*scores), Prediction)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (scored(("dog", 0.25), ("cat", 0.75)), "not in order"),
        (scored(("cat", 1.01)), "score 1.01 is not within"),
        (scored(("cat", float("nan"))), "score nan"),
        (scored(("cat", -0.1)), "score -0.1"),
        (scored(("x" * 1001, 0.5)), "1001 characters"),
        (scored(*[("cat", 0.0)] * (MOST_SCORES + 1)), "101 scores, more than 100"),
        (boxed(*[BOX] * (MOST_SCORES + 1)), "101 boxes, more than 100"),
        (boxed(BOX._replace(confidence=2)), "not within"),
        (boxed(BOX._replace(right=float("inf"))), "not within"),
        (boxed(BOX._replace(left=0.5)), "far edge comes first"),
        (boxed(BOX._replace(bottom=0.1)), "far edge comes first"),
        (boxed(BOX._replace(label="x" * 1001)), "1001 characters"),
    ],
)
def test_what_is_out_of_bounds_is_a_dead_letter_for_that_record(answer: object, said: str) -> None:
    assert isinstance(answer, BadRecordError)
    assert answer.reason is Reason.BAD_PREDICTION
    assert said in answer.detail


def test_as_many_as_there_may_be_pass() -> None:
    assert isinstance(scored(*[("cat", 0.5)] * MOST_SCORES), Prediction)
    assert isinstance(boxed(*[BOX] * MOST_SCORES), Prediction)


@pytest.mark.parametrize("scores", [[(7, 0.5)], [(None, 0.5)], [("cat", 0.5, 1)], [("cat",)], [("cat", "much")], [7]])
def test_scores_of_another_form_are_a_defect_of_the_model(scores: list[Any]) -> None:
    with pytest.raises((TypeError, ValueError)):
        scored(*scores)


@pytest.mark.parametrize("box", [BOX[:5], (*BOX, 0.5), (7, *BOX[1:]), BOX._replace(left=None)])  # type: ignore[arg-type] # on purpose
def test_boxes_of_another_form_are_a_defect_of_the_model(box: Any) -> None:  # noqa: ANN401 - as above
    with pytest.raises(TypeError):
        boxed(box)
