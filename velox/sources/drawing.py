"""Draws the synthetic images: one function per shape, used by the producer and by training alike."""

from collections.abc import Callable, Sequence
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from velox.errors import SettingsError

Image = npt.NDArray[np.uint8]
"""Height × width × 3, BGR."""
Bgr = tuple[int, int, int]
Point = tuple[float, float]
Outline = Callable[[Image, Point, float, Bgr], None]

_SHIFT = 4
"""OpenCV takes coordinates with this many fractional bits, so that positions need not be whole pixels."""


def _fixed(value: float) -> int:
    return round(value * (1 << _SHIFT))


def _fill(image: Image, corners: Sequence[Point], color: Bgr) -> None:
    points = np.array([[_fixed(x), _fixed(y)] for x, y in corners], np.int32)
    cv2.fillPoly(image, [points], color, cv2.LINE_AA, _SHIFT)


def circle(image: Image, center: Point, size: float, color: Bgr) -> None:
    """Fill a circle of radius ``size``."""
    cv2.circle(image, (_fixed(center[0]), _fixed(center[1])), _fixed(size), color, cv2.FILLED, cv2.LINE_AA, _SHIFT)


def square(image: Image, center: Point, size: float, color: Bgr) -> None:
    """Fill an upright square with sides of ``2 × size``."""
    x, y = center
    left, top, right, bottom = x - size, y - size, x + size, y + size
    _fill(image, [(left, top), (right, top), (right, bottom), (left, bottom)], color)


def triangle(image: Image, center: Point, size: float, color: Bgr) -> None:
    """Fill an isosceles triangle, tip up, with base and height of ``2 × size``."""
    x, y = center
    _fill(image, [(x, y - size), (x + size, y + size), (x - size, y + size)], color)


SHAPES: Final[dict[str, Outline]] = {"circle": circle, "square": square, "triangle": triangle}
"""Every shape that SHAPES may name. To add one, write its function and its line here."""


def draw(  # noqa: PLR0913 - a drawing has that many independent properties, all but one by keyword
    shape: str, *, color: Bgr, height: int, width: int, center: Point, size: float, background: int = 128
) -> Image:
    """Draw one filled shape on grey.

    Args:
        shape: a key of ``SHAPES``.
        color: blue, green, red; 0 to 255 each.
        height: of the image, in pixels.
        width: of the image, in pixels.
        center: x and y of the shape's middle, in pixels; the shape may reach over the border.
        size: half the shape's extent, in pixels.
        background: grey level, 0 to 255.

    Returns:
        A new array, height × width × 3, uint8, BGR.

    Raises:
        SettingsError: there is no such shape.
    """
    check_shapes([shape])
    image: Image = np.full((height, width, 3), background, np.uint8)
    SHAPES[shape](image, center, size, color)
    return image


def check_shapes(names: Sequence[str]) -> None:
    """Make sure that every name can be drawn.

    Raises:
        SettingsError: one cannot; the message names those that can.
    """
    unknown = [name for name in names if name not in SHAPES]
    if unknown:
        msg = f"SHAPES={','.join(names)}: no shape {', '.join(unknown)}; there are {', '.join(SHAPES)}"
        raise SettingsError(msg)
