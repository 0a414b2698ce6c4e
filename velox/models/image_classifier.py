"""The model that train.py writes: an image file in, the most probable label out."""

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import simplejpeg

from velox.errors import BadRecordError, ModelError, Reason
from velox.images.pixels import Pixels
from velox.loading import is_installed
from velox.models import card
from velox.models.architectures import ARCHITECTURES
from velox.models.backends import selection
from velox.models.backends.backend import Backend, Probabilities
from velox.models.preprocessing import Preprocessor
from velox.records import Prediction
from velox.settings import InferenceSettings


class ImageClassifier:
    """Classifies images with the network in MODEL_PATH and the labels in CLASSES_PATH; obeys the Model contract."""

    name: str
    version: str
    labels: Sequence[str]

    short_side: ClassVar[int] = 0
    """As ``Preprocessor`` takes it."""
    top: ClassVar[int] = 0
    """A prediction lists so many labels with their probabilities."""

    def __init__(self, settings: InferenceSettings) -> None:
        """Keep the settings; touch no file and no device yet."""
        self._settings = settings
        self._backend: Backend | None = None
        self._preprocess: Preprocessor | None = None

    def load(self, device: str) -> None:
        """Read the model's files and get ready to predict on ``cpu``, ``cuda:0``, …; warm when it returns.

        Raises:
            ModelError: the files are missing, damaged or do not fit together.
        """
        settings = self._settings
        if settings.preprocessing == "exact" and not is_installed("torchvision"):
            raise ModelError(
                "PREPROCESSING=exact needs torchvision, which is not installed: PREPROCESSING=fast does not"
            )
        files = card.read(
            settings.model_path, settings.classes_path, needs_weights=selection.needs_weights(settings.backend)
        )
        # Weights without a card come from elsewhere: MODEL_ARCH says what they are.
        name = files.card.architecture if files.card else settings.model_arch
        if name not in ARCHITECTURES:
            msg = (
                f"{card.card_path(settings.model_path)}: unknown architecture {name}; {', '.join(ARCHITECTURES)} exist"
            )
            raise ModelError(msg)
        architecture = ARCHITECTURES[name]
        self._backend = selection.start(settings, files, architecture, device)
        size = files.card.input_size if files.card else architecture.input_size
        self._preprocess = Preprocessor.of(settings, size, short_side=self.short_side)
        self.name, self.version, self.labels = name, files.version, files.labels
        self._warm_up()

    def decode(self, payload: bytes) -> Pixels:
        """Decode and resize one image; see ``preprocessing`` for the rules.

        Raises:
            BadRecordError: it is not an image that can be read, or too large a one.
        """
        if self._preprocess is None:
            raise ModelError("decode before load")
        return self._preprocess(payload)

    def predict(self, inputs: Sequence[Pixels]) -> list[Prediction | BadRecordError]:
        """Classify images; one for which the network gives no finite answer gets an error in its place."""
        if self._backend is None:
            raise ModelError("predict before load")
        probabilities = self._backend(inputs)
        best = probabilities.argmax(1)
        return [self._answer(row, int(index)) for row, index in zip(probabilities, best, strict=True)]

    def sample(self) -> bytes:
        """Return an image of the usual size."""
        return bytes(simplejpeg.encode_jpeg(np.full((512, 512, 3), 128, np.uint8)))

    def _answer(self, row: Probabilities, best: int) -> Prediction | BadRecordError:
        confidence = float(row[best])
        if not np.isfinite(confidence):  # argmax puts NaN first, so one NaN anywhere in the row shows here
            return BadRecordError(Reason.BAD_PREDICTION, f"model {self.name} {self.version} answers {confidence}")
        # A softmax may round up to just above 1.
        return Prediction(self.labels[best], min(confidence, 1.0), self._scores(row) if self.top else ())

    def _scores(self, row: Probabilities) -> tuple[tuple[str, float], ...]:
        best = np.argsort(-row, kind="stable")[: self.top]
        return tuple((self.labels[index], min(float(row[index]), 1.0)) for index in best)

    def _warm_up(self) -> None:
        """Predict once, so that the first record does not wait for what libraries put off until their first use."""
        self.predict([self.decode(self.sample())] * self._settings.batch_size)
