"""The values that flow through Velox, from a Kafka record to a stored result."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from velox.errors import BadRecordError, Reason

Headers = Sequence[tuple[str, bytes | None]]
Metadata = Mapping[str, Any]

ID_HEADER = "velox-id"
DEADLINE_HEADER = "velox-deadline"
"""Unix milliseconds, in decimal digits, after which nobody needs the record's prediction any more."""
VERSION_HEADER = "velox-model-version"
"""The version of the model that is asked for."""
UNLABELLED = "unknown_unknown"
"""The ground truth of a record whose producer says nothing of it."""
_DEADLINE = re.compile(rb"[0-9]{1,15}")
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


class Omitted(NamedTuple):
    """What of a record was too large to be kept."""

    value_bytes: int
    record_bytes: int | None = None
    """Key, value and headers together, when key and headers are not kept either."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pointer:
    """What names a payload that is kept elsewhere, in a bucket."""

    key: str
    """Of the object: for a folder its path below it, for S3 its key."""
    bucket: str = ""
    """Its name; empty = that of the pipeline, BUCKET_URL."""
    size_bytes: int | None = None
    """As who wrote it says; None when nobody says."""
    sha256: str = ""
    """The same, in hexadecimal digits; empty when nobody says."""
    taken_at: float | None = None
    """Unix seconds at which a camera took it; None where it is no camera's frame."""
    camera: str = ""
    """The id of that camera, where the record says it; else it is the topic's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One Kafka message, taken apart, with no more of it than is read or has to be handed on."""

    id: str
    position: Position
    epoch: int = 0
    """During which ownership of its partition it was fetched: what comes of it later than that counts for nothing."""
    key: bytes | None = None
    head: bytes = b""
    """The raw value up to the payload; all of it when there is no payload, or when that is apart."""
    payload: bytes = b""
    """What the model reads: JPEG bytes, text; empty until it has been downloaded, where there is a pointer."""
    is_apart: bool = False
    """The payload is no part of the raw value: it was written in another way there, or is kept elsewhere."""
    pointer: Pointer | None = None
    """Where the payload is, when not in the record itself."""
    headers: Headers = ()
    ground_truth: str = UNLABELLED
    """``color_shape`` as the producer labelled it."""
    produced_at: float
    """Unix seconds at which the producer made it: as it says, else as Kafka does."""
    timed_from: float | None = None
    """Unix seconds from which its latency counts; None when nobody says so credibly."""
    size_bytes: int = 0
    """Memory that it holds while it is in flight."""
    omitted: Omitted | None = None
    """What is missing here, and can be read again only at its position."""

    @property
    def value(self) -> bytes:
        """Put the raw value together as it was in Kafka: what a dead letter carries."""
        return self.head + self.payload if self.payload and not self.is_apart else self.head


class Box(NamedTuple):
    """Something found in an image, and where: edges as shares of its width and height, from its top left corner."""

    label: str
    confidence: float
    left: float
    top: float
    right: float
    bottom: float


@dataclass(frozen=True, slots=True)
class Prediction:
    """A model's answer for one payload: the top-1 label and its probability in [0, 1]."""

    label: str
    confidence: float
    scores: tuple[tuple[str, float], ...] = ()
    """Labels with their probabilities, best first, at most 100; none from a model that gives only the best."""
    boxes: tuple[Box, ...] = ()
    """What a detector has found, at most 100; none from a classifier."""

    def __reduce__(self) -> tuple[type["Prediction"], tuple[Any, ...]]:
        """Cross to the fetcher as what it was made of: half the cost of what dataclasses do by themselves."""
        plain = (self.label, self.confidence)
        return Prediction, (*plain, self.scores, self.boxes) if self.scores or self.boxes else plain


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """Which model answered, and on what."""

    name: str
    version: str
    labels: tuple[str, ...]
    device: str


class Timings(NamedTuple):
    """How long a batch took; all its records have these in common."""

    queued_s: float
    """Seconds that its first record waited for the others, and for the inference process."""
    decoded_s: float
    inferred_s: float
    batch_size: int
    """Records in it, with those that could not be read."""


class Answered(NamedTuple):
    """A record with what came of it; without a model when it never reached one."""

    record: Record
    answer: Prediction | BadRecordError
    model: ModelInfo | None = None
    at: float = 0.0
    """Unix seconds at which the answer came."""
    timings: Timings | None = None
    """Of its batch, when it was in one."""
    beside: tuple["Answered", ...] = ()
    """What further models say of the same record, where several look at each; then each has a result of its own."""
    is_of_several: bool = False
    """One of several models answers, or might."""


@dataclass(frozen=True, slots=True)
class Result:
    """A record with its prediction: what sinks store."""

    record: Record
    prediction: Prediction
    model: ModelInfo
    is_detection: bool
    predicted_at: float
    """Unix seconds at which the prediction came to the fetcher; not yet stored then."""
    file_path: str
    """Where the disk sink keeps the payload; empty when it does not."""
    timings: Timings | None = None
    """How long its batch took; None when nobody says."""
    is_of_several: bool = False
    """Other models may have results for the same record."""

    @property
    def id(self) -> str:
        """The key in every sink: the record's id, with the model's name where several models look at each record."""
        return f"{self.record.id}/{self.model.name}" if self.is_of_several else self.record.id

    @property
    def timestamp(self) -> float:
        """Unix seconds at which the producer made the record."""
        return self.record.produced_at


@dataclass(frozen=True, slots=True)
class Failure:
    """A record that gets no prediction, with the reason: on the dead-letter topic, unless only its deadline passed."""

    record: Record
    reason: Reason
    detail: str
    at: float
    """Unix seconds at which that was known."""

    @property
    def id(self) -> str:
        """The key in every sink: the one that its result would have had."""
        return self.record.id


Outcome = Result | Failure
"""What became of a record."""


def is_safe_id(text: str) -> bool:
    """Say whether a text can be a record's id: letters, digits and ``. _ -``, at most 128, the first no sign."""
    return _SAFE_ID.fullmatch(text) is not None


def record_id(position: Position, headers: Headers, said: str = "") -> str:
    """Choose the id under which a record's prediction is stored everywhere.

    The producer's ``velox-id`` header when it is there and safe to use as a file name and a key
    (letters, digits, ``. _ -``, at most 128); else what its value says (``said``), by the same rule; otherwise the
    record's position. All three survive a replay.
    """
    for name, value in headers:
        if name == ID_HEADER and value is not None:
            text = value.decode("utf-8", errors="replace")
            if is_safe_id(text):
                return text
    return said if is_safe_id(said) else str(position)


def deadline(headers: Headers) -> float | None:
    """Answer the Unix seconds until which a record is waited for; None where nobody says so in the proper form."""
    for name, value in headers:
        if name == DEADLINE_HEADER and value is not None and _DEADLINE.fullmatch(value):
            return int(value) / 1000
    return None


def asked_version(headers: Headers) -> str:
    """Name the version of the model that a record asks for; empty where it asks for none."""
    for name, value in headers:
        if name == VERSION_HEADER and value:
            return value.decode("utf-8", errors="replace")
    return ""
