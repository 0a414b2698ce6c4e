"""Batches in parts: the same answers, however many images there are, and none where they would not be the same."""

import logging
from collections.abc import Sequence

import numpy as np
import pytest
import torch

from velox.models.backends.backend import Images, Probabilities
from velox.models.backends.parts import SIZES, Part, Parts, Trusted

pytestmark = pytest.mark.usefixtures("one_torch_thread")

LARGEST = SIZES[-1]


def means(images: torch.Tensor) -> torch.Tensor:
    """Answer for each image what can be told from others': its mean colour."""
    return images.float().mean(dim=(1, 2))


def some_images(count: int, *, seed: int = 0) -> Images:
    return np.random.default_rng(seed).integers(0, 256, (count, 4, 4, 3), np.uint8)


def straight(images: Images) -> Probabilities:
    expected: Probabilities = means(torch.from_numpy(np.stack([*images]))).numpy()
    return expected


class Late(Part):
    """Computes at the last moment, as a GPU may: what is overwritten before is lost."""

    def _start(self) -> None:
        pass

    def _wait(self) -> None:
        super()._start()


@pytest.mark.parametrize("part", [Part, Late])
@pytest.mark.parametrize("count", [1, 2, 8, 9, LARGEST, LARGEST + 1, 3 * LARGEST + 5])
def test_every_image_gets_its_own_answer_whatever_came_before(part: type[Part], count: int) -> None:
    parts = Parts(means, part)
    first, second = some_images(count), some_images(count, seed=1)
    answers = parts(first)
    assert np.allclose(parts(second), straight(second))
    assert np.allclose(answers, straight(first)), "answers were overwritten by the next batch's"
    assert np.allclose(parts(second[:1]), straight(second[:1]))


def test_images_one_by_one_are_taken_as_well() -> None:
    images = [*some_images(11)]
    assert np.allclose(Parts(means, Part)(images), straight(images))


class Wrong(Part):
    """Wrong only where it is the largest."""

    def _start(self) -> None:
        self._answers = self._compute(self._images) + (len(self._images) == LARGEST)


class Failing(Part):
    def __init__(self, compute: object, shape: Sequence[int]) -> None:
        try:
            raise RuntimeError("CUDA error: operation not permitted when stream is capturing\nmore lines")
        finally:  # as the end of a capture does
            raise RuntimeError("the capture cannot be ended")


@pytest.mark.parametrize(
    ("part", "says"),
    [(Wrong, f"with {LARGEST} images they answer otherwise"), (Failing, "operation not permitted when")],
)
def test_parts_that_fail_or_answer_otherwise_are_not_used(
    part: type[Part], says: str, caplog: pytest.LogCaptureFixture
) -> None:
    trusted = Trusted(straight, Parts(means, part))
    for seed in range(2):
        images = some_images(5, seed=seed)
        assert np.allclose(trusted(images), straight(images))
    (line,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert says in line.message
    assert "more lines" not in line.message


def test_parts_that_answer_as_the_network_does_take_its_place() -> None:
    asked: list[int] = []

    def count(images: Images) -> Probabilities:
        asked.append(len(images))
        return straight(images)

    trusted = Trusted(count, Parts(means, Part))
    for seed in range(3):
        images = some_images(5, seed=seed)
        assert np.allclose(trusted(images), straight(images))
    assert asked == [*SIZES] * 2, "each part is proven, once"
