"""The Backend contract: a network, ready to run on one device."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol

import numpy as np
import numpy.typing as npt

from velox.errors import ModelError

Batch = npt.NDArray[np.uint8]
"""n × height × width × 3, RGB: normalisation happens within the backend."""
Images = Sequence[npt.NDArray[np.uint8]] | Batch
"""The same, or one by one: height × width × 3 each, all of one shape."""
Probabilities = npt.NDArray[np.float32]
"""n × classes; each row sums to 1 unless the network gave NaN."""
Precision = Literal["fp32", "bf16", "int8"]
PRECISIONS: Final[tuple[Precision, ...]] = ("fp32", "bf16", "int8")
"""What a network can be computed with, most exact first."""
RUNS: Final[Mapping[str, tuple[Precision, ...]]] = {
    "openvino": ("fp32", "bf16", "int8"),
    "onnxruntime": ("fp32", "int8"),
    "torch": ("fp32", "bf16"),
}
"""What each backend can compute with on a CPU, if the processor can."""


class UnsupportedPrecisionError(ModelError):
    """This backend, or this processor, cannot compute with that precision."""


class Backend(Protocol):
    """Anything of this form runs networks: torch, OpenVINO, ONNX Runtime; another way would be another file here."""

    def __call__(self, images: Images) -> Probabilities:
        """Return n × classes probabilities for n ≥ 1 images, in their order. Used by one thread."""


Load = Callable[[Precision], Backend]
"""Starts a backend in a precision; raises ModelError when it cannot."""


@dataclass(frozen=True, slots=True)
class Runner:
    """One way to run one model on this machine's CPU."""

    name: str
    """The backend's, as BACKEND has it."""
    load: Load
    """Started once for each precision: asked again, it answers the same backend."""
    precisions: tuple[Precision, ...]
    """What it computes with on this processor, most exact first; float32 always."""
