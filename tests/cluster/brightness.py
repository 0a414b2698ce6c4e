"""A second model, as a user might write one: tells bright from dark; dies of a white picture, hangs at a black one."""

import os
import time
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import simplejpeg

from velox.errors import BadRecordError, Reason
from velox.records import Box, Prediction
from velox.settings import InferenceSettings

DEADLY: Final = 250.0
ENDLESS: Final = 5.0


class Brightness:
    """Needs no files."""

    name = "brightness"
    version = "1"
    labels: Sequence[str] = ("bright", "dark")

    def __init__(self, settings: InferenceSettings) -> None:
        self._settings = settings

    def load(self, device: str) -> None:
        pass

    def decode(self, payload: bytes) -> npt.NDArray[np.uint8]:
        try:
            return np.asarray(simplejpeg.decode_jpeg(payload, "GRAY"))
        except ValueError as error:
            raise BadRecordError(Reason.NOT_AN_IMAGE, str(error)) from error

    def predict(self, inputs: Sequence[npt.NDArray[np.uint8]]) -> list[Prediction | BadRecordError]:
        means = [float(image.mean()) for image in inputs]
        if max(means) > DEADLY:
            os._exit(3)
        if min(means) < ENDLESS:
            time.sleep(3600)
        box = (Box("middle", 1.0, 0.25, 0.25, 0.75, 0.75),)
        return [Prediction("bright" if mean > 127 else "dark", 1.0, boxes=box) for mean in means]
