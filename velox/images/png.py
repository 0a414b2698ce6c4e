"""PNG: the chunks that make up the image are checked and handed on, all others are left out."""

import struct
import zlib
from dataclasses import dataclass
from typing import Final, NamedTuple

from velox.core.image_formats import PNG, PNG_START
from velox.errors import BadRecordError, Reason
from velox.images import exif, opencv
from velox.images.limits import Limits
from velox.images.pixels import UPRIGHT, Decoded

_BEGINNING: Final = struct.Struct(">I4s")
"""Of a chunk: the length of its content, its name. A checksum follows the content."""
_CHECKSUM: Final = struct.Struct(">I")
_AROUND: Final = _BEGINNING.size + _CHECKSUM.size
_HEADER: Final = struct.Struct(">IIBBBBB")
_AFTER_HEADER: Final = len(PNG_START) + _AROUND + _HEADER.size
_DEPTHS: Final = {0: {1, 2, 4, 8, 16}, 2: {8, 16}, 3: {1, 2, 4, 8}, 4: {8, 16}, 6: {8, 16}}
"""Bits that go with a way to store colours."""
_WITH_PALETTE: Final = 3
_MAY_BE_LEFT_OUT: Final = 0x20
"""This bit of a name's first letter, which makes it a small one, says so of the chunk."""


class _Header(NamedTuple):
    width: int
    height: int
    depth: int
    colors: int
    compression: int
    filters: int
    interlacing: int


@dataclass(slots=True)
class _Found:
    """What is found after the header."""

    palette: bytes = b""
    start: int = 0
    end: int = 0
    """Where the chunks with its pixels lie."""
    orientation: int = UPRIGHT
    remark: str = ""


def decode(payload: bytes, limits: Limits) -> Decoded:
    """Decode a PNG file into RGB, with a remark where its end is missing or a checksum beside the pixels is wrong.

    Alpha is dropped: what shows through a transparent pixel is for the viewer to choose. Of an animation, the image
    counts that is shown where nothing moves. Chunks beside header, palette and pixels never reach the decoder: neither
    what they unpack to nor what it has to say of them.

    Raises:
        BadRecordError: UNDECODABLE or IMAGE_TOO_LARGE.
    """
    header = _header(payload)
    limits.check(header.width, header.height)
    found = _search(payload)
    parts = (
        payload[:_AFTER_HEADER],
        _palette(header, found.palette),
        payload[found.start : found.end],
        _chunk(b"IEND", b""),
    )
    pixels = opencv.decode(b"".join(parts), PNG, width=header.width, height=header.height)
    return Decoded(pixels, found.remark, found.orientation)


def _header(payload: bytes) -> _Header:
    if len(payload) < _AFTER_HEADER:
        raise _undecodable("it ends within its header")
    if _BEGINNING.unpack_from(payload, len(PNG_START)) != (_HEADER.size, b"IHDR"):
        raise _undecodable("its first chunk is not the header")
    header = _Header(*_HEADER.unpack_from(payload, len(PNG_START) + _BEGINNING.size))
    are_usual = header.compression == header.filters == 0 and header.interlacing <= 1
    if not are_usual or header.depth not in _DEPTHS.get(header.colors, ()):
        raise _undecodable(f"its header asks for what there is not: {header.depth} bits of colours {header.colors}")
    return header


def _search(payload: bytes) -> _Found:
    """Pass over all chunks and check them.

    Raises:
        BadRecordError: a part of the image is missing, or does not agree with its checksum.
    """
    found = _Found()
    at, name, view = len(PNG_START), b"", memoryview(payload)
    while name != b"IEND":
        start = at
        length, name = _BEGINNING.unpack_from(payload, at) if at + _AROUND <= len(payload) else (0, b"")
        at += _AROUND + length
        if not name or at > len(payload):
            if not found.end or name == b"IDAT":
                raise _undecodable("cut off")
            found.remark = "PNG: its end is missing"
            break
        if zlib.crc32(view[start + 4 : at - 4]) != _CHECKSUM.unpack_from(payload, at - 4)[0]:
            if not name[0] & _MAY_BE_LEFT_OUT and name != b"IEND":
                raise _undecodable(f"damaged: its chunk {name!r} does not agree with its checksum")
            found.remark = f"PNG: its chunk {name!r} does not agree with its checksum"
        else:
            _take(found, name, payload, start, at)
    return found


def _take(found: _Found, name: bytes, payload: bytes, start: int, end: int) -> None:
    """Note what a chunk is for."""
    content = slice(start + _BEGINNING.size, end - _CHECKSUM.size)
    if name == b"IDAT":
        if found.end not in {0, start}:
            raise _undecodable("other chunks lie between those of its pixels")
        found.start, found.end = found.start or start, end
    elif name == b"PLTE":
        found.palette = payload[content]
    elif name == b"eXIf":
        found.orientation = exif.orientation(payload[content])
    elif not name[0] & _MAY_BE_LEFT_OUT and name not in {b"IHDR", b"IEND"}:
        raise _undecodable(f"its chunk {name!r} is none that decoders know")


def _palette(header: _Header, colors: bytes) -> bytes:
    """Make the palette's chunk: of as many colours as pixels can name."""
    if header.colors != _WITH_PALETTE:
        return b""
    if not colors or len(colors) % 3:
        raise _undecodable("it has no palette")
    return _chunk(b"PLTE", colors[: 3 << header.depth])


def _chunk(name: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(content, zlib.crc32(name))
    return _BEGINNING.pack(len(content), name) + content + _CHECKSUM.pack(checksum)


def _undecodable(why: str) -> BadRecordError:
    return BadRecordError(Reason.UNDECODABLE, f"PNG: {why}")
