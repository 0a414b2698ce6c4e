"""From an image file's bytes to the model's input: the same code for training and for serving.

The rules, whatever the file: JPEG and PNG only; 8-bit RGB comes out, also of grey, CMYK, RGBA (alpha is dropped)
and 16-bit files; EXIF orientation is ignored; the aspect ratio is not kept; of an animation the first frame counts.
"""

import struct
from dataclasses import dataclass
from typing import Final, Literal

import cv2
import numpy as np
import numpy.typing as npt
import simplejpeg

from velox.errors import BadRecordError, Reason

Pixels = npt.NDArray[np.uint8]
"""Height × width × 3, RGB."""
Profile = Literal["fast", "exact"]

_JPEG_START: Final = b"\xff\xd8\xff"
_PNG_START: Final = b"\x89PNG\r\n\x1a\n"
_PNG_SIZE = struct.Struct(">4x4sII")
_OPENCV_FLAGS: Final = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
_MANY_TO_ONE = 2
"""From this reduction on, linear interpolation would skip source pixels: average them instead."""


@dataclass(frozen=True, slots=True)
class Preprocessor:
    """Decodes and resizes images to ``size`` × ``size``; refuses too large ones before it allocates for them.

    ``fast`` decodes JPEG at a reduced scale in the DCT, then interpolates. ``exact`` decodes whole and resizes with
    antialiasing: bit for bit what torchvision's v2 transforms give for the decoded uint8 tensor.
    """

    size: int
    profile: Profile
    max_pixels: int
    max_side: int

    def __call__(self, payload: bytes) -> Pixels:
        """Turn an image file into ``size`` × ``size`` × 3 RGB, uint8, C-contiguous.

        Raises:
            BadRecordError: EMPTY, NOT_AN_IMAGE, IMAGE_TOO_LARGE or UNDECODABLE. A truncated file is undecodable;
                a damaged one that still decodes is not noticed.
        """
        if not payload:
            raise BadRecordError(Reason.EMPTY, "the payload has no bytes")
        if payload.startswith(_JPEG_START):
            image = self._decode_jpeg(payload)
        elif payload.startswith(_PNG_START):
            image = self._decode_png(payload)
        else:
            raise BadRecordError(Reason.NOT_AN_IMAGE, f"neither JPEG nor PNG: starts with {payload[:8].hex(' ')}")
        return self._resize(image)

    def _decode_jpeg(self, payload: bytes) -> Pixels:
        reduce_to = self.size if self.profile == "fast" else 0
        try:
            height, width, colorspace, _ = simplejpeg.decode_jpeg_header(payload)
            self._check_limits(height, width)
            if colorspace in {"CMYK", "YCCK"}:  # which libjpeg cannot turn into RGB
                return _decode_with_opencv(payload)
            image: Pixels = simplejpeg.decode_jpeg(payload, "RGB", min_height=reduce_to, min_width=reduce_to)
        except ValueError as error:
            raise BadRecordError(Reason.UNDECODABLE, f"JPEG: {error}") from error
        return image

    def _decode_png(self, payload: bytes) -> Pixels:
        try:
            chunk, width, height = _PNG_SIZE.unpack_from(payload, len(_PNG_START))
        except struct.error as error:
            raise BadRecordError(Reason.UNDECODABLE, "PNG: it ends within its header") from error
        if chunk != b"IHDR":
            raise BadRecordError(Reason.UNDECODABLE, "PNG: its first chunk is not the header")
        self._check_limits(height, width)
        return _decode_with_opencv(payload)

    def _check_limits(self, height: int, width: int) -> None:
        if height < 1 or width < 1:
            raise BadRecordError(Reason.UNDECODABLE, f"{width}×{height} pixels: an image has at least one")
        if max(height, width) > self.max_side:
            raise BadRecordError(Reason.IMAGE_TOO_LARGE, f"{width}×{height} pixels: MAX_IMAGE_SIDE={self.max_side}")
        if height * width > self.max_pixels:
            raise BadRecordError(Reason.IMAGE_TOO_LARGE, f"{width}×{height} pixels: MAX_IMAGE_PIXELS={self.max_pixels}")

    def _resize(self, image: Pixels) -> Pixels:
        if self.profile == "exact":
            return _resize_exactly(image, self.size)
        height, width = image.shape[:2]
        if height == width == self.size:
            return image
        reduces = max(height, width) > _MANY_TO_ONE * self.size
        interpolation = cv2.INTER_AREA if reduces else cv2.INTER_LINEAR
        return cv2.resize(image, (self.size, self.size), interpolation=interpolation).astype(np.uint8, copy=False)


def _decode_with_opencv(payload: bytes) -> Pixels:
    try:
        image = cv2.imdecode(np.frombuffer(payload, np.uint8), _OPENCV_FLAGS)
    except cv2.error as error:
        raise BadRecordError(Reason.UNDECODABLE, f"the decoder refuses it: {error.err}") from error
    if image is None:
        raise BadRecordError(Reason.UNDECODABLE, "truncated or damaged")
    return image.astype(np.uint8, copy=False)


def _resize_exactly(image: Pixels, size: int) -> Pixels:
    import torch  # noqa: PLC0415 - seconds to import, and only this profile needs it
    from torchvision.transforms.v2 import functional  # noqa: PLC0415 - as above

    tensor = torch.from_numpy(image).permute(2, 0, 1)
    resized: Pixels = functional.resize(tensor, [size, size], antialias=True).permute(1, 2, 0).contiguous().numpy()
    return resized
