"""A model that costs nothing: what is left is the path around it."""

from collections.abc import Sequence

from velox.records import Prediction
from velox.settings import Settings


class NullModel:
    """Takes no look at a payload and finds a detection in each."""

    name = "null"
    version = "1"

    def __init__(self, settings: Settings) -> None:
        """Answer with the first label of these settings."""
        self.labels: Sequence[str] = settings.labels

    def load(self, device: str) -> None:
        """Have nothing to load."""

    def decode(self, payload: bytes) -> int:
        """Say how long it is."""
        return len(payload)

    def predict(self, inputs: Sequence[int]) -> list[Prediction]:
        """Answer the same for all."""
        return [Prediction(self.labels[0], 0.99)] * len(inputs)
