"""A model that answers with the payload's own text, and does what a payload tells it to do to its process."""

import os
import signal
from collections.abc import Sequence
from time import sleep

from velox.errors import BadRecordError, Reason
from velox.records import Prediction
from velox.settings import Settings


class FragileModel:
    """Obeys: ``die`` kills the process, ``hang`` stops it, ``slow`` takes 50 ms, ``bad`` is refused."""

    name = "fragile"
    version = "1"
    labels: Sequence[str] = ("any",)

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def load(self, device: str) -> None:
        assert device == "cpu"

    def decode(self, payload: bytes) -> str:
        text = payload.decode()
        if text.startswith("bad"):
            raise BadRecordError(Reason.UNDECODABLE, "told to be bad")
        return text

    def predict(self, inputs: Sequence[str]) -> Sequence[Prediction]:
        for text in inputs:
            if text.startswith("die"):
                os.kill(os.getpid(), signal.SIGKILL)
            if text.startswith("hang"):
                signal.pause()
            if text.startswith("slow"):
                sleep(0.05)
        return [Prediction(text[:100], 1.0) for text in inputs]


class LengthModel(FragileModel):
    """Takes any bytes."""

    def decode(self, payload: bytes) -> str:
        return f"{len(payload)} bytes"


class DeadlyDecodeModel(FragileModel):
    """``die`` kills the process as soon as it is decoded, a while before its batch is due."""

    def decode(self, payload: bytes) -> str:
        if payload.startswith(b"die"):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().decode(payload)


class StillbornModel(FragileModel):
    """Its process dies while it loads."""

    def load(self, device: str) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


class BrokenModel(FragileModel):
    """Fails for everything."""

    def predict(self, inputs: Sequence[str]) -> Sequence[Prediction]:
        msg = f"broken, whatever the {len(inputs)} inputs"
        raise RuntimeError(msg)


class HungryModel(FragileModel):
    """Has memory for two inputs at once, and none for one that says ``huge``."""

    def predict(self, inputs: Sequence[str]) -> Sequence[Prediction]:
        if len(inputs) > 2 or any(text.startswith("huge") for text in inputs):
            raise MemoryError
        return super().predict(inputs)
