"""OpenCV's decoders, for all formats but JPEG: an image or an error, and not a word in the log."""

from functools import cache
from typing import Final

import cv2
import numpy as np

from velox.core.image_formats import Format
from velox.errors import BadRecordError, Reason
from velox.images.pixels import Pixels

_FLAGS: Final = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION


def decode(data: bytes, form: Format, *, width: int, height: int) -> Pixels:
    """Decode a file of the given format, whose header says that it has so many pixels.

    Raises:
        BadRecordError: UNDECODABLE, or NOT_AN_IMAGE where this build of OpenCV does not know the format.
    """
    _be_quiet()
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), _FLAGS)
    except cv2.error as error:
        raise BadRecordError(Reason.UNDECODABLE, f"{form.name}: the decoder refuses it: {error.err}") from error
    if image is None and not cv2.haveImageWriter(form.suffixes[0]):  # it is built with both, or with none
        message = f"{form.name}, which this build of OpenCV cannot read: convert it to JPEG or PNG"
        raise BadRecordError(Reason.NOT_AN_IMAGE, message)
    if image is None or image.shape != (height, width, 3):
        raise BadRecordError(Reason.UNDECODABLE, f"{form.name}: truncated or damaged")
    return image.astype(np.uint8, copy=False)


@cache
def _be_quiet() -> None:
    """Let OpenCV log nothing by itself: its lines have another form than ours, and say no more than the error."""
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
