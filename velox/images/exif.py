"""How the camera was held: the orientation in a file's EXIF data, and turning pixels upright by it.

What a stranger's EXIF data says is trusted with no more than one number from 1 to 8: whatever else is there, damaged or
hostile, the image stays as it is stored.
"""

import struct
from collections.abc import Callable
from functools import partial
from typing import Final

import cv2
import numpy as np

from velox.images.pixels import UPRIGHT, Pixels

_IDENTIFIER: Final = b"Exif\0\0"
"""Precedes the data in JPEG files; in others only some writers put it there."""
_ORIENTATION: Final = 0x0112
_SHORT: Final = 3
_MOST_ENTRIES: Final = 256
"""Cameras write some dozen; so many are looked at."""

_SEGMENT: Final = struct.Struct(">HH")
"""The beginning of a JPEG's segment: its marker, and the length of what follows that."""
_FIRST_APPLICATION: Final = 0xFFE0
"""Markers below it are those of the image itself: what programs have to say of it comes before."""
_APP1: Final = 0xFFE1
_MOST_SEGMENTS: Final = 100
"""EXIF data is mostly in the first or second; so many are passed over."""

_TURNS: Final[dict[int, Callable[[Pixels], cv2.typing.MatLike]]] = {
    2: partial(cv2.flip, flipCode=1),
    3: partial(cv2.rotate, rotateCode=cv2.ROTATE_180),
    4: partial(cv2.flip, flipCode=0),
    5: cv2.transpose,
    6: partial(cv2.rotate, rotateCode=cv2.ROTATE_90_CLOCKWISE),
    7: lambda pixels: cv2.flip(cv2.transpose(pixels), -1),
    8: partial(cv2.rotate, rotateCode=cv2.ROTATE_90_COUNTERCLOCKWISE),
}
"""By orientation, as EXIF numbers them; 1 is upright."""


def orientation_of_jpeg(payload: bytes) -> int:
    """Look for EXIF data at the beginning of a JPEG file; 1 (upright) where there is none that can be read.

    Costs a microsecond: the segments' lengths are read, not their content.
    """
    at = 2
    try:
        for _ in range(_MOST_SEGMENTS):
            marker, length = _SEGMENT.unpack_from(payload, at)
            if marker < _FIRST_APPLICATION:
                break
            if marker == _APP1 and payload.startswith(_IDENTIFIER, at + 4):
                return orientation(payload[at + 4 : at + 2 + length])
            at += 2 + length
    except struct.error:
        pass
    return UPRIGHT


def orientation(data: bytes) -> int:
    """Read EXIF data, with or without its identifier; 1 (upright) where it says nothing that can be read.

    The form is that of a TIFF file: entries of 12 bytes in a list, to which the header points.
    """
    data = data.removeprefix(_IDENTIFIER)
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(data[:4])
    if order is None:
        return UPRIGHT
    try:
        (at,) = struct.unpack_from(f"{order}I", data, 4)
        (entries,) = struct.unpack_from(f"{order}H", data, at)
        for number in range(min(entries, _MOST_ENTRIES)):
            tag, kind, count, value = struct.unpack_from(f"{order}HHIH", data, at + 2 + 12 * number)
            if tag == _ORIENTATION:
                return value if kind == _SHORT and count == 1 and value in _TURNS else UPRIGHT
    except struct.error:
        pass
    return UPRIGHT


def turned(pixels: Pixels, orientation: int) -> Pixels:
    """Turn and mirror an image as an orientation of 2 to 8 asks for; with any other it stays as it is."""
    turn = _TURNS.get(orientation)
    return pixels if turn is None else turn(pixels).astype(np.uint8, copy=False)
