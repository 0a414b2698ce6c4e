"""Makes what a network's folder lacks: the tokenizer as one file, the export, its int8 and how far that agrees."""

import logging
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Final

from velox import logs
from velox.errors import ModelError, VeloxError
from velox.models.agreement import compare
from velox.models.apart import handed_over
from velox.models.replacing import replace
from velox.models.transformer import agreements, folder, starting
from velox.models.transformer.batches import classify
from velox.models.transformer.onnx_network import OnnxNetwork
from velox.models.transformer.tokens import Tokenizer
from velox.settings import InferenceSettings, SourceSettings
from velox.sources.reviews import ReviewsSource

log = logging.getLogger(__name__)

_TEXTS: Final = 256
_LONG_EVERY: Final = 8
"""Every so manieth text is so many reviews in one: long ones must agree too."""


def make_export(settings: InferenceSettings) -> None:
    """Write ``tokenizer.json`` and ``model.onnx``, unless there are those of these weights. Takes transformers.

    Raises:
        ModelError: the folder cannot be read, or the files cannot be made or written.
    """
    files = folder.read(folder.find(settings.model_path))
    if not files.tokenizer.exists():
        _write(files.tokenizer, _tokenizer(files.folder))
        files = folder.read(files.folder)
    if not files.weights:
        return
    with suppress(ModelError):
        starting.exported(files)
        return
    from velox.models.transformer.exporting import to_onnx  # noqa: PLC0415 - takes torch

    _write(files.export, to_onnx(files.folder, files.version))


def make_int8(settings: InferenceSettings) -> None:
    """Write ``model.int8.onnx``, and in ``velox.json`` how far it agrees with the export, unless that is known.

    Raises:
        ModelError: there is no export, or the files cannot be made or written.
    """
    files = folder.read(folder.find(settings.model_path))
    exact, version = starting.exported(files)
    if agreements.recall(files.folder, version):
        return
    from velox.models.quantisation import quantise_weights  # noqa: PLC0415 - takes onnx

    try:
        quantised = quantise_weights(files.export.read_bytes(), version)
    except Exception as error:  # whatever a network does to the quantiser
        msg = f"{files.export}: cannot be quantised: {' '.join(str(error).split())[:300]}"
        raise ModelError(msg) from error
    _write(files.quantised, quantised)
    tokenize = Tokenizer(files)
    texts = [tokenize(text) for text in _held_out()]
    answers = [classify(network, texts, pad_token=files.pad_token) for network in (exact, OnnxNetwork(files.quantised))]
    agreement = compare(*answers, threshold=settings.confidence_threshold)
    agreements.remember(files.folder, version, agreement)
    log.info("int8 %s", agreements.said(agreement))


def run(settings: InferenceSettings) -> int:
    """Make all that a start with these settings needs; answer the exit code.

    Raises:
        ModelError: as the steps say. Without an int8 the model runs in float32: that is only logged.
    """
    logs.configure(level=settings.log_level, form=settings.log_format)
    log.info("Exporting %s, unless that is done", settings.model_path)
    make_export(settings)
    if settings.precision != "fp32" and settings.backend != "torch":
        try:
            make_int8(settings)
        except ModelError as problem:
            log.warning("No int8: %s", problem)
    log.info("%s is complete", settings.model_path)
    return 0


STEPS: Final[Mapping[str, Callable[[InferenceSettings], None]]] = MappingProxyType(
    {"export": make_export, "int8": make_int8}
)


def main(step: str) -> None:
    """Make one thing; a process of its own, whose libraries go with it."""
    logging.basicConfig(level=logging.ERROR, format="%(message)s")
    try:
        STEPS[step](handed_over())
    except VeloxError as error:
        sys.exit(str(error))


def _held_out() -> list[str]:
    """Make up texts, always the same."""
    reviews: Iterator[str] = (item.payload.decode() for item in ReviewsSource(SourceSettings.model_construct()))
    return [
        " ".join(islice(reviews, _LONG_EVERY if number % _LONG_EVERY == 0 else 1)) for number in range(1, _TEXTS + 1)
    ]


def _tokenizer(place: Path) -> bytes:
    """Write an older form, such as ``vocab.txt``, as the one file that ``tokenizers`` reads."""
    from velox.models.transformer.exporting import tokenizer_of  # noqa: PLC0415 - takes transformers

    with tempfile.TemporaryDirectory() as temporary:
        written = Path(temporary) / "tokenizer.json"
        tokenizer_of(place).save(str(written))
        return written.read_bytes()


def _write(path: Path, content: bytes) -> None:
    try:
        replace(path, content)
    except OSError as error:
        msg = f"{path}: cannot be written: {error.strerror or error}"
        raise ModelError(msg) from error
