"""A model that takes its time without computing, as one on a GPU does: so replicas are worth it on two cores."""

import time
from collections.abc import Sequence

from velox.records import Prediction
from velox.settings import InferenceSettings


class Slow:
    """Each batch takes 0.4 s."""

    name = "slow"
    version = "1"
    labels: Sequence[str] = ("seen",)

    def __init__(self, settings: InferenceSettings) -> None:
        self._settings = settings

    def load(self, device: str) -> None:
        pass

    def decode(self, payload: bytes) -> bytes:
        return payload

    def predict(self, inputs: Sequence[bytes]) -> list[Prediction]:
        time.sleep(0.4)
        return [Prediction("seen", 1.0) for _ in inputs]
