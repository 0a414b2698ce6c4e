"""What decoding a file gives."""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
"""Height × width × 3, RGB."""
UPRIGHT: Final = 1
"""The orientation of an image that is to be seen as it is stored."""


class Decoded(NamedTuple):
    """An image as it is stored in its file, with what else the file says."""

    pixels: Pixels
    remark: str = ""
    """Why the file is not as it should be, although all of its pixels are there; mostly nothing."""
    orientation: int = UPRIGHT
    """How to turn it, as EXIF numbers that: 1 to 8."""
