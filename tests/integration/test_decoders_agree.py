"""One rule for every decoder: ours, OpenCV and torchvision give the same pixels for the same file, of any kind."""

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.io import ImageReadMode, decode_image
from torchvision.transforms.v2 import functional

from tests.unit.test_preprocessing import FILES, RED_LEFT_BLUE_RIGHT, RGB, encoded
from velox.models.preprocessing import Pixels, Preprocessor

pytestmark = pytest.mark.filterwarnings("ignore:The image decoding and encoding capabilities:DeprecationWarning")
SIDE = 160
TRANSPARENT = RGB.copy()
TRANSPARENT.putalpha(100)
EVERY = {
    **FILES,
    "grey JPEG": encoded(RGB.convert("L"), "JPEG", quality=95),
    "grey PNG": encoded(RGB.convert("L"), "PNG"),
    "grey PNG with alpha": encoded(RGB.convert("LA"), "PNG"),
    "transparent PNG": encoded(TRANSPARENT, "PNG"),
    "16-bit PNG": encoded(Image.fromarray(np.full(RED_LEFT_BLUE_RIGHT.shape[:2], 0x8000, np.uint16)), "PNG"),
}


def ours(payload: bytes) -> Pixels:
    """Decoded whole, then resized as torchvision would: what is left to differ is the decoder."""
    return Preprocessor(SIDE, "exact", 10**7, 10**4)(payload)


def resized(image: Pixels) -> Pixels:
    return cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR).astype(np.uint8)


def of_opencv(payload: bytes) -> Pixels:
    flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
    image = cv2.imdecode(np.frombuffer(payload, np.uint8), flags)
    assert image is not None
    return image.astype(np.uint8)


def of_torchvision(payload: bytes) -> Pixels:
    encoded = torch.frombuffer(bytearray(payload), dtype=torch.uint8)
    image = decode_image(encoded, mode=ImageReadMode.RGB, apply_exif_orientation=False)
    pixels: Pixels = functional.to_dtype(image, torch.uint8, scale=True).permute(1, 2, 0).numpy()
    return pixels


@pytest.mark.parametrize("kind", [kind for kind in EVERY if "animated" not in kind])
def test_every_decoder_gives_the_same_pixels(kind: str) -> None:
    payload = EVERY[kind]
    opencv, torchvision = of_opencv(payload), of_torchvision(payload)
    assert opencv.shape == torchvision.shape == (*RED_LEFT_BLUE_RIGHT.shape[:2], 3)
    assert np.abs(opencv.astype(int) - torchvision.astype(int)).max() <= 4, "chroma is interpolated, and CMYK rounded"
    assert np.abs(ours(payload).astype(int) - resized(opencv)).mean() <= 2
