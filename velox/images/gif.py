"""GIF: the first image is cut out of the file and handed on, all that follows is left out."""

import struct
from typing import Final

from velox.core.image_formats import GIF
from velox.errors import BadRecordError, Reason
from velox.images import opencv
from velox.images.limits import Limits
from velox.images.pixels import Decoded

_SCREEN: Final = struct.Struct("<6xHHBxx")
_IMAGE: Final = struct.Struct("<4xHHB")
_HAS_COLORS: Final = 0x80
_EXTENSION, _PICTURE, _TRAILER = b"!,;"


def decode(payload: bytes, limits: Limits) -> Decoded:
    """Decode the first frame of a GIF file into RGB. No pixel is transparent: each has the colour that it names.

    Raises:
        BadRecordError: UNDECODABLE or IMAGE_TOO_LARGE.
    """
    try:
        width, height, flags = _SCREEN.unpack_from(payload)
        limits.check(width, height)
        after_colors = _SCREEN.size + _colors(flags)
        start = _skip_extensions(payload, after_colors)
        end = _end_of_image(payload, start, limits)
    except (struct.error, IndexError) as error:
        raise BadRecordError(Reason.UNDECODABLE, "GIF: cut off before its first frame ends") from error
    data = payload[:after_colors] + payload[start:end] + bytes([_TRAILER])
    remark = "" if end < len(payload) else "GIF: its end is missing"
    return Decoded(opencv.decode(data, GIF, width=width, height=height), remark)


def _colors(flags: int) -> int:
    """Count the bytes of a table of colours."""
    return 3 * 2 << (flags & 7) if flags & _HAS_COLORS else 0


def _skip_extensions(payload: bytes, at: int) -> int:
    """Return where the first image begins."""
    while payload[at] == _EXTENSION:
        at = _skip_blocks(payload, at + 2)
    if payload[at] != _PICTURE:
        raise BadRecordError(Reason.UNDECODABLE, "GIF: it has no image")
    return at


def _end_of_image(payload: bytes, at: int, limits: Limits) -> int:
    width, height, flags = _IMAGE.unpack_from(payload, at + 1)
    limits.check(width, height)
    return _skip_blocks(payload, at + 1 + _IMAGE.size + _colors(flags) + 1)


def _skip_blocks(payload: bytes, at: int) -> int:
    """Return where a chain of blocks ends: each begins with its length, the last one is empty."""
    while payload[at]:
        at += 1 + payload[at]
    return at + 1
