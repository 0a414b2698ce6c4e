"""Agreement is counted as the model card says it."""

import numpy as np
import pytest

from velox.models.agreement import compare

EXACT = np.array([[0.95, 0.05], [0.4, 0.6], [0.91, 0.09], [0.2, 0.8]], np.float32)


def test_equal_answers_agree_in_everything() -> None:
    agreement = compare(EXACT, EXACT.copy(), threshold=0.9)
    assert (agreement.top1, agreement.mean_difference, agreement.max_difference) == (1, 0, 0)
    assert (agreement.crossings, agreement.images, agreement.threshold) == (0, 4, 0.9)


def test_another_label_is_a_disagreement_and_a_confidence_below_the_threshold_a_crossing() -> None:
    other = np.array([[0.95, 0.05], [0.6, 0.4], [0.85, 0.15], [0.2, 0.8]], np.float32)
    agreement = compare(EXACT, other, threshold=0.9)
    assert agreement.top1 == 0.75
    assert agreement.crossings == 1
    assert agreement.least == 0.75
    assert compare(EXACT[[0, 0, 3]], other[[2, 2, 3]], threshold=0.9).least == pytest.approx(1 / 3)
    assert agreement.max_difference == 0.2
    assert agreement.mean_difference == 0.065
    assert str(agreement) == "agrees with fp32 in 75.00% of 4 images, 1 cross the threshold"


def test_an_answer_that_is_no_number_agrees_with_nothing() -> None:
    other = EXACT.copy()
    other[0] = np.nan
    agreement = compare(EXACT, other, threshold=0.9)
    assert agreement.top1 == 0.75
    assert agreement.max_difference == 1
