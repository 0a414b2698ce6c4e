"""JPEG: decoded at once when all is well, and when not, as far as all of its pixels are there."""

import zlib
from typing import Final

import simplejpeg

from velox.errors import BadRecordError, Reason
from velox.images import exif
from velox.images.jpeg_structure import Structure, take_apart
from velox.images.limits import Limits
from velox.images.pixels import Decoded, Pixels

_MISSING: Final = ("premature end", "instead of rst")
"""libjpeg's words for data that is not there: a scan's, the file's, or that between two restart marks."""
_AFTER_THE_LAST: Final = "extraneous bytes before marker 0xd9"
"""And its words for what lies between the last pixel's data and the end; or, if there are, before a restart mark."""
_ODD_SAMPLING: Final = "its chroma sampling is none that the decoder knows: save it as 4:4:4, 4:2:2 or 4:2:0"
_FEW: Final = 2
"""So many zeros at the end may well be the last pixels' own; more, of which not all are needed, replace lost data."""
_FILLER: Final = bytes([0x5A, 0xC3, 0x96, 0x3C, 0xA5, 0x69, 0x87, 0x1E] * 8)
_OTHER_FILLER: Final = bytes(byte ^ 0xFF for byte in _FILLER)


def decode(payload: bytes, limits: Limits, *, reduce_to: int = 0) -> Decoded:
    """Decode a JPEG file into RGB, also one of grey or CMYK.

    What libjpeg only warns about is decoded, with a remark, as long as all of the pixels are there. They are if, once
    the file is mended and its end marked (``jpeg_structure``), no scan is missing and the decoder needs no more data
    than there is. libjpeg says when it does, but only of the first thing it meets: where that is something else, the
    file is decoded with one filler behind its data and with another, and its pixels must be the same.
    Damage inside the data is noticed as far as the decoder stumbles over it.

    Args:
        payload: the file.
        limits: asked before anything is allocated for the pixels.
        reduce_to: decode at a scale of eighths at which no side becomes shorter than this; 0: at full size.

    Raises:
        BadRecordError: UNDECODABLE or IMAGE_TOO_LARGE.
    """
    try:
        height, width, _, _ = simplejpeg.decode_jpeg_header(payload)
        limits.check(width, height)
        return Decoded(_decoded(payload, reduce_to), "", exif.orientation_of_jpeg(payload))
    except ValueError as error:
        remark = f"JPEG: {error}"
    except KeyError:  # it decodes 4:4:1, but has no name for that
        remark = "JPEG: unusual chroma sampling"
    try:
        pixels = _rescued(take_apart(payload), limits, reduce_to)
    except ValueError as error:
        why = _ODD_SAMPLING if "subsampling" in str(error) else f"truncated or damaged: {error}"
        raise BadRecordError(Reason.UNDECODABLE, f"JPEG: {why}") from error
    return Decoded(pixels, remark, exif.orientation_of_jpeg(payload))


def _rescued(structure: Structure, limits: Limits, reduce_to: int) -> Pixels:
    limits.check(structure.width, structure.height)
    if not structure.has_all_scans:
        msg = "it ends before its last scan has begun"
        raise ValueError(msg)
    doubtful = []
    for padding in sorted({0, min(_FEW, structure.padding), structure.padding}):
        each = structure.padded(padding)
        try:
            return _decoded(each.joined(), reduce_to)
        except ValueError as error:
            said = str(error)
            if padding <= _FEW and not any(words in said.lower() for words in _MISSING):
                doubtful.append((each, said))
    for each, said in doubtful:
        if (each.is_in_one_piece and said.endswith(_AFTER_THE_LAST)) or not _depends_on_what_follows(each):
            return _decoded(each.joined(), reduce_to, strict=False)
    msg = f"a part of its data is missing: {said}"
    raise ValueError(msg)


def _depends_on_what_follows(structure: Structure) -> bool:
    """Say whether pixels change with what lies where there should be no more data: a part of theirs is missing then."""
    first, second = (
        zlib.crc32(_decoded(structure.joined(filler), 0, strict=False).data) for filler in (_FILLER, _OTHER_FILLER)
    )
    return first != second


def _decoded(data: bytes, reduce_to: int, *, strict: bool = True) -> Pixels:
    pixels: Pixels = simplejpeg.decode_jpeg(data, "RGB", min_height=reduce_to, min_width=reduce_to, strict=strict)
    return pixels
