"""Pictures as cameras really write them, odd but whole, or cut: drawn here, then changed in their bytes."""

import io
import re
import struct
import zlib
from collections.abc import Callable
from typing import Final

import numpy as np
from PIL import Image

SIZE: Final = (171, 125)
"""Width and height: no multiple of what any coding takes together."""
END: Final = b"\xff\xd9"
_SCAN: Final = 0xDA
_TABLES: Final = 0xC4

Change = Callable[[bytes], bytes]


def drawn(size: tuple[int, int] = SIZE, *, noise: int = 6) -> Image.Image:
    """A gradient with a red disc left of its middle, and noise over it."""
    width, height = size
    y, x = np.mgrid[0:height, 0:width]
    pixels = np.dstack([x * 200 // width, y * 200 // height, np.full_like(x, 128)])
    pixels[(x - width // 3) ** 2 + (y - height // 2) ** 2 < (height // 3) ** 2] = (220, 20, 20)
    spread = np.random.default_rng(7).integers(-noise, noise, pixels.shape, endpoint=True)
    return Image.fromarray((pixels + spread).clip(0, 255).astype(np.uint8))


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    """An image file of that form."""
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def turned_by_exif(orientation: int) -> bytes:
    """EXIF data that says how the camera was held, and something else."""
    exif = Image.Exif()
    exif[0x010F] = "maker of cameras"
    exif[0x0112] = orientation
    return exif.tobytes()


def segments(jpeg: bytes) -> tuple[list[tuple[int, bytes]], bytes]:
    """A JPEG's segments up to its first scan, by marker, and all the bytes from there on."""
    found: list[tuple[int, bytes]] = []
    at = 2
    while not found or found[-1][0] != _SCAN:
        (length,) = struct.unpack_from(">H", jpeg, at + 2)
        found.append((jpeg[at + 1], jpeg[at + 4 : at + 2 + length]))
        at += 2 + length
    return found, jpeg[at:]


def joined(found: list[tuple[int, bytes]], rest: bytes) -> bytes:
    """A JPEG of these segments."""
    parts = (b"\xff%c%b%b" % (marker, struct.pack(">H", 2 + len(body)), body) for marker, body in found)
    return b"\xff\xd8" + b"".join(parts) + rest


def with_segment(jpeg: bytes, marker: int, change: Change) -> bytes:
    """A JPEG whose segments of that marker are changed."""
    found, rest = segments(jpeg)
    return joined([(each, change(body) if each == marker else body) for each, body in found], rest)


def without_segments(jpeg: bytes, *markers: int) -> bytes:
    """A JPEG that lacks them."""
    found, rest = segments(jpeg)
    return joined([each for each in found if each[0] not in markers], rest)


def with_adobe(jpeg: bytes, transform: int) -> bytes:
    """A JPEG that says in Adobe's way how its colours are stored, and in no other."""
    found, rest = segments(without_segments(jpeg, 0xE0, 0xEE))
    return joined([(0xEE, b"Adobe" + struct.pack(">HHHB", 100, 0, 0, transform)), *found], rest)


def _after_first_segment(jpeg: bytes, what: bytes) -> bytes:
    end = 4 + int.from_bytes(jpeg[4:6])
    return jpeg[:end] + what + jpeg[end:]


WHOLE_AND_SILENT: Final[dict[str, Change]] = {
    "bytes after its end": lambda jpeg: jpeg + b"maker\x59\x19\x01\0",
    "a film after its end": lambda jpeg: jpeg + b"\0\0\0\x18ftypmp42" + bytes(range(256)) * 16,
    "a line end after its end": lambda jpeg: jpeg + b"\r\n",
    "another picture after its end": lambda jpeg: jpeg + jpeg,
    "fill bytes before its end": lambda jpeg: jpeg[:-2] + b"\xff\xff\xff" + END,
}
"""What may be done to a JPEG without that libjpeg says a word."""
WHOLE_BUT_ODD: Final[dict[str, Change]] = {
    "zeros before its end": lambda jpeg: jpeg[:-2] + bytes(8) + END,
    "something before its end": lambda jpeg: jpeg[:-2] + b"some camera's own" + END,
    "no end": lambda jpeg: jpeg[:-2],
    "half an end": lambda jpeg: jpeg[:-1],
    "zeros in the place of its end": lambda jpeg: jpeg[:-2] + bytes(512),
    "something after its first segment": lambda jpeg: _after_first_segment(jpeg, b"what is this"),
}
"""What may be done to a JPEG, all pixels of which are still there: every viewer shows it, libjpeg only warns."""


def without_scan_parameters(jpeg: bytes) -> bytes:
    """As some phones and network cameras write it: a sequential scan that says it has no coefficients."""
    return with_segment(jpeg, _SCAN, lambda body: body[:-3] + bytes(3))


def without_tables(jpeg: bytes) -> bytes:
    """A frame of motion JPEG, as webcams send it: everybody knows the usual Huffman tables."""
    return without_segments(jpeg, _TABLES)


def with_bytes_before_restarts(jpeg: bytes) -> bytes:
    """As some webcams send it: bytes too many before restart marks; libjpeg notices more than eight."""
    found, rest = segments(jpeg)
    return joined(found, re.sub(rb"\xff[\xd0-\xd3]", lambda mark: b"\x12\x34" * 8 + mark[0], rest))


def chunks(png: bytes) -> list[tuple[bytes, bytes]]:
    """A PNG's chunks, by name."""
    found, at = [], 8
    while at < len(png):
        (length,) = struct.unpack_from(">I", png, at)
        found.append((png[at + 4 : at + 8], png[at + 8 : at + 8 + length]))
        at += 12 + length
    return found


def chunk(name: bytes, content: bytes, *, is_wrong: bool = False) -> bytes:
    """One chunk, with a checksum that is right or not."""
    checksum = zlib.crc32(name + content) ^ is_wrong
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", checksum)


def png_of(*parts: tuple[bytes, bytes] | bytes) -> bytes:
    """A PNG of chunks, given by name and content or as they stand in the file."""
    return b"\x89PNG\r\n\x1a\n" + b"".join(part if isinstance(part, bytes) else chunk(*part) for part in parts)


def in_pieces(png: bytes, size: int = 4096) -> list[tuple[bytes, bytes]]:
    """The chunks of a PNG whose pixels are spread over several, as many programs write it."""
    found = chunks(png)
    pixels = b"".join(content for name, content in found if name == b"IDAT")
    pieces = [(b"IDAT", pixels[at : at + size]) for at in range(0, len(pixels), size)]
    first = next(number for number, (name, _) in enumerate(found) if name == b"IDAT")
    return [*found[:first], *pieces, (b"IEND", b"")]


def animated_with_a_filter_that_there_is_not() -> bytes:
    """Says that it moves; its rows name a filter of no known number, with checksums that agree."""
    side = 32
    rows = (b"\x4d" + bytes(3 * side)) * side
    frame = struct.pack(">IIIIIHHBB", 0, side, side, 0, 0, 1, 10, 0, 0)
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    moving = ((b"acTL", struct.pack(">II", 2, 0)), (b"fcTL", frame))
    return png_of((b"IHDR", header), *moving, (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
