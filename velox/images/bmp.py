"""BMP: its size is read from its header, of any age; OpenCV refuses one that is cut off."""

import struct

from velox.core.image_formats import BMP
from velox.errors import BadRecordError, Reason
from velox.images import opencv
from velox.images.limits import Limits
from velox.images.pixels import Decoded

_HEADER_AT = 14
_OLDEST = 12
"""Bytes of the first form's header, whose sides have 16 bits."""


def decode(payload: bytes, limits: Limits) -> Decoded:
    """Decode a BMP file into RGB. Alpha is dropped.

    Raises:
        BadRecordError: UNDECODABLE or IMAGE_TOO_LARGE.
    """
    try:
        (length,) = struct.unpack_from("<I", payload, _HEADER_AT)
        width, height = struct.unpack_from("<HH" if length == _OLDEST else "<ii", payload, _HEADER_AT + 4)
    except struct.error as error:
        raise BadRecordError(Reason.UNDECODABLE, "BMP: it ends within its header") from error
    height = abs(height)  # below zero when the rows are stored from the top
    limits.check(width, height)
    return Decoded(opencv.decode(payload, BMP, width=width, height=height))
