"""Exports in int8: weights rounded to 8 bits, and activations, by what images show of them or as each batch asks."""

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import onnxruntime
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_dynamic, quantize_static

from velox.models.backends.backend import Batch
from velox.models.card import EXPORTED_FROM

_QUANTISED: Final = ["Conv", "Gemm", "Add", "ReduceMean", "GlobalAveragePool", "Clip", "Relu", "MaxPool", "Concat"]
"""All that networks spend their time with; softmax is not among them."""
_ONLY_ERRORS: Final = 3


def quantise(export: bytes, images: Batch) -> bytes:
    """Quantise an export; what is before its first convolution, the normalisation, stays in float32.

    Args:
        export: an ONNX file of the form that ``export.to_onnx`` gives.
        images: some that are typical, from training.
    """
    onnxruntime.set_default_logger_severity(_ONLY_ERRORS)
    network = onnx.load_model_from_string(export)
    before = [node.op_type for node in network.graph.node].index("Conv")
    with tempfile.TemporaryDirectory() as folder, _silenced():
        written = Path(folder) / "int8.onnx"
        quantize_static(
            network,
            written,
            _Images(network.graph.input[0].name, images),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=_QUANTISED,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=[node.name for node in network.graph.node[:before]],
        )
        return written.read_bytes()


def quantise_weights(export: bytes, version: str) -> bytes:
    """Quantise the weights of a network for texts; its activations are rounded batch by batch.

    Args:
        export: an ONNX file.
        version: what the result says that it was made from.
    """
    onnxruntime.set_default_logger_severity(_ONLY_ERRORS)
    network = onnx.load_model_from_string(export)
    del network.graph.value_info[:]  # it names shapes of weights that the quantiser transposes, and then stumbles over
    with tempfile.TemporaryDirectory() as folder, _silenced():
        written = Path(folder) / "int8.onnx"
        quantize_dynamic(network, written, per_channel=True, weight_type=QuantType.QInt8)
        quantised = onnx.load_model_from_string(written.read_bytes())
    onnx.helper.set_model_props(quantised, {EXPORTED_FROM: version})
    content: bytes = quantised.SerializeToString()
    return content


@contextmanager
def _silenced() -> Iterator[None]:
    """Keep the tool's advice out of the log: it comes through the root logger itself, which nobody else uses."""
    root = logging.getLogger()
    root.addFilter(_is_error)
    try:
        yield
    finally:
        root.removeFilter(_is_error)


def _is_error(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.ERROR


class _Images(CalibrationDataReader):  # type: ignore[misc]  # it has no types
    """Hands images over one by one."""

    def __init__(self, name: str, images: Batch) -> None:
        self._inputs: Iterator[dict[str, Batch]] = ({name: image[np.newaxis]} for image in images)

    def get_next(self) -> dict[str, Any] | None:
        """Return the next input, None after the last."""
        return next(self._inputs, None)
