"""A user's own model: MODEL=examples.mean_color:MeanColorModel names an image's colour by its mean pixel."""

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from velox.errors import BadRecordError, Reason
from velox.records import Prediction
from velox.settings import InferenceSettings


class MeanColorModel:
    """Answers the name of the colour in the settings that the mean pixel's tint points to."""

    name = "mean_color"
    version = "1"
    labels: Sequence[str] = ()

    def __init__(self, settings: InferenceSettings) -> None:
        self._colors = settings.colors

    def load(self, device: str) -> None:
        """Compare tints, that is differences from grey, as directions."""
        self.labels = tuple(self._colors)
        self._tints = np.array([_tint(np.array(color, float)) for color in self._colors.values()])

    def decode(self, payload: bytes) -> npt.NDArray[np.float64]:
        """Reduce an image to its mean pixel (BGR)."""
        image = cv2.imdecode(np.frombuffer(payload, np.uint8), cv2.IMREAD_COLOR) if payload else None
        if image is None:
            raise BadRecordError(Reason.NOT_AN_IMAGE, f"{len(payload)} bytes that OpenCV cannot read")
        return np.array(cv2.mean(image)[:3])

    def predict(self, inputs: Sequence[npt.NDArray[np.float64]]) -> list[Prediction]:
        """Give the nearest colour; the confidence is the cosine of the angle between the tints."""
        cosines = np.array([_tint(pixel) for pixel in inputs]) @ self._tints.T
        return [Prediction(self.labels[row.argmax()], float(row.max().clip(0, 1))) for row in cosines]


def _tint(pixel: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    tint = pixel - pixel.mean()
    return np.asarray(tint / (np.linalg.norm(tint) or 1.0))
