"""The images that a model is judged by: newly drawn, and none of them was used for training."""

import math
from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt

from velox.models import dataset
from velox.models.architectures import Architecture
from velox.models.backends.backend import Backend, Batch, Probabilities
from velox.models.dataset import Dataset
from velox.models.evaluation import Evaluation
from velox.models.preprocessing import Preprocessor, Profile
from velox.settings import InferenceSettings

LEAST: Final = 200
"""Images of each kind that precisions are compared over, at least: noisy ones, as most of those learned from, and
photo-like ones."""
_CALIBRATION: Final = 16
"""Of each kind; nothing is judged by these."""
_MORE_NOISY, _PLAIN, _NOISY, _PHOTO_LIKE, _NOISY_CALIBRATION, _PHOTO_LIKE_CALIBRATION = range(1, 7)
_BATCH: Final = 8


class HeldOut:
    """The images for one model; the same settings give the same images."""

    def __init__(self, settings: InferenceSettings, architecture: Architecture, least: int = LEAST) -> None:
        """Draw and decode those that are compared; fewer of them for tests."""
        self._settings = settings
        self._size = architecture.input_size
        self._noisy = self._drawn(_NOISY, math.ceil(least / len(settings.labels)))
        self._photo_like = self._drawn(_PHOTO_LIKE, math.ceil(least / len(settings.labels)))
        self._pixels = self._decoded(settings.preprocessing, self._noisy, self._photo_like)

    def __len__(self) -> int:
        """Count those that are compared."""
        return len(self._pixels)

    def answers(self, backend: Backend) -> Probabilities:
        """Predict those that are compared: images × classes."""
        return _predicted(backend, self._pixels)

    def answers_after(self, profile: Profile, backend: Backend) -> Probabilities:
        """Predict the same images, preprocessed in another way than the settings say."""
        return _predicted(backend, self._decoded(profile, self._noisy, self._photo_like))

    def evaluation(self, backend: Backend, answers: Probabilities) -> Evaluation:
        """Count how many noisy ones it answers right, more of them than are compared; try a plain one of each label.

        Args:
            backend: what is judged.
            answers: its answers for those that are compared.
        """
        settings = self._settings
        confusion = np.zeros((len(settings.labels), len(settings.labels)), np.int64)
        np.add.at(confusion, (self._noisy.targets, answers[: len(self._noisy)].argmax(1)), 1)
        per_label = len(self._noisy) // len(settings.labels)
        if (more := min(max(settings.samples_per_class // 4, 20), 100) - per_label) > 0:
            targets, found = self._tried(self._drawn(_MORE_NOISY, more), backend)
            np.add.at(confusion, (targets, found.argmax(1)), 1)
        targets, found = self._tried(self._drawn(_PLAIN, 1), backend)
        return Evaluation(settings.labels, confusion, float(found[np.arange(len(targets)), targets].min()))

    def for_calibration(self) -> Batch:
        """Draw some that nothing is judged by, of both kinds."""
        kinds = (_NOISY_CALIBRATION, _PHOTO_LIKE_CALIBRATION)
        per_label = math.ceil(_CALIBRATION / len(self._settings.labels))
        return self._decoded(self._settings.preprocessing, *(self._drawn(kind, per_label) for kind in kinds))

    def _tried(self, images: Dataset, backend: Backend) -> tuple[npt.NDArray[np.int64], Probabilities]:
        return images.targets, _predicted(backend, self._decoded(self._settings.preprocessing, images))

    def _drawn(self, kind: int, per_label: int) -> Dataset:
        return dataset.make(
            self._settings,
            per_label=per_label,
            seed=[self._settings.training_seed, kind],
            plain_share=1 if kind == _PLAIN else 0,
            is_photo_like=kind in {_PHOTO_LIKE, _PHOTO_LIKE_CALIBRATION},
        )

    def _decoded(self, profile: Profile, *sets: Dataset) -> Batch:
        preprocess = replace(Preprocessor.of(self._settings, self._size), profile=profile)
        return np.stack([preprocess(jpeg) for each in sets for jpeg in each.jpegs])


def _predicted(backend: Backend, pixels: Batch) -> Probabilities:
    return np.concatenate([backend(pixels[at : at + _BATCH]) for at in range(0, len(pixels), _BATCH)])
