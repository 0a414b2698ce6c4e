"""The Model contract: what an inference process runs."""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from velox.errors import BadRecordError
from velox.records import Prediction
from velox.settings import InferenceSettings


@runtime_checkable
class Sampled(Protocol):
    """What a model may offer in addition: then its speed is known before the first record comes."""

    def sample(self) -> bytes:
        """Return a payload like those to come, after ``load``. It is predicted a few times; the result goes nowhere."""


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

        An input may be anything, as only this model's ``predict`` reads it: an array of pixels of whatever shape and
        type, text, tokens. It stays in this process. For a payload that is odd but readable, call
        ``velox.models.remarks.remark``: it is counted and logged. There is no deadline of its own: a call that takes
        longer than INFERENCE_TIMEOUT_S gets the process killed.

        Raises:
            BadRecordError: this payload cannot be read; it is dead-lettered and its neighbours go on.
        """

    def predict(self, inputs: Sequence[Any]) -> Sequence[Prediction | BadRecordError]:
        """Return one prediction for each of 1 to BATCH_SIZE inputs, in the order given.

        The result has as many items as there are inputs. Labels are plain text of at most 1000 characters,
        confidences are Python or numpy numbers from 0 to 1. A ``BadRecordError`` in place of a prediction dead-letters
        that record alone. An error that is raised counts as a failure of the process: the process is replaced, and the
        batch is tried again, record by record. When memory runs out (``MemoryError``, torch's and others' own errors),
        ``predict`` is called again with parts of the batch instead.
        """
