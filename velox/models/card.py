"""The model's files: weights, labels, the card that says what they are, and the export that runs without torch."""

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from velox.errors import ModelError
from velox.models import foreign
from velox.models.agreement import Agreement
from velox.models.replacing import replace, sync_folder, write_beside

log = logging.getLogger(__name__)

EXPORTED_FROM: Final = "velox_model"
"""Name of the export's metadata that holds the ``identity`` of the model it was made from."""
_WRITE_LABELS: Final = 'write {"0": label, "1": label, …} there, in the order of the outputs'


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What a trained model is, reads and can do: the content of ``model.json``."""

    architecture: str
    labels: tuple[str, ...]
    input_size: int
    """Side of the square input in pixels."""
    version: str
    """Hash of weights and labels: it says which files the card belongs to."""
    preprocessing: str = ""
    """Profile the training images went through."""
    accuracy: float | None = None
    """Top-1 on the held-out images, in [0, 1]."""
    accuracy_by_label: Mapping[str, float] = field(default_factory=dict)
    starts_from: str = ""
    """``imagenet`` or ``scratch``."""
    dataset: Mapping[str, Any] = field(default_factory=dict)
    precisions: Mapping[str, Agreement] = field(default_factory=dict)
    """Agreement with float32, where it was measured, by backend, precision and what the processor computed with, like
    ``openvino int8 (AVX2)``; without the last it counts on every processor."""
    profiles: Mapping[str, Agreement] = field(default_factory=dict)
    """Agreement of ``fast`` preprocessing with ``exact``, both in float32."""


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """The files as they lie on disk, read whole and found to fit together."""

    weights: bytes
    """Empty when only export, labels and card were given: enough to predict without torch."""
    labels: tuple[str, ...]
    version: str
    card: ModelCard | None
    """None when there is no card, or when it describes other files than these."""


def card_path(model_path: Path) -> Path:
    """Say where the card of ``model_path`` lies: beside it, ``model.json`` for ``model.pth``."""
    return model_path.with_suffix(".json")


def export_path(model_path: Path) -> Path:
    """Say where the export of ``model_path`` lies: beside it, ``model.onnx`` for ``model.pth``."""
    return model_path.with_suffix(".onnx")


def quantised_path(model_path: Path) -> Path:
    """Say where the export in int8 lies: beside it, ``model.int8.onnx`` for ``model.pth``."""
    return model_path.with_suffix(".int8.onnx")


def identity(architecture: str, version: str) -> str:
    """Name the one model that an export may be used for."""
    return f"{architecture} {version}"


def version_of(weights: bytes, labels: tuple[str, ...]) -> str:
    """Hash what decides the answers: the first 12 hex digits of SHA-256 over weights and labels."""
    digest = hashlib.sha256(weights)
    digest.update(json.dumps(labels, ensure_ascii=False).encode())
    return digest.hexdigest()[:12]


def is_complete(model_path: Path, classes_path: Path, *, needs_weights: bool = True) -> bool:
    """Say whether there is a model to predict with, by its files' names alone."""
    if not classes_path.is_file():
        return False
    by_export = export_path(model_path).is_file() and card_path(model_path).is_file()
    return model_path.is_file() or (by_export and not needs_weights)


def read(model_path: Path, classes_path: Path, *, needs_weights: bool = True) -> ModelFiles:
    """Read weights, labels and, if there is a valid one, the card.

    Users may replace weights and labels with their own: a card that does not fit is ignored, with a warning.

    Args:
        model_path: the weights; card and export lie beside them.
        classes_path: the labels.
        needs_weights: False when export, labels and card, if they fit together, are enough.

    Raises:
        ModelError: weights or labels are missing or unreadable.
    """
    if not needs_weights and not model_path.exists():
        return _read_without_weights(model_path, classes_path)
    weights = read_bytes(model_path, "no model; train one with `python train.py`")
    labels = _read_labels(classes_path, model_path)
    version = version_of(weights, labels)
    card = _read_card(card_path(model_path))
    if card is not None and card.version != version:
        log.warning("%s describes other files than %s and %s: ignored", card_path(model_path), model_path, classes_path)
        card = None
    return ModelFiles(weights, labels, version, card)


def _read_without_weights(model_path: Path, classes_path: Path) -> ModelFiles:
    if not is_complete(model_path, classes_path, needs_weights=False):
        files = f"{export_path(model_path)}, {card_path(model_path)} and {classes_path}"
        msg = f"{model_path}: no model; train one with `python train.py` where there is torch, or copy here {files}"
        raise ModelError(msg)
    labels = _read_labels(classes_path, model_path)
    card = _read_card(card_path(model_path))
    if card is None or card.labels != labels:
        msg = (
            f"{card_path(model_path)}: no card of a model with the labels in {classes_path}, and needed where there are"
            " no weights: copy all files of one training together"
        )
        raise ModelError(msg)
    return ModelFiles(b"", labels, card.version, card)


def write(
    card: ModelCard,
    weights: bytes,
    *,
    model_path: Path,
    classes_path: Path,
    export: bytes | None = None,
    quantised: bytes | None = None,
) -> None:
    """Replace the files, each atomically; the old model stays until all the new ones are on disk.

    Weights must never stand beside labels they were not trained for: the predictions would be wrong without a sign.
    So the weights come last, and when the labels change the old ones go first. A crash between the renames therefore
    leaves either the old model with a card that does not fit, which is ignored, or no model, which says so itself.
    An export says itself which model it is of: one that is left of an older model is never used.

    Raises:
        ModelError: a file cannot be written; the message names it.
    """
    classes = json.dumps({str(index): label for index, label in enumerate(card.labels)}, indent=2, ensure_ascii=False)
    contents = {
        card_path(model_path): _described(card),
        classes_path: classes.encode() + b"\n",
        **({} if export is None else {export_path(model_path): export}),
        **({} if quantised is None else {quantised_path(model_path): quantised}),
        model_path: weights,
    }
    temporary: dict[Path, Path] = {}
    try:
        for path, content in contents.items():
            temporary[path] = write_beside(path, content)
        if not _holds_labels(classes_path, card.labels):
            for path in (model_path, export_path(model_path), quantised_path(model_path)):
                path.unlink(missing_ok=True)
            sync_folder(model_path.parent)
        for path, written in temporary.items():
            written.replace(path)
            sync_folder(path.parent)
    except OSError as error:
        msg = f"{error.filename or model_path}: cannot write the model: {error.strerror or error}"
        raise ModelError(msg) from error
    finally:
        for written in temporary.values():
            written.unlink(missing_ok=True)


def read_export(path: Path) -> bytes:
    """Read an export.

    Raises:
        ModelError: it is missing, unreadable, or certainly none.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        msg = f"{path}: cannot read the export: {error.strerror}"
        raise ModelError(msg) from error
    return _checked(content, path)


def read_bytes(path: Path, if_missing: str) -> bytes:
    """Read a model's file.

    Raises:
        ModelError: it is missing, which ``if_missing`` explains, unreadable, or certainly no model.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        msg = f"{path}: {if_missing}"
        raise ModelError(msg) from None
    except OSError as error:
        msg = f"{path}: cannot read the model: {error.strerror}"
        raise ModelError(msg) from error
    return _checked(content, path)


def write_export(export: bytes, model_path: Path) -> None:
    """Replace the export alone.

    Raises:
        ModelError: it cannot be written.
    """
    _replace(export_path(model_path), export)


def write_quantised(quantised: bytes, model_path: Path) -> None:
    """Replace the export in int8 alone.

    Raises:
        ModelError: it cannot be written.
    """
    _replace(quantised_path(model_path), quantised)


def amend(card: ModelCard, model_path: Path, classes_path: Path) -> None:
    """Replace the card alone, if it is of the model that is there now.

    Raises:
        ModelError: it is not, or cannot be written.
    """
    if read(model_path, classes_path, needs_weights=False).version != card.version:
        msg = f"{model_path}: replaced by another model meanwhile"
        raise ModelError(msg)
    _replace(card_path(model_path), _described(card))


def _replace(path: Path, content: bytes) -> None:
    try:
        replace(path, content)
    except OSError as error:
        msg = f"{path}: cannot be written: {error.strerror or error}"
        raise ModelError(msg) from error


def _described(card: ModelCard) -> bytes:
    return json.dumps(asdict(card), indent=2, ensure_ascii=False).encode() + b"\n"


def _holds_labels(classes_path: Path, labels: tuple[str, ...]) -> bool:
    try:
        return _parse_labels(classes_path.read_bytes(), classes_path) == labels
    except (OSError, ModelError):
        return False


def _read_labels(path: Path, model_path: Path) -> tuple[str, ...]:
    return _parse_labels(read_bytes(path, f"no labels for {model_path}; {_WRITE_LABELS}"), path)


def _checked(content: bytes, path: Path) -> bytes:
    if problem := foreign.named(content):
        msg = f"{path} {problem}"
        raise ModelError(msg)
    return content


def _parse_labels(content: bytes, path: Path) -> tuple[str, ...]:
    try:
        classes = json.loads(content)
        labels = tuple(classes[str(index)] for index in range(len(classes)))
    except (ValueError, TypeError, KeyError, RecursionError):
        labels = ()
    if not labels or not all(isinstance(label, str) for label in labels):
        msg = f"{path}: no labels that can be read; {_WRITE_LABELS}"
        raise ModelError(msg)
    return labels


def _read_card(path: Path) -> ModelCard | None:
    try:
        fields = json.loads(path.read_bytes())
        measured = {
            kind: {name: Agreement(**values) for name, values in fields.get(kind, {}).items()}
            for kind in ("precisions", "profiles")
        }
        return ModelCard(**{**fields, **measured, "labels": tuple(fields["labels"])})
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        log.warning("%s is no model card and is ignored: %s", path, error)
        return None
