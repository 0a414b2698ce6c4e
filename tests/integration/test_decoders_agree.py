"""One rule for every decoder: ours, OpenCV and torchvision give the same pixels for the same file, of any kind."""

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.io import ImageReadMode, decode_image
from torchvision.transforms.v2 import functional

from tests.pictures import (
    END,
    WHOLE_AND_SILENT,
    WHOLE_BUT_ODD,
    drawn,
    with_adobe,
    with_bytes_before_restarts,
    without_scan_parameters,
    without_tables,
)
from tests.unit.test_preprocessing import FILES, RED_LEFT_BLUE_RIGHT, RGB, encoded
from velox.errors import BadRecordError
from velox.images.decoding import Orientation
from velox.images.pixels import Pixels
from velox.models.preprocessing import Preprocessor

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
    "transparent WebP": encoded(TRANSPARENT, "WEBP", lossless=True, exact=True),
}
JPEG = encoded(RGB, "JPEG", quality=95, subsampling=0)
RESTARTING = encoded(RGB, "JPEG", quality=95, restart_marker_blocks=9)
WITHOUT_END = {"no end", "half an end", "zeros in the place of its end"}
"""What browsers show, and others only once the end is put back."""
ODD = {
    **{what: change(JPEG) for what, change in (WHOLE_AND_SILENT | WHOLE_BUT_ODD).items()},
    "no scan parameters": without_scan_parameters(JPEG),
    "no tables": without_tables(JPEG),
    "colours stored in an unknown way": with_adobe(JPEG, 7),
    "bytes before restarts": with_bytes_before_restarts(RESTARTING),
}


CUT = {
    "JPEG": encoded(drawn(), "JPEG"),
    "progressive JPEG": encoded(drawn(), "JPEG", progressive=True),
    "grey JPEG": encoded(drawn().convert("L"), "JPEG"),
    "CMYK JPEG": encoded(drawn().convert("CMYK"), "JPEG"),
    "JPEG with restart marks": encoded(drawn(), "JPEG", restart_marker_blocks=5),
    "PNG": encoded(drawn(), "PNG"),
    "palette PNG": encoded(drawn().quantize(50), "PNG"),
    "WebP": encoded(drawn(), "WEBP"),
    "lossless WebP": encoded(drawn(), "WEBP", lossless=True),
    "GIF": encoded(drawn().quantize(50), "GIF"),
}


def ours(payload: bytes, orientation: Orientation = "stored") -> Pixels:
    """Decoded whole, then resized as torchvision would: what is left to differ is the decoder."""
    return Preprocessor(SIDE, "exact", 10**7, 10**4, orientation)(payload)


def resized(image: Pixels) -> Pixels:
    return cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR).astype(np.uint8)


def of_opencv(payload: bytes, flags: int = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION) -> Pixels:
    image = cv2.imdecode(np.frombuffer(payload, np.uint8), flags)
    assert image is not None
    return image.astype(np.uint8)


def of_torchvision(payload: bytes, *, turned: bool = False) -> Pixels:
    encoded = torch.frombuffer(bytearray(payload), dtype=torch.uint8)
    image = decode_image(encoded, mode=ImageReadMode.RGB, apply_exif_orientation=turned)
    pixels: Pixels = functional.to_dtype(image, torch.uint8, scale=True).permute(1, 2, 0).numpy()
    return pixels


@pytest.mark.parametrize("kind", [kind for kind in EVERY if "animated" not in kind])
def test_every_decoder_gives_the_same_pixels(kind: str) -> None:
    payload = EVERY[kind]
    opencv = of_opencv(payload)
    assert opencv.shape == (*RED_LEFT_BLUE_RIGHT.shape[:2], 3)
    if kind != "BMP":  # which torchvision does not read
        difference = np.abs(opencv.astype(int) - of_torchvision(payload).astype(int))
        assert difference.max() <= 4, "chroma is interpolated, and CMYK rounded"
    assert np.abs(ours(payload).astype(int) - resized(opencv)).mean() <= 2


@pytest.mark.parametrize("kind", [kind for kind in FILES if "EXIF" in kind])
def test_every_decoder_turns_an_image_the_same_way(kind: str) -> None:
    opencv = of_opencv(FILES[kind], cv2.IMREAD_COLOR_RGB)
    assert opencv.shape == (RED_LEFT_BLUE_RIGHT.shape[1], RED_LEFT_BLUE_RIGHT.shape[0], 3)
    assert np.abs(ours(FILES[kind], "exif").astype(int) - resized(opencv)).mean() <= 2
    if "WebP" not in kind:  # which torchvision does not turn
        assert np.abs(opencv.astype(int) - of_torchvision(FILES[kind], turned=True).astype(int)).max() <= 4


@pytest.mark.parametrize("what", ODD)
def test_what_is_odd_but_whole_has_the_same_pixels_for_every_decoder(what: str) -> None:
    shown = ODD[what] + END if what in WITHOUT_END else ODD[what]
    for pixels in (of_opencv(shown), of_torchvision(shown)):
        assert np.abs(ours(ODD[what]).astype(int) - resized(pixels)).mean() <= 2


@pytest.mark.parametrize("kind", CUT)
@pytest.mark.parametrize("percent", [5, 50, 80, 95, 99])
def test_what_one_decoder_refuses_as_cut_all_refuse(kind: str, percent: int) -> None:
    cut = CUT[kind][: len(CUT[kind]) * percent // 100]
    with pytest.raises(BadRecordError):
        ours(cut)
    with pytest.raises(AssertionError):
        of_opencv(cut)
    with pytest.raises(RuntimeError):
        of_torchvision(cut)
