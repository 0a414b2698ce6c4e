"""Every error Velox raises on purpose.

VeloxError
├── SettingsError            a setting is unknown, invalid or contradicts another
├── BadRecordError           a record's own data is bad: it is dead-lettered, nothing else suffers
├── ModelError               the model's files are missing, damaged or do not fit together
├── SourceError              a source cannot be read
├── ForbiddenAddressError    a webhook may not go where it is to go
├── SystemUnavailableError   a system is failing: wait and try again, never dead-letter
│   ├── BrokerUnavailableError
│   ├── BucketUnavailableError
│   │   └── ObjectDeniedError
│   ├── SinkUnavailableError
│   └── StoreUnavailableError
├── RefusedResultsError      a sink will never take some results: their records are dead-lettered
├── RewoundError             a partition began anew while its records were in flight
└── InferenceFailedError     inference processes keep dying: the consumer gives up and exits
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class VeloxError(Exception):
    """Base of all errors that carry a message meant for the user."""


class SettingsError(VeloxError):
    """A setting is unknown, invalid or contradicts another; the message names the variable."""


class Reason(StrEnum):
    """Why a record gets no prediction: the label of the dead-letter counter and header."""

    BAD_ENVELOPE = "bad_envelope"
    BAD_METADATA = "bad_metadata"
    EMPTY = "empty"
    TOO_LARGE = "too_large"
    CHECKSUM_MISMATCH = "checksum_mismatch"
    NOT_AN_IMAGE = "not_an_image"
    IMAGE_TOO_LARGE = "image_too_large"
    UNDECODABLE = "undecodable"
    BAD_PREDICTION = "bad_prediction"
    RESULT_REFUSED = "result_refused"
    OUT_OF_MEMORY = "out_of_memory"
    KILLED_INFERENCE = "killed_inference"
    FORBIDDEN_POINTER = "forbidden_pointer"
    OBJECT_MISSING = "object_missing"
    UNKNOWN_VERSION = "unknown_version"
    DEADLINE_PASSED = "deadline_passed"
    """No dead letter: nothing is wrong with the record, but nobody waits for it any more."""
    NO_OBJECT = "no_object"
    """No dead letter either: a notification of a bucket that tells of no new object."""
    SUPERSEDED = "superseded"
    """No dead letter: a newer record of its topic took its place (FRESHNESS)."""
    STALE = "stale"
    """No dead letter: nobody needs a prediction of what is so old (STALE_AFTER_MS)."""
    OBJECT_GONE = "object_gone"
    """No dead letter: its object was deleted before there was time for it, which FRESHNESS allows."""

    @property
    def leaves_letter(self) -> bool:
        """Say whether the record becomes a dead letter."""
        return self not in _NO_LETTER


_NO_LETTER: Final = frozenset(
    {Reason.DEADLINE_PASSED, Reason.NO_OBJECT, Reason.SUPERSEDED, Reason.STALE, Reason.OBJECT_GONE}
)


class BadRecordError(VeloxError):
    """A record's own data is bad. Crosses process borders, so both arguments stay positional and picklable."""

    def __init__(self, reason: Reason, detail: str) -> None:
        """Keep the bounded reason apart from the free text."""
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail

    def __str__(self) -> str:
        """Read as one line: ``reason: detail``."""
        return f"{self.reason}: {self.detail}"


class ModelError(VeloxError):
    """The model's files are missing, damaged or do not fit together; the message says how to get good ones."""


class SourceError(VeloxError):
    """A source cannot be read: the path is missing, empty or holds nothing usable."""


class ForbiddenAddressError(VeloxError):
    """A webhook may not go to this URL, or to the address of its host; the message says why."""


class SystemUnavailableError(VeloxError):
    """A system Velox depends on is failing; the work is kept and tried again."""


class BrokerUnavailableError(SystemUnavailableError):
    """Kafka cannot be reached or refuses the operation for now."""


class BucketUnavailableError(SystemUnavailableError):
    """A bucket cannot be reached, or does not give an object now."""


class ObjectDeniedError(BucketUnavailableError):
    """A bucket does not let us read an object: perhaps this one, perhaps any."""


class SinkUnavailableError(SystemUnavailableError):
    """A sink cannot take predictions for now."""


class StoreUnavailableError(SystemUnavailableError):
    """A store that is read, of requests or of results, cannot be reached for now."""


class RefusedResultsError(VeloxError):
    """A sink has stored a batch but for some results, which it will never take, whatever is done about the sink."""

    def __init__(self, refused: Mapping[str, str]) -> None:
        """Say why, by the results' ids."""
        super().__init__(refused)
        self.refused = refused

    def __str__(self) -> str:
        """Read as one line."""
        return "; ".join(f"{identity}: {why}" for identity, why in self.refused.items())


class RewoundError(VeloxError):
    """A partition's offsets went back while its records were in flight: its topic was deleted and created again."""


class InferenceFailedError(VeloxError):
    """Inference processes die without getting anything done; restarting them again would not help."""
