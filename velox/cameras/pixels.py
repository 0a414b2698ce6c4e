"""A frame's pixels, as video has them and JPEG takes them: brightness, and colour at half its size."""

from typing import Final
from zlib import crc32

import cv2
import numpy as np
import numpy.typing as npt
import simplejpeg

Plane = npt.NDArray[np.uint8]

_STEP: Final = 8
"""Every so many pixels, in both directions, are looked at for what the whole is like."""
_THUMB_WIDTH: Final = 192
_THUMB_HEIGHTS: Final = (64, 192)
_THUMB_QUALITY: Final = 60
_VALUES: Final = np.arange(256)
_BRIGHTNESS: Final = np.clip(np.round((_VALUES - 16) * 255 / 219), 0, 255).astype(np.uint8)
_COLOR: Final = np.clip(np.round((_VALUES - 128) * 255 / 224 + 128), 0, 255).astype(np.uint8)
"""From the range that video uses to that of JPEG. Source: ITU-R BT.601, and the JFIF specification."""


class Pixels:
    """Three planes: Y of H × W, U and V of half that, rounded up. Nobody changes them."""

    def __init__(self, y: Plane, u: Plane, v: Plane, *, is_full_range: bool = False) -> None:
        """Keep them; ``is_full_range``: values from 0 to 255, as JPEG has them, not from 16 to 235."""
        self._planes = (y, u, v)
        self._is_full_range = is_full_range

    @classmethod
    def from_bgr(cls, image: npt.NDArray[np.uint8]) -> "Pixels":
        """Make them of an H × W × 3 image in BGR, with even sides."""
        height, width, _ = image.shape
        planes = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2YUV_I420), np.uint8).reshape(-1)
        pixels, quarter = height * width, height * width // 4
        half = (height // 2, width // 2)
        return cls(
            planes[:pixels].reshape(height, width),
            planes[pixels : pixels + quarter].reshape(half),
            planes[pixels + quarter :].reshape(half),
        )

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        height, width = self._planes[0].shape
        return width, height

    def jpeg(self, quality: int) -> bytes:
        """Encode them; colours of HD video (BT.709) come out as if they were BT.601's, a little off."""
        return _encoded(self._in_full_range(self._planes), quality)

    def thumb(self) -> bytes:
        """Encode a small picture, 192 pixels wide, of about 3 KB."""
        width, height = self.size
        least, most = _THUMB_HEIGHTS
        small = (_THUMB_WIDTH, min(most, max(least, round(_THUMB_WIDTH * height / width / 2) * 2)))
        half = (small[0] // 2, small[1] // 2)
        planes = (
            cv2.resize(plane, to, interpolation=cv2.INTER_AREA)
            for plane, to in zip(self._planes, (small, half, half), strict=True)
        )
        y, u, v = (np.asarray(plane, np.uint8) for plane in planes)
        return _encoded(self._in_full_range((y, u, v)), _THUMB_QUALITY)

    def fingerprint(self) -> int:
        """Sum up one pixel in 64: frames of a camera that works differ in noise alone, those of a frozen one do not."""
        return crc32(np.ascontiguousarray(self._planes[0][::_STEP, ::_STEP]).tobytes())

    def light(self) -> tuple[float, float]:
        """Answer mean and standard deviation of the brightness, 0 to 255, of one pixel in 64."""
        mean, deviation = cv2.meanStdDev(np.ascontiguousarray(self._planes[0][::_STEP, ::_STEP]))
        offset, scale = (0.0, 1.0) if self._is_full_range else (16.0, 255 / 219)
        return max(0.0, (float(mean[0, 0]) - offset) * scale), float(deviation[0, 0]) * scale

    def _in_full_range(self, planes: tuple[Plane, Plane, Plane]) -> tuple[Plane, Plane, Plane]:
        if self._is_full_range:
            return planes
        y, u, v = (
            np.asarray(cv2.LUT(plane, table), np.uint8)
            for plane, table in zip(planes, (_BRIGHTNESS, _COLOR, _COLOR), strict=True)
        )
        return y, u, v


def _encoded(planes: tuple[Plane, Plane, Plane], quality: int) -> bytes:
    y, u, v = (np.ascontiguousarray(plane) for plane in planes)
    jpeg: bytes = simplejpeg.encode_jpeg_yuv_planes(y, u, v, quality)
    return jpeg
