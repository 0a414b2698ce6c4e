"""Runs an exported network with OpenVINO: on the CPU, in float32, and without torch."""

from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import openvino

from velox.errors import ModelError
from velox.models.backends.backend import Batch, Probabilities
from velox.models.card import EXPORTED_FROM

_CONFIG: Final[dict[str, Any]] = {
    "INFERENCE_PRECISION_HINT": "f32",  # by default OpenVINO takes bfloat16 where the processor has it
    "INFERENCE_NUM_THREADS": 1,
    "NUM_STREAMS": 1,
    "ENABLE_CPU_PINNING": False,  # each process would pin itself to the same first core
}


class OpenVinoBackend:
    """An exported network on one thread: there is an inference process for each core.

    Images go through one by one: what one needs stays in the core's cache, so a batch would take longer for each.
    """

    def __init__(self, path: Path, identity: str) -> None:
        """Read and compile the export at ``path``.

        Raises:
            ModelError: it is missing, damaged, or was made from another model than ``identity`` names.
        """
        core = _core()
        model = _read(core, path)
        found = _exported_from(model)
        if found != identity:
            msg = f"{path}: exported from {found or 'something else'}, not from {identity}"
            raise ModelError(msg)
        _, *image = model.input(0).partial_shape
        model.reshape([1, *image])
        self._request = core.compile_model(model, "CPU", _CONFIG).create_infer_request()

    def __call__(self, batch: Batch) -> Probabilities:
        """Answer for a batch, image by image."""
        answers = [self._request.infer([image[np.newaxis]], share_inputs=True)[0] for image in batch]
        return np.concatenate(answers)


@cache
def _core() -> openvino.Core:
    """Make the one core of this process: its end would take away the stack that the thread's signal handlers use."""
    return openvino.Core()


def _read(core: openvino.Core, path: Path) -> openvino.Model:
    try:
        return core.read_model(path.read_bytes())
    except OSError as error:
        msg = f"{path}: cannot read the export: {error.strerror}"
        raise ModelError(msg) from error
    except RuntimeError as error:
        msg = f"{path}: damaged, or no ONNX file"
        raise ModelError(msg) from error


def _exported_from(model: openvino.Model) -> str:
    entry = ["framework", EXPORTED_FROM]  # where OpenVINO keeps the metadata of an ONNX file
    return str(model.get_rt_info(entry).value) if model.has_rt_info(entry) else ""
