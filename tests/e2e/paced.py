"""A model and a sink that are slow where a test wants them to be."""

from collections.abc import Sequence
from time import sleep
from typing import Literal

from tests.e2e.fragile import FragileModel
from velox.errors import BadRecordError
from velox.images.pixels import Pixels
from velox.models.image_classifier import ImageClassifier
from velox.records import Prediction, Result
from velox.settings import Settings

PACE_S = 0.01


class SlowlyDecoding(FragileModel):
    """Takes its time for each payload."""

    def decode(self, payload: bytes) -> str:
        sleep(PACE_S)
        return super().decode(payload)


class SlowSink:
    """Takes its time for each result, and keeps none."""

    name = "slow"
    takes: Literal["detections", "all"] = "all"

    def __init__(self, settings: Settings) -> None:
        pass

    def open(self) -> None:
        pass

    def write(self, batch: Sequence[Result]) -> None:
        sleep(PACE_S * len(batch))

    def close(self) -> None:
        pass


class SlowClassifier(ImageClassifier):
    """Takes its time for each image."""

    def predict(self, inputs: Sequence[Pixels]) -> list[Prediction | BadRecordError]:
        sleep(PACE_S * 2 * len(inputs))
        return super().predict(inputs)
