"""A result as a flat document: what the database sinks store."""

import socket
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, Self

from velox.records import Box, Pointer, Result
from velox.settings.sinks import StoreSettings
from velox.sinks.sink import Stored

Value = str | int | float | list[dict[str, Any]]
Document = dict[str, Value]

_HOSTNAME: Final = socket.gethostname()
_UTF8_BYTES: Final = 4
"""A character takes no more."""


class Extras(NamedTuple):
    """What is stored besides, when the settings say so."""

    timings: bool = False
    text: int = 0
    """Characters of the payload."""

    @classmethod
    def of(cls, settings: StoreSettings) -> Self:
        """Read them from the settings."""
        return cls(settings.store_timings, settings.store_text)


NO_EXTRAS: Final = Extras()


def document(result: Result, extras: Extras = NO_EXTRAS) -> Document:
    """Flatten a result into plain values under fixed names.

    Whatever the producer wrote, the document is one that every database takes: metadata never becomes a name,
    text is bounded and valid Unicode, numbers are plain Python numbers. ``scores`` and ``boxes`` are lists, and there
    only when the model gives them; ``object_key`` and ``hostname`` only where the payload is an object in a bucket;
    ``camera_id``, ``img_path``, ``frame_timestamp`` and ``age_ms`` only where that is a camera's frame.
    """
    record, model = result.record, result.model
    fields: Document = {
        "_id": result.id,
        "timestamp": float(result.timestamp),
        "confidence": float(result.prediction.confidence),
        "predicted_label": _text(result.prediction.label),
        "ground_truth": _text(record.ground_truth),
        "file_path": _text(result.file_path),
        "is_detection": bool(result.is_detection),
        "topic": record.position.topic,
        "partition": int(record.position.partition),
        "offset": int(record.position.offset),
        "model": _text(model.name),
        "model_version": _text(model.version),
        "predicted_at": float(result.predicted_at),
    }
    if record.pointer is not None:
        fields |= {"object_key": clean(record.pointer.key), "hostname": _HOSTNAME}
        fields |= _frame(record.pointer, record.position.topic, result.predicted_at)
    if result.prediction.scores:
        fields["scores"] = [{"label": _text(label), "score": score} for label, score in result.prediction.scores]
    if result.prediction.boxes:
        fields["boxes"] = [_box(box) for box in result.prediction.boxes]
    if extras.timings and (timings := result.timings) is not None:
        fields |= {
            "queue_ms": _milliseconds(timings.queued_s),
            "decode_ms": _milliseconds(timings.decoded_s),
            "inference_ms": _milliseconds(timings.inferred_s),
            "batch_size": timings.batch_size,
        }
    if extras.text:
        fields["text"] = excerpt(record.payload, extras.text)
    return fields


def _frame(pointer: Pointer, topic: str, now: float) -> Document:
    """Say of a camera's frame what its readers look for; nothing of other objects."""
    if pointer.taken_at is None:
        return {}
    return {
        "camera_id": pointer.camera or topic,
        "img_path": clean(pointer.key),
        "frame_timestamp": pointer.taken_at,
        "age_ms": _milliseconds(max(0.0, now - pointer.taken_at)),
    }


def documents(batch: Sequence[Result], extras: Extras = NO_EXTRAS) -> list[Document]:
    """Flatten a batch; of results with the same id only the last counts."""
    return [document(result, extras) for result in {result.id: result for result in batch}.values()]


def excerpt(payload: bytes, characters: int) -> str:
    """Answer the beginning of a payload as text that every database takes; what is not UTF-8 in it becomes a sign."""
    text = payload[: characters * _UTF8_BYTES].decode("utf-8", errors="replace")[:characters]
    return text.replace("\0", "\ufffd")


def stored(found: Mapping[str, Any]) -> Stored:
    """Read a document back, whoever may have changed it meanwhile."""
    return Stored(
        id=str(found["_id"]),
        label=str(found.get("predicted_label", "")),
        is_detection=bool(found.get("is_detection")),
        position=(str(found.get("topic")), int(found.get("partition") or 0), int(found.get("offset") or 0)),
        predicted_at=found.get("predicted_at"),
    )


def _box(box: Box) -> dict[str, Any]:
    return {**box._asdict(), "label": _text(box.label)}


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 3)


def clean(value: str) -> str:
    r"""Answer a text that every database takes: ``_text``, and no ``\\0``, which PostgreSQL refuses."""
    return _text(value).replace("\0", "\ufffd")


def _text(value: str) -> str:
    r"""Replace what UTF-8 cannot hold: JSON may carry half of a surrogate pair (``"\ud800"``)."""
    return value if value.isascii() else value.encode("utf-8", errors="replace").decode("utf-8")
