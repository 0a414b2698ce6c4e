"""The images that a model is judged by: drawn anew, and it has learned from none of them."""

import math
from typing import Final

import numpy as np

from velox.models import dataset
from velox.models.architectures import Architecture
from velox.models.backends.backend import Backend, Batch, Probabilities
from velox.models.dataset import Dataset
from velox.models.evaluation import Evaluation
from velox.models.preprocessing import Preprocessor, Profile
from velox.settings import InferenceSettings

LEAST: Final = 200
"""Noisy images, as most of those learned from, at least; and so many photo-like ones."""
_CALIBRATION: Final = 16
"""Of each kind; nothing is judged by these."""
_NOISY, _PLAIN, _PHOTO_LIKE, _NOISY_CALIBRATION, _PHOTO_LIKE_CALIBRATION = 1, 2, 4, 5, 6
_BATCH: Final = 8


class HeldOut:
    """The images for one model; the same settings give the same images."""

    def __init__(self, settings: InferenceSettings, architecture: Architecture, least: int = LEAST) -> None:
        """Draw and decode them; ``least`` is for tests."""
        self._settings = settings
        self._size = architecture.input_size
        self._noisy = self._drawn(_NOISY, least, per_label=min(settings.samples_per_class // 4, 100))
        self._photo_like = self._drawn(_PHOTO_LIKE, least)
        self._pixels = self._decoded(settings.preprocessing, self._noisy, self._photo_like)

    def __len__(self) -> int:
        """Count them."""
        return len(self._pixels)

    def answers(self, backend: Backend) -> Probabilities:
        """Have them predicted, the noisy ones first."""
        return _predicted(backend, self._pixels)

    def answers_after(self, profile: Profile, backend: Backend) -> Probabilities:
        """Have them predicted after another preprocessing than that of the settings."""
        return _predicted(backend, self._decoded(profile, self._noisy, self._photo_like))

    def evaluation(self, backend: Backend, answers: Probabilities) -> Evaluation:
        """Count how many of the noisy ones it has answered right; and have it predict a plain one of each label."""
        labels = self._settings.labels
        plain = self._drawn(_PLAIN, 1)
        confusion = np.zeros((len(labels), len(labels)), np.int64)
        np.add.at(confusion, (self._noisy.targets, answers[: len(self._noisy)].argmax(1)), 1)
        probabilities = _predicted(backend, self._decoded(self._settings.preprocessing, plain))
        confidences = probabilities[np.arange(len(plain)), plain.targets]
        return Evaluation(labels, confusion, float(confidences.min()))

    def for_calibration(self) -> Batch:
        """Draw some that nothing is judged by, of both kinds."""
        kinds = (_NOISY_CALIBRATION, _PHOTO_LIKE_CALIBRATION)
        return self._decoded(self._settings.preprocessing, *(self._drawn(kind, _CALIBRATION) for kind in kinds))

    def _drawn(self, kind: int, least: int, *, per_label: int = 0) -> Dataset:
        return dataset.make(
            self._settings,
            per_label=max(per_label, math.ceil(least / len(self._settings.labels))),
            seed=[self._settings.training_seed, kind],
            plain_share=1 if kind == _PLAIN else 0,
            is_photo_like=kind in {_PHOTO_LIKE, _PHOTO_LIKE_CALIBRATION},
        )

    def _decoded(self, profile: Profile, *sets: Dataset) -> Batch:
        preprocess = Preprocessor(self._size, profile, self._settings.max_image_pixels, self._settings.max_image_side)
        return np.stack([preprocess(jpeg) for each in sets for jpeg in each.jpegs])


def _predicted(backend: Backend, pixels: Batch) -> Probabilities:
    return np.concatenate([backend(pixels[at : at + _BATCH]) for at in range(0, len(pixels), _BATCH)])
