"""A result as a flat document: what the database sinks store."""

from collections.abc import Mapping, Sequence
from typing import Any

from velox.records import Result
from velox.sinks.sink import Stored

Value = str | int | float
Document = dict[str, Value]


def document(result: Result) -> Document:
    """Flatten a result into plain values under fixed names.

    Whatever the producer wrote, the document is one that every database takes: metadata never becomes a name,
    text is bounded and valid Unicode, numbers are plain Python numbers.
    """
    record, model = result.record, result.model
    return {
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


def documents(batch: Sequence[Result]) -> list[Document]:
    """Flatten a batch; of results with the same id only the last counts."""
    return [document(result) for result in {result.id: result for result in batch}.values()]


def stored(found: Mapping[str, Any]) -> Stored:
    """Read a document back, whoever may have changed it meanwhile."""
    return Stored(
        id=str(found["_id"]),
        label=str(found.get("predicted_label", "")),
        is_detection=bool(found.get("is_detection")),
        position=(str(found.get("topic")), int(found.get("partition") or 0), int(found.get("offset") or 0)),
        predicted_at=found.get("predicted_at"),
    )


def _text(value: str) -> str:
    r"""Replace what UTF-8 cannot hold: JSON may carry half of a surrogate pair (``"\ud800"``)."""
    return value if value.isascii() else value.encode("utf-8", errors="replace").decode("utf-8")
