"""A model whose weights, by their file's name, say what it answers."""

import os
import signal
from collections.abc import Sequence

from velox.models.model import Model
from velox.records import Prediction
from velox.settings import InferenceSettings


class VersionedModel(Model):
    """Answers with the name of MODEL_PATH; of weights called ``other-…``, only payloads that begin with ``same`` agree.

    Weights called ``deadly`` kill the process at the first prediction.
    """

    name = "versioned"
    labels: Sequence[str] = ("same", "main", "other")

    def __init__(self, settings: InferenceSettings) -> None:
        self._weights = settings.model_path.stem
        self.version = self._weights

    def load(self, device: str) -> None:
        """Nothing to load."""

    def decode(self, payload: bytes) -> bytes:
        return payload

    def predict(self, inputs: Sequence[bytes]) -> list[Prediction]:
        if self._weights == "deadly":
            os.kill(os.getpid(), signal.SIGKILL)
        own = self._weights.partition("-")[0]
        return [Prediction("same" if payload.startswith(b"same") else own, 0.9) for payload in inputs]
