"""A model with more ways to go wrong than the e2e tests need."""

from collections.abc import Sequence
from math import nan
from pathlib import Path

from tests.e2e.fragile import FragileModel
from velox.errors import ModelError
from velox.records import Prediction

TOO_MUCH_BYTES = 64 * 1024**3


class FaultyModel(FragileModel):
    """``nan`` is no confidence; ``eat`` takes more memory than there is; a file ``spoiled`` keeps it from loading."""

    def load(self, device: str) -> None:
        if Path("spoiled").exists():
            msg = "MODEL_PATH: the file is spoiled; train the model again"
            raise ModelError(msg)
        super().load(device)

    def decode(self, payload: bytes) -> str:
        text = super().decode(payload)
        if text.startswith("eat in decode"):
            bytearray(TOO_MUCH_BYTES)
        return text

    def predict(self, inputs: Sequence[str]) -> Sequence[Prediction]:
        if any(text.startswith("eat in predict") for text in inputs):
            bytearray(TOO_MUCH_BYTES)
        predictions = super().predict(inputs)
        return [Prediction(p.label, nan) if p.label.startswith("nan") else p for p in predictions]
