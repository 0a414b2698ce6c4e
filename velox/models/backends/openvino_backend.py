"""Runs an exported network with OpenVINO: on the CPU and without torch."""

from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import openvino

from velox.errors import ModelError
from velox.models.backends.backend import Images, Precision, Probabilities, UnsupportedPrecisionError
from velox.models.card import EXPORTED_FROM, read_export

_CONFIG: Final[dict[str, Any]] = {
    "INFERENCE_NUM_THREADS": 1,
    "NUM_STREAMS": 1,
    "ENABLE_CPU_PINNING": False,  # each process would pin itself to the same first core
}
# By default OpenVINO takes bfloat16 where the processor has it. What is not int8 in an int8 file is float32.
_HINTS: Final = {"fp32": "f32", "bf16": "bf16", "int8": "f32"}


class OpenVinoBackend:
    """An exported network on one thread: there is an inference process for each core.

    Images go through one by one: what one needs stays in the core's cache, so a batch would take longer for each.
    """

    def __init__(self, path: Path, identity: str, precision: Precision = "fp32") -> None:
        """Read and compile the export at ``path``; for ``int8`` it is the quantised one.

        Raises:
            ModelError: it is missing, damaged, or was made from another model than ``identity`` names; or this
                processor cannot compute in ``precision``.
        """
        core = _core()
        model = _read(core, path)
        found = _exported_from(model)
        if found != identity:
            msg = f"{path}: exported from {found or 'something else'}, not from {identity}"
            raise ModelError(msg)
        _, *image = model.input(0).partial_shape
        model.reshape([1, *image])
        config = {**_CONFIG, "INFERENCE_PRECISION_HINT": _HINTS[precision]}
        compiled = core.compile_model(model, "CPU", config)
        if precision == "bf16" and compiled.get_property("INFERENCE_PRECISION_HINT") != openvino.Type.bf16:
            raise UnsupportedPrecisionError("PRECISION=bf16: this processor cannot compute with it: take fp32 or int8")
        self._request = compiled.create_infer_request()

    @staticmethod
    def can_compute(precision: Precision) -> bool:
        """Say whether this processor has instructions for ``precision``; AVX-512 alone would imitate bf16."""
        return precision != "bf16" or "BF16" in _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")

    def __call__(self, images: Images) -> Probabilities:
        """Return n × classes probabilities, computed image by image."""
        answers = [self._request.infer([image[np.newaxis]], share_inputs=True)[0] for image in images]
        return np.concatenate(answers)


@cache
def _core() -> openvino.Core:
    """Make the one core of this process: its end would take away the stack that the thread's signal handlers use."""
    return openvino.Core()


def _read(core: openvino.Core, path: Path) -> openvino.Model:
    content = read_export(path)
    try:
        return core.read_model(content)
    except RuntimeError as error:
        msg = f"{path}: damaged, or no ONNX file"
        raise ModelError(msg) from error


def _exported_from(model: openvino.Model) -> str:
    entry = ["framework", EXPORTED_FROM]  # where OpenVINO keeps the metadata of an ONNX file
    return str(model.get_rt_info(entry).value) if model.has_rt_info(entry) else ""
