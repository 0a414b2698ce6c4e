"""What the real frameworks raise when memory runs out is recognised, whatever it is called."""

from collections.abc import Callable

import cv2
import numpy as np
import pytest
import torch

from velox.consumer.portions import is_out_of_memory

PETABYTE = 10**15


@pytest.mark.parametrize(
    "ask_for_too_much",
    [
        pytest.param(lambda: torch.empty(PETABYTE), id="torch"),
        pytest.param(lambda: np.empty(PETABYTE), id="numpy"),
        pytest.param(lambda: cv2.resize(np.zeros((8, 8, 3), np.uint8), (2_000_000, 2_000_000)), id="OpenCV"),
        pytest.param(lambda: bytearray(PETABYTE), id="Python"),
    ],
)
def test_an_allocation_that_fails_is_told_from_a_defect(ask_for_too_much: Callable[[], object]) -> None:
    with pytest.raises(Exception) as caught:
        ask_for_too_much()
    assert is_out_of_memory(caught.value)


def test_cuda_has_an_error_of_its_own_with_the_name_that_is_looked_for() -> None:
    assert is_out_of_memory(torch.OutOfMemoryError())
