"""Texts of like length go through a network together: what is shorter than the longest is padded, and costs as much."""

from collections.abc import Iterator, Sequence
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from velox.models.backends.backend import Probabilities

Tokens = npt.NDArray[np.int64]
"""Ids of the tokens of one text, or n × tokens of several."""

_PADDED_SHARE: Final = 0.25
"""At most so much of what a network computes may be padding."""


class TextNetwork(Protocol):
    """What runs a network: ONNX Runtime or torch."""

    def __call__(self, ids: Tokens, mask: Tokens) -> Probabilities:
        """Return n × labels logits for n × tokens ids; the mask is 1 where there is a token, 0 where there is none."""


def alike(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Yield the indices of all texts, shortest first, in groups that need little padding."""
    group: list[int] = []
    total = 0
    for index in sorted(range(len(lengths)), key=lengths.__getitem__):
        length = lengths[index]
        if group and total + length < (1 - _PADDED_SHARE) * length * (len(group) + 1):
            yield group
            group, total = [], 0
        group.append(index)
        total += length
    if group:
        yield group


def classify(network: TextNetwork, texts: Sequence[Tokens], *, pad_token: int) -> Probabilities:
    """Return n × labels probabilities for n ≥ 1 texts, in their order."""
    answers: list[Probabilities | None] = [None] * len(texts)
    for group in alike([len(text) for text in texts]):
        ids = np.full((len(group), len(texts[group[-1]])), pad_token, np.int64)
        mask = np.zeros_like(ids)
        for row, index in enumerate(group):
            ids[row, : len(texts[index])] = texts[index]
            mask[row, : len(texts[index])] = 1
        for index, answer in zip(group, _softmax(network(ids, mask)), strict=True):
            answers[index] = answer
    return np.stack([answer for answer in answers if answer is not None])


def _softmax(logits: Probabilities) -> Probabilities:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: Probabilities = (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)
    return shares
