"""Texts go through a network with those of like length, and their answers come back in the order given."""

import random

import numpy as np
import pytest

from velox.models.backends.backend import Probabilities
from velox.models.transformer.batches import Tokens, alike, classify

PAD = 9


class Adding:
    """A network whose logits are the sum and the number of a text's tokens; it keeps what it got."""

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []

    def __call__(self, ids: Tokens, mask: Tokens) -> Probabilities:
        self.shapes.append(ids.shape)
        assert (ids[mask == 0] == PAD).all()
        return np.stack([(ids * mask).sum(1) / 100, mask.sum(1) / 100], axis=1).astype(np.float32)


def tokens(*lengths: int) -> list[Tokens]:
    return [np.full(length, 1 + number % 7, np.int64) for number, length in enumerate(lengths)]


def test_the_answers_are_in_the_order_of_the_texts() -> None:
    draw = random.Random(1)  # noqa: S311 - chooses lengths
    lengths = [draw.randint(2, 60) for _ in range(50)]
    texts = tokens(*lengths)
    together = classify(Adding(), texts, pad_token=PAD)
    alone = np.concatenate([classify(Adding(), [text], pad_token=PAD) for text in texts])
    assert together == pytest.approx(alone, abs=1e-6)
    assert together.sum(1) == pytest.approx(np.ones(50), abs=1e-6)


def test_texts_of_one_length_go_through_at_once() -> None:
    network = Adding()
    classify(network, tokens(*[12] * 20), pad_token=PAD)
    assert network.shapes == [(20, 12)]


def test_a_long_text_does_not_lengthen_the_short_ones() -> None:
    network = Adding()
    classify(network, tokens(10, 500, 11, 12, 480), pad_token=PAD)
    assert network.shapes == [(3, 12), (2, 500)]


@pytest.mark.parametrize("seed", range(20))
def test_every_text_is_in_one_group_and_little_is_padding(seed: int) -> None:
    draw = random.Random(seed)  # noqa: S311 - as above
    lengths = [draw.randint(2, 512) for _ in range(draw.randint(1, 64))]
    groups = [*alike(lengths)]
    assert sorted(index for group in groups for index in group) == [*range(len(lengths))]
    for group in groups:
        assert sum(lengths[index] for index in group) >= 0.75 * len(group) * max(lengths[index] for index in group)
