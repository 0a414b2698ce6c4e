"""How each architecture is trained: the numbers that were found by measuring."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Recipe:
    """Numbers of a training."""

    sizes: tuple[int, ...]
    """Side of the images in pixels, one for each equal part of the training: small ones first, since they are cheap."""
    peak_rate: float
    """Learning rate at the height of the one-cycle schedule."""
    batch_size: int = 16
    weight_decay: float = 0.01
    threads: int | None = None
    """CPU threads; None = torch's choice. Operators too small to be worth sharing wait for each other instead, and on
    a busy machine they wait a hundred times longer than they work."""


RECIPES: Final[Mapping[str, Recipe]] = {
    "mobilenet_v2": Recipe(sizes=(64, 96, 160, 224), peak_rate=5e-3),
    "squeezenet1_1": Recipe(sizes=(112, 160, 224), peak_rate=1e-3),
    "tiny_cnn": Recipe(sizes=(64,), peak_rate=1e-2, batch_size=8, threads=1),
}
