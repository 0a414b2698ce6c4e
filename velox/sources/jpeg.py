"""How images become payloads."""

from typing import Final

import cv2

QUALITY: Final = 90
"""What the producer's images are compressed with."""


def encode(image: cv2.typing.MatLike, *, quality: int = QUALITY) -> bytes:
    """Encode H × W × 3 BGR uint8 pixels as a JPEG file."""
    _, jpeg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return jpeg.tobytes()
