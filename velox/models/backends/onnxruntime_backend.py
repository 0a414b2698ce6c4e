"""Runs an exported network with ONNX Runtime: on the CPU and without torch."""

from pathlib import Path

import numpy as np
import onnxruntime

from velox.errors import ModelError
from velox.models.backends.backend import Images, Precision, Probabilities
from velox.models.card import EXPORTED_FROM, read_export

_ONLY_ERRORS = 3


class OnnxRuntimeBackend:
    """An exported network on one thread: there is an inference process for each core.

    Images go through one by one: what one needs stays in the core's cache, so a batch would take longer for each.
    """

    def __init__(self, path: Path, identity: str, _precision: Precision = "fp32") -> None:
        """Read and optimise the export at ``path``; for ``int8`` it is the quantised one, and the file says it all.

        Raises:
            ModelError: it is missing, damaged, or was made from another model than ``identity`` names.
        """
        onnxruntime.disable_telemetry_events()
        self._session = start_session(path)
        found = self._session.get_modelmeta().custom_metadata_map.get(EXPORTED_FROM, "")
        if found != identity:
            msg = f"{path}: exported from {found or 'something else'}, not from {identity}"
            raise ModelError(msg)
        self._input = self._session.get_inputs()[0].name

    @staticmethod
    def can_compute(_precision: Precision) -> bool:
        """Say whether this processor can compute in a precision: each can in those that it has kernels for."""
        return True

    def __call__(self, images: Images) -> Probabilities:
        """Return n × classes probabilities, computed image by image."""
        answers = [self._session.run(None, {self._input: image[np.newaxis]})[0] for image in images]
        return np.concatenate(answers)


def start_session(path: Path) -> onnxruntime.InferenceSession:
    """Read and optimise an ONNX file, for one thread.

    Raises:
        ModelError: it is missing or damaged.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = _ONLY_ERRORS
    content = read_export(path)
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        # Its errors have no public base class but this.
        msg = f"{path}: damaged, or no ONNX file"
        raise ModelError(msg) from error
