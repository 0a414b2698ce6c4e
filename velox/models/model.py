"""The Model contract: what an inference process runs."""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from velox.errors import BadRecordError
from velox.records import Prediction
from velox.settings import InferenceSettings


@runtime_checkable
class Sampled(Protocol):
    """What a model may offer besides: then its speed is known before the first record comes, not only after some."""

    def sample(self) -> bytes:
        """Give a payload like those to come, after ``load``. It is predicted a few times, and goes nowhere."""


class Model(Protocol):
    """One class of this form is a model; ``MODEL=package.module:ClassName`` chooses it.

    It is built and used in an inference process, by one thread; ``decode`` by several at once where DECODE_THREADS is
    more than 1. It knows nothing of Kafka, queues or sinks.
    """

    name: str
    version: str
    """Changes whenever the answers may change; a hash of the weights is a good one."""
    labels: Sequence[str]

    def __init__(self, settings: InferenceSettings) -> None:
        """Keep what is needed; touch no file and no device yet."""

    def load(self, device: str) -> None:
        """Get ready to predict on ``device`` (``cpu``, ``cuda:0``, …), warmed up; then the attributes above hold.

        Raises:
            ModelError: the files are missing, damaged or do not fit together. The consumer stops with its message.
        """

    def decode(self, payload: bytes) -> Any:  # noqa: ANN401 - only this model's predict reads it
        """Turn one payload into one input of ``predict``.

        What is odd about one that can be read all the same, ``velox.models.remarks.remark`` takes: it is counted.

        Raises:
            BadRecordError: this payload cannot be read; it is dead-lettered and its neighbours go on.
        """

    def predict(self, inputs: Sequence[Any]) -> Sequence[Prediction | BadRecordError]:
        """Answer for 1 to BATCH_SIZE inputs, one prediction each, in the order given.

        A ``BadRecordError`` in place of a prediction dead-letters that record alone. An error that is raised is
        taken for a failure of the process: it is replaced, and the batch is tried again, one by one.
        Not so when memory runs out (``MemoryError``, torch's and others' own errors): then it is asked again, in parts.
        """
