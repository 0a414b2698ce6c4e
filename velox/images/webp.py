"""WebP: its size and orientation are read from its chunks; libwebp, in OpenCV, refuses one that is cut off."""

import struct
from typing import Final

from velox.core.image_formats import WEBP
from velox.errors import BadRecordError, Reason
from velox.images import exif, opencv
from velox.images.limits import Limits
from velox.images.pixels import UPRIGHT, Decoded

_CHUNK: Final = struct.Struct("<4sI")
_FIRST_CHUNK: Final = 12
_LOSSY_START: Final = b"\x9d\x01\x2a"
_LOSSLESS_START: Final = 0x2F
_14_BITS: Final = 0x3FFF
_NAME: Final = slice(12, 16)
_FLAGS: Final = 20
_HAS_EXIF: Final = 0x08
"""In the flags of the extended kind."""


def decode(payload: bytes, limits: Limits) -> Decoded:
    """Decode a WebP file into RGB. Alpha is dropped; of an animation the first frame counts.

    Raises:
        BadRecordError: UNDECODABLE or IMAGE_TOO_LARGE.
    """
    try:
        width, height = _size(payload)
    except (struct.error, IndexError) as error:
        raise _undecodable("it ends within its header") from error
    limits.check(width, height)
    if len(payload) < _CHUNK.size + _CHUNK.unpack_from(payload)[1]:
        raise _undecodable("cut off")
    return Decoded(opencv.decode(payload, WEBP, width=width, height=height), orientation=_orientation(payload))


def _size(payload: bytes) -> tuple[int, int]:
    """Read width and height of the canvas, from the header of whichever kind of WebP it is.

    https://developers.google.com/speed/webp/docs/riff_container
    """
    name, _ = _CHUNK.unpack_from(payload, _FIRST_CHUNK)
    at = _FIRST_CHUNK + _CHUNK.size
    if name == b"VP8X":
        _, width, height = struct.unpack_from("<I3s3s", payload, at)
        return 1 + int.from_bytes(width, "little"), 1 + int.from_bytes(height, "little")
    if name == b"VP8L":
        signature, bits = struct.unpack_from("<BI", payload, at)
        if signature == _LOSSLESS_START:
            return 1 + (bits & _14_BITS), 1 + (bits >> 14 & _14_BITS)
    if name == b"VP8 ":
        signature, width, height = struct.unpack_from("<3x3sHH", payload, at)
        if signature == _LOSSY_START:
            return width & _14_BITS, height & _14_BITS
    raise _undecodable("it does not begin with an image")


def _orientation(payload: bytes) -> int:
    """Look for the chunk with EXIF data, which only a file of the extended kind has."""
    if payload[_NAME] != b"VP8X" or not payload[_FLAGS] & _HAS_EXIF:
        return UPRIGHT
    at = _FIRST_CHUNK
    while at + _CHUNK.size <= len(payload):
        name, length = _CHUNK.unpack_from(payload, at)
        at += _CHUNK.size + length + length % 2
        if name == b"EXIF":
            return exif.orientation(payload[at - length - length % 2 : at])
    return UPRIGHT


def _undecodable(why: str) -> BadRecordError:
    return BadRecordError(Reason.UNDECODABLE, f"WebP: {why}")
