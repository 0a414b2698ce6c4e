"""The only way in for image files: recognised by their first bytes, decoded by format, turned upright."""

from typing import Final, Literal

from velox.core.image_formats import BMP, GIF, JPEG, PNG, WEBP, recognise, refusal
from velox.errors import BadRecordError, Reason
from velox.images import bmp, exif, gif, jpeg, png, webp
from velox.images.limits import Limits
from velox.images.pixels import UPRIGHT, Decoded

Orientation = Literal["exif", "stored"]
"""Whether an image is turned as its EXIF data says, or stays as it is stored."""
_OTHERS: Final = {PNG: png.decode, WEBP: webp.decode, BMP: bmp.decode, GIF: gif.decode}


def decode(payload: bytes, limits: Limits, *, orientation: Orientation = "exif", reduce_to: int = 0) -> Decoded:
    """Decode an image file into 8-bit RGB, also one of grey, CMYK, a palette, with alpha or of 16 bits.

    Args:
        payload: the file.
        limits: how large it may be, asked before anything is allocated for its pixels.
        orientation: whether to turn it upright.
        reduce_to: a side that is enough: JPEG is decoded at a scale of eighths at which none becomes shorter, which
            costs less. 0: at full size.

    Raises:
        BadRecordError: EMPTY, NOT_AN_IMAGE, IMAGE_TOO_LARGE or UNDECODABLE.
    """
    form = recognise(payload)
    if form is JPEG:
        decoded = jpeg.decode(payload, limits, reduce_to=reduce_to)
    elif form is not None:
        decoded = _OTHERS[form](payload, limits)
    elif payload:
        raise BadRecordError(Reason.NOT_AN_IMAGE, refusal(payload))
    else:
        raise BadRecordError(Reason.EMPTY, "the payload has no bytes")
    if orientation == "exif" and decoded.orientation != UPRIGHT:
        return decoded._replace(pixels=exif.turned(decoded.pixels, decoded.orientation), orientation=UPRIGHT)
    return decoded
