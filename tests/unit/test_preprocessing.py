"""Whatever the file, the model reads 8-bit RGB of one size, or the record is bad for a stated reason."""

import io
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import simplejpeg
from PIL import Image

from velox.errors import BadRecordError, Reason
from velox.images.decoding import Orientation
from velox.images.pixels import Pixels
from velox.models.preprocessing import Preprocessor
from velox.models.remarks import take_remark
from velox.settings import Settings

SIZE = 32
RED_LEFT_BLUE_RIGHT = np.zeros((120, 160, 3), np.uint8)
RED_LEFT_BLUE_RIGHT[:, :80, 0] = 200
RED_LEFT_BLUE_RIGHT[:, 80:, 2] = 200


def preprocessor(
    size: int = SIZE,
    max_pixels: int = 1_000_000,
    max_side: int = 2000,
    orientation: Orientation = "exif",
    short_side: int = 0,
) -> Preprocessor:
    return Preprocessor(size, "fast", max_pixels, max_side, orientation, short_side)


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def png_with_header(width: int, height: int) -> bytes:
    """A complete PNG but for its pixels: what a bomb's first bytes look like."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    return b"\x89PNG\r\n\x1a\n" + chunk


def jpeg_with_size(width: int, height: int) -> bytes:
    """A real JPEG whose header claims another size."""
    jpeg = bytearray(encoded(Image.fromarray(RED_LEFT_BLUE_RIGHT), "JPEG"))
    start_of_frame = jpeg.index(b"\xff\xc0")
    jpeg[start_of_frame + 5 : start_of_frame + 9] = struct.pack(">HH", height, width)
    return bytes(jpeg)


def is_red_left_blue_right(pixels: Pixels) -> bool:
    left, right = pixels[:, : SIZE // 4].mean(axis=(0, 1)), pixels[:, -SIZE // 4 :].mean(axis=(0, 1))
    return bool(np.allclose(left, (200, 0, 0), atol=8) and np.allclose(right, (0, 0, 200), atol=8))


def reason_of(payload: bytes, preprocess: Preprocessor | None = None) -> Reason:
    with pytest.raises(BadRecordError) as caught:
        (preprocess or preprocessor())(payload)
    return caught.value.reason


RGB = Image.fromarray(RED_LEFT_BLUE_RIGHT)
ORIENTED = Image.Exif()
ORIENTED[0x0112] = 6  # turn by 90 degrees to see it upright: then red is at the top
FILES = {
    "JPEG": encoded(RGB, "JPEG", quality=95, subsampling=0),
    "progressive JPEG": encoded(RGB, "JPEG", quality=95, progressive=True),
    "JPEG stored as RGB": encoded(RGB, "JPEG", quality=95, keep_rgb=True),
    "JPEG with EXIF orientation": encoded(RGB, "JPEG", quality=95, exif=ORIENTED),
    "CMYK JPEG": encoded(RGB.convert("CMYK"), "JPEG", quality=95),
    "PNG": encoded(RGB, "PNG"),
    "RGBA PNG": encoded(RGB.convert("RGBA"), "PNG"),
    "palette PNG": encoded(RGB.quantize(8), "PNG"),
    "PNG with EXIF orientation": encoded(RGB, "PNG", exif=ORIENTED),
    "animated PNG": encoded(RGB, "PNG", save_all=True, append_images=[Image.new("RGB", RGB.size)]),
    "WebP": encoded(RGB, "WEBP", quality=95),
    "lossless WebP": encoded(RGB, "WEBP", lossless=True),
    "WebP with EXIF orientation": encoded(RGB, "WEBP", lossless=True, exif=ORIENTED),
    "animated WebP": encoded(RGB, "WEBP", save_all=True, append_images=[Image.new("RGB", RGB.size)]),
    "BMP": encoded(RGB, "BMP"),
    "GIF": encoded(RGB.quantize(8), "GIF"),
    "animated GIF": encoded(RGB.quantize(8), "GIF", save_all=True, append_images=[Image.new("P", RGB.size)]),
}


@pytest.mark.parametrize("kind", FILES)
def test_every_kind_of_file_becomes_rgb_of_the_input_size(kind: str) -> None:
    pixels = preprocessor()(FILES[kind])
    assert pixels.shape == (SIZE, SIZE, 3)
    assert pixels.dtype == np.uint8
    assert pixels.flags.c_contiguous
    assert is_red_left_blue_right(np.rot90(pixels) if "EXIF" in kind else pixels)


@pytest.mark.parametrize("kind", FILES)
def test_an_image_stays_as_it_is_stored_where_that_is_asked_for(kind: str) -> None:
    assert is_red_left_blue_right(preprocessor(orientation="stored")(FILES[kind]))


@pytest.mark.parametrize("orientation", ["exif", "stored"])
def test_a_preprocessor_is_made_as_the_settings_say(orientation: str) -> None:
    settings = Settings.model_validate(
        {"preprocessing": "exact", "max_image_pixels": 5, "max_image_side": 4, "image_orientation": orientation}
    )
    assert Preprocessor.of(settings, 7) == Preprocessor(7, "exact", 5, 4, orientation)  # type: ignore[arg-type]  # it is one of them
    assert Preprocessor.of(settings, 7, short_side=8).short_side == 8


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
@pytest.mark.parametrize(("width", "height"), [(400, 100), (100, 400), (96, 48), (1200, 600)])
def test_with_a_short_side_the_middle_is_seen_and_keeps_its_proportions(form: str, width: int, height: int) -> None:
    side = min(width, height)
    image = Image.new("RGB", (width, height), "red")
    middle = round(side * SIZE / 40)
    image.paste("blue", ((width - middle) // 2, (height - middle) // 2, (width + middle) // 2, (height + middle) // 2))
    seen = preprocessor(short_side=40)(encoded(image, form)).astype(int)
    assert seen.shape == (SIZE, SIZE, 3)
    inside = seen[2:-2, 2:-2]
    assert np.abs(inside - (0, 0, 255)).max() < 60, "all that is left is the blue square"
    wider = preprocessor(short_side=60)(encoded(image, form)).astype(int)
    assert np.abs(wider - (0, 0, 255)).max() < 60, "a longer short side leaves less"
    narrower = preprocessor(short_side=SIZE)(encoded(image, form)).astype(int)
    assert np.abs(narrower[:2] - (255, 0, 0)).max() < 60, "and one of the input's size shows red on each edge"
    assert np.abs(narrower[:, -2:] - (255, 0, 0)).max() < 60


@pytest.mark.parametrize("shape", [(1, 1), (1, 700), (33, 7), (32, 32), (900, 40), (2000, 1)])
def test_the_middle_of_any_image_fits(shape: tuple[int, int]) -> None:
    payload = simplejpeg.encode_jpeg(np.full((*shape, 3), 77, np.uint8), quality=95)
    assert np.abs(preprocessor(short_side=37)(payload).astype(int) - 77).max() <= 2


def test_what_is_odd_about_a_file_is_remarked_on_by_the_thread_that_reads_it() -> None:
    preprocess = preprocessor()
    preprocess(FILES["JPEG"])
    assert take_remark() == ""
    preprocess(FILES["JPEG"][:-2])
    with ThreadPoolExecutor(1) as thread:
        assert thread.submit(take_remark).result() == ""
    assert take_remark() == "JPEG: Premature end of JPEG file"
    assert take_remark() == ""


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_grey_becomes_equal_channels(form: str) -> None:
    pixels = preprocessor()(encoded(Image.new("L", (100, 60), 90), form))
    assert np.abs(pixels.astype(int) - 90).max() <= 2


def test_16_bits_are_scaled_to_8() -> None:
    deep = np.full((60, 100), 0x8000, np.uint16)
    pixels = preprocessor()(encoded(Image.fromarray(deep), "PNG"))
    assert np.abs(pixels.astype(int) - 0x80).max() <= 1


def test_transparency_is_dropped() -> None:
    pixels = preprocessor()(encoded(Image.new("RGBA", (100, 60), (10, 20, 30, 0)), "PNG"))
    assert (pixels == (10, 20, 30)).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 700), (33, 7), (32, 32), (900, 40)])
def test_any_aspect_ratio_fits(shape: tuple[int, int]) -> None:
    payload = simplejpeg.encode_jpeg(np.full((*shape, 3), 77, np.uint8), quality=95)
    assert np.abs(preprocessor()(payload).astype(int) - 77).max() <= 2


def test_a_large_image_is_averaged_not_sampled() -> None:
    stripes = np.zeros((640, 640, 3), np.uint8)
    stripes[:, ::2] = 255
    for form in ("PNG", "JPEG"):
        pixels = preprocessor()(encoded(Image.fromarray(stripes), form))
        assert np.abs(pixels.astype(int) - 127).max() <= 4, form


def test_the_decoded_image_does_not_depend_on_what_was_decoded_before() -> None:
    preprocess = preprocessor()
    first = preprocess(FILES["JPEG"]).copy()
    preprocess(FILES["PNG"])
    assert (preprocess(FILES["JPEG"]) == first).all()


def test_no_bytes_are_empty() -> None:
    assert reason_of(b"") is Reason.EMPTY


@pytest.mark.parametrize("payload", [b"<html>", b"\x00", b"\xff\xd8", b"\x89PNG", b"GIF88a", encoded(RGB, "TIFF")])
def test_other_formats_are_no_images(payload: bytes) -> None:
    assert reason_of(payload) is Reason.NOT_AN_IMAGE


@pytest.mark.parametrize("kind", FILES)
def test_a_truncated_file_is_undecodable(kind: str) -> None:
    whole = FILES[kind]
    for end in (len(whole) // 2, len(whole) // 4):
        assert reason_of(whole[:end]) is Reason.UNDECODABLE, end


@pytest.mark.parametrize(
    "payload", [b"\xff\xd8\xff", b"\xff\xd8\xff\xe0" + b"\0" * 99, b"\x89PNG\r\n\x1a\n", png_with_header(20, 20)]
)
def test_a_header_without_an_image_is_undecodable(payload: bytes) -> None:
    assert reason_of(payload) is Reason.UNDECODABLE


def test_an_image_without_pixels_is_undecodable() -> None:
    assert reason_of(png_with_header(0, 20)) is Reason.UNDECODABLE
    assert reason_of(jpeg_with_size(0, 20)) is Reason.UNDECODABLE


@pytest.mark.parametrize("make", [png_with_header, jpeg_with_size])
@pytest.mark.parametrize(("width", "height"), [(60_000, 60_000), (2001, 1), (1, 2001), (1001, 1000)])
def test_a_too_large_image_is_refused_by_its_header_alone(make: object, width: int, height: int) -> None:
    assert callable(make)
    payload = make(width, height)
    assert reason_of(payload) is Reason.IMAGE_TOO_LARGE


def test_a_bomb_costs_no_memory() -> None:
    import tracemalloc  # noqa: PLC0415 - slows everything it watches

    bomb = png_with_header(50_000, 50_000)
    preprocess = preprocessor()
    tracemalloc.start()
    try:
        assert reason_of(bomb, preprocess) is Reason.IMAGE_TOO_LARGE
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_limits_include_their_value() -> None:
    exactly = encoded(Image.new("RGB", (100, 50)), "JPEG")
    preprocessor(max_pixels=5000, max_side=100)(exactly)
    assert reason_of(exactly, preprocessor(max_pixels=4999, max_side=100)) is Reason.IMAGE_TOO_LARGE
    assert reason_of(exactly, preprocessor(max_pixels=5000, max_side=99)) is Reason.IMAGE_TOO_LARGE
