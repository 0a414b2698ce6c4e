"""The Backend contract: a network, ready to run on one device."""

from collections.abc import Sequence
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


class UnsupportedPrecisionError(ModelError):
    """This backend, or this processor, cannot compute with that precision."""


class Backend(Protocol):
    """Anything of this form runs networks: torch, OpenVINO, ONNX Runtime; another way would be another file here."""

    def __call__(self, images: Images) -> Probabilities:
        """Answer for 1 or more images, in their order. Used by one thread."""
