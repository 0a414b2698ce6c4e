"""The values that flow through Velox, from a Kafka record to a stored result."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

Headers = Sequence[tuple[str, bytes | None]]
Metadata = Mapping[str, Any]

ID_HEADER = "velox-id"
_SAFE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


class Partition(NamedTuple):
    """One partition of one topic."""

    topic: str
    number: int


class Position(NamedTuple):
    """Where a record lies in Kafka; written ``topic-partition-offset``."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        """Write the position as it appears in ids and logs."""
        return f"{self.topic}-{self.partition}-{self.offset}"


@dataclass(frozen=True, slots=True)
class Record:
    """One Kafka message, taken apart. ``payload`` is what the model reads (JPEG bytes, text)."""

    id: str
    position: Position
    key: bytes | None
    value: bytes
    """The raw value, as it was in Kafka: what a dead letter carries."""
    metadata: Metadata
    payload: bytes
    headers: Headers
    produced_at: float
    """Unix seconds at which the producer made it: its metadata's ``timestamp``, else Kafka's."""

    @property
    def ground_truth(self) -> str:
        """``color_shape`` as the producer labelled it, ``unknown_unknown`` without labels."""
        return f"{self.metadata.get('color_label', 'unknown')}_{self.metadata.get('shape_label', 'unknown')}"


@dataclass(frozen=True, slots=True)
class Prediction:
    """A model's answer for one payload: the top-1 label and its probability in [0, 1]."""

    label: str
    confidence: float


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """Which model answered, and on what."""

    name: str
    version: str
    labels: tuple[str, ...]
    device: str


@dataclass(frozen=True, slots=True)
class Result:
    """A record with its prediction: what sinks store."""

    record: Record
    prediction: Prediction
    model: ModelInfo
    is_detection: bool
    predicted_at: float
    """Unix seconds at which the prediction reached the fetcher."""
    file_path: str
    """Where the disk sink keeps the payload; empty when it does not."""

    @property
    def id(self) -> str:
        """The key in every sink."""
        return self.record.id

    @property
    def timestamp(self) -> float:
        """Unix seconds at which the producer made the record."""
        return self.record.produced_at


def record_id(position: Position, headers: Headers) -> str:
    """Choose the id under which a record's prediction is stored everywhere.

    The producer's ``velox-id`` header when it is there and safe to use as a file name and a key
    (letters, digits, ``. _ -``, at most 128); otherwise the record's position. Both survive a replay.
    """
    for name, value in headers:
        if name == ID_HEADER and value is not None:
            text = value.decode("utf-8", errors="replace")
            if _SAFE_ID.fullmatch(text):
                return text
    return str(position)
