"""How far a cheaper way of predicting is from the exact one, over the same images."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from velox import processor
from velox.models.backends.backend import Probabilities

_DIGITS = 6


@dataclass(frozen=True, slots=True)
class Agreement:
    """What changes for the user; rounded to six digits."""

    top1: float
    """Share of the images with the same most probable label, in [0, 1]."""
    mean_difference: float
    """Of the probabilities, over all images and labels."""
    max_difference: float
    crossings: int
    """Images whose confidence is at or above the threshold in one way and below it in the other."""
    threshold: float
    """CONFIDENCE_THRESHOLD when it was measured."""
    images: int

    @property
    def least(self) -> float:
        """Share of the images with the same label, or with the same side of the threshold, if those are fewer."""
        return min(self.top1, 1 - self.crossings / self.images)

    def __str__(self) -> str:
        """Say it as the log does."""
        crossings = f", {self.crossings} cross the threshold" if self.crossings else ""
        return f"agrees with fp32 in {self.top1:.2%} of {self.images} images{crossings}"


def compare(exact: Probabilities, other: Probabilities, *, threshold: float) -> Agreement:
    """Compare answers, n × classes each, for the same images; an answer that is no number agrees with nothing."""
    differences = np.nan_to_num(np.abs(exact.astype(np.float64) - other), nan=1.0)
    finite = np.isfinite(other).all(axis=1)
    same = (exact.argmax(1) == other.argmax(1)) & finite
    crossed = (exact.max(1) >= threshold) != (other.max(1) >= threshold)
    return Agreement(
        top1=round(float(same.mean()), _DIGITS),
        mean_difference=round(float(differences.mean()), _DIGITS),
        max_difference=round(float(differences.max()), _DIGITS),
        crossings=int(crossed.sum()),
        threshold=threshold,
        images=len(exact),
    )


def way(backend: str, precision: str) -> str:
    """Name a way to predict on this processor, as the model card does: without VNNI, int8 is rounded differently."""
    able = ", ".join(processor.capabilities())
    return f"{backend} {precision} ({able})" if able else f"{backend} {precision}"


def measured_here(agreements: Mapping[str, Agreement], backend: str, precision: str) -> Agreement | None:
    """Find the agreement on processors like this one; one that names no processor counts on all."""
    return agreements.get(way(backend, precision)) or agreements.get(f"{backend} {precision}")


def measured_elsewhere(agreements: Mapping[str, Agreement], backend: str, precision: str) -> Agreement | None:
    """Find the agreement on processors that compute with other instructions."""
    return next((each for name, each in agreements.items() if name.startswith(f"{backend} {precision} (")), None)
