"""WebP, BMP and GIF: read as others read them, within the same limits, and refused when cut."""

import io
import struct
from collections.abc import Callable

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.pictures import SIZE, drawn, encoded, turned_by_exif
from velox.core import image_formats
from velox.errors import BadRecordError, Reason
from velox.images import opencv
from velox.images.decoding import decode
from velox.images.limits import Limits
from velox.images.pixels import Decoded, Pixels

LIMITS = Limits(1_000_000, 2000)
OTHER = Image.new("RGB", SIZE, (0, 200, 0))
SEE_THROUGH = drawn()
SEE_THROUGH.putalpha(Image.new("L", SIZE, 3))


def bmp(width: int, height: int, *, header: int = 40) -> bytes:
    """A BMP whose rows grow lighter in the order in which they are stored."""
    stride = (3 * width + 3) // 4 * 4
    rows = b"".join(bytes([10 * row]) * stride for row in range(abs(height)))
    form = (
        struct.pack("<HHHH", width, height, 1, 24) if header == 12 else struct.pack("<iiHHI", width, height, 1, 24, 0)
    )
    start = 14 + header
    head = b"BM" + struct.pack("<IHHI", start + len(rows), 0, 0, start) + struct.pack("<I", header)
    return head + form.ljust(header - 4, b"\0") + rows


WEBPS = {
    "lossy": encoded(drawn(), "WEBP", quality=80),
    "lossless": encoded(drawn(), "WEBP", lossless=True),
    "lossy with alpha": encoded(SEE_THROUGH, "WEBP"),
    "lossless with alpha": encoded(SEE_THROUGH, "WEBP", lossless=True, exact=True),
    "animated": encoded(drawn(), "WEBP", save_all=True, append_images=[OTHER]),
    "with EXIF data": encoded(drawn(), "WEBP", exif=turned_by_exif(1)),
}
BMPS = {
    "24 bits": encoded(drawn(), "BMP"),
    "32 bits": encoded(SEE_THROUGH, "BMP"),
    "8 bits": encoded(drawn().quantize(200), "BMP"),
    "grey": encoded(drawn().convert("L"), "BMP"),
    "1 bit": encoded(drawn().convert("1"), "BMP"),
    "stored from the top": bmp(17, -12),
    "of the oldest form": bmp(17, 12, header=12),
    "of the newest form": bmp(17, 12, header=124),
}
GIFS = {
    "plain": encoded(drawn().quantize(200), "GIF"),
    "interlaced": encoded(drawn().quantize(200), "GIF", interlace=1),
    "animated": encoded(drawn().quantize(200), "GIF", save_all=True, append_images=[OTHER.quantize(2)]),
    "with a comment": encoded(drawn().quantize(200), "GIF", comment=b"made here"),
    "grey": encoded(drawn().convert("L"), "GIF"),
}
ALL = {
    f"{form} {kind}": file
    for form, files in (("WebP", WEBPS), ("BMP", BMPS), ("GIF", GIFS))
    for kind, file in files.items()
}


def pixels(payload: bytes) -> Pixels:
    return decode(payload, LIMITS).pixels


def reason_of(payload: bytes) -> Reason:
    with pytest.raises(BadRecordError) as caught:
        decode(payload, LIMITS)
    return caught.value.reason


@pytest.mark.parametrize("kind", ALL)
def test_every_kind_has_the_pixels_that_another_decoder_finds(kind: str) -> None:
    found = decode(ALL[kind], LIMITS)
    expected = np.asarray(Image.open(io.BytesIO(ALL[kind])).convert("RGB"))
    assert np.abs(found.pixels.astype(int) - expected).max() <= ("lossy" in kind), "of a lossy one, the last bit"
    assert found.remark == ""


@pytest.mark.parametrize("kind", [kind for kind in ALL if kind != "GIF animated"])
def test_a_cut_file_is_refused(kind: str) -> None:
    whole = ALL[kind]
    ends = {*range(len(whole) - 40, len(whole) - 1), *(len(whole) * percent // 100 for percent in range(2, 100, 7))}
    assert {reason_of(whole[:end]) for end in ends if end > 20} == {Reason.UNDECODABLE}


def test_a_cut_webp_is_named_as_that() -> None:
    with pytest.raises(BadRecordError, match="WebP: cut off"):
        decode(WEBPS["lossy"][:-1], LIMITS)


def test_a_gif_is_decoded_if_its_first_frame_is_there_with_a_remark_if_nothing_follows() -> None:
    plain, animated = GIFS["plain"], GIFS["animated"]
    for payload, remark in ((plain[:-1], True), (plain + b"more", False), (animated[:-10], False)):
        found = decode(payload, LIMITS)
        assert ("end is missing" in found.remark) == remark
        assert np.array_equal(found.pixels, pixels(plain))
    assert reason_of(animated[: len(animated) // 2]) is Reason.UNDECODABLE


def test_a_gifs_transparent_pixels_have_the_colour_that_they_name() -> None:
    picture = drawn().quantize(200)
    assert np.array_equal(pixels(encoded(picture, "GIF", transparency=3)), pixels(encoded(picture, "GIF")))


def with_webp_size(kind: str) -> Callable[[int, int], bytes]:
    def change(width: int, height: int) -> bytes:
        file = bytearray(WEBPS[kind])
        if file[12:16] == b"VP8X":
            file[24:30] = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
        elif file[12:16] == b"VP8L":
            file[21:25] = ((height - 1) << 14 | (width - 1)).to_bytes(4, "little")
        else:
            file[26:30] = struct.pack("<HH", width, height)
        return bytes(file)

    return change


def with_gif_screen(width: int, height: int) -> bytes:
    return GIFS["plain"][:6] + struct.pack("<HH", width, height) + GIFS["plain"][10:]


def with_gif_frame(width: int, height: int) -> bytes:
    at = GIFS["plain"].index(b",\0\0\0\0") + 5
    return GIFS["plain"][:at] + struct.pack("<HH", width, height) + GIFS["plain"][at + 4 :]


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(with_webp_size("lossy"), id="lossy WebP"),
        pytest.param(with_webp_size("lossless"), id="lossless WebP"),
        pytest.param(with_webp_size("animated"), id="extended WebP"),
        pytest.param(lambda width, height: bmp(2, 2)[:18] + struct.pack("<ii", width, height), id="BMP"),
        pytest.param(lambda width, height: bmp(2, 2)[:18] + struct.pack("<ii", width, -height), id="BMP from the top"),
        pytest.param(lambda width, height: bmp(2, 2, header=12)[:18] + struct.pack("<HH", width, height), id="old BMP"),
        pytest.param(with_gif_screen, id="GIF"),
        pytest.param(with_gif_frame, id="frame of a GIF"),
    ],
)
@pytest.mark.parametrize(("width", "height"), [(2001, 1), (1, 2001), (1001, 1000), (16_383, 16_383)])
def test_a_too_large_image_is_refused_by_its_header_alone(
    make: Callable[[int, int], bytes], width: int, height: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cv2, "imdecode", lambda *_args: pytest.fail("it was decoded"))
    assert reason_of(make(width, height)) is Reason.IMAGE_TOO_LARGE


@pytest.mark.parametrize("payload", [bmp(2, 2)[:18] + struct.pack("<ii", -2, 2), bmp(2, 2)[:18] + bytes(8)])
def test_a_size_that_is_none_is_refused(payload: bytes) -> None:
    assert reason_of(payload) is Reason.UNDECODABLE


@pytest.mark.parametrize("kind", ["lossy with alpha", "animated", "with EXIF data"])
def test_an_image_of_another_size_than_its_header_says_is_refused(kind: str) -> None:
    assert reason_of(with_webp_size(kind)(SIZE[0] - 1, SIZE[1])) is Reason.UNDECODABLE


@pytest.mark.parametrize("start", [b"RIFF\x10\0\0\0WEBP", b"GIF89a", b"BM" + bytes(12) + struct.pack("<I", 40)])
@pytest.mark.parametrize("more", [0, 1, 5, 30])
def test_a_header_without_an_image_is_refused(start: bytes, more: int) -> None:
    assert reason_of(start + bytes(more)) is Reason.UNDECODABLE


def test_a_webp_is_turned_by_its_exif_data() -> None:
    for prefix in (b"", b"Exif\0\0"):
        file = encoded(drawn(), "WEBP", lossless=True, exif=prefix + turned_by_exif(6).removeprefix(b"Exif\0\0"))
        assert np.array_equal(pixels(file), np.rot90(np.asarray(drawn()), -1))


def test_a_build_of_opencv_that_lacks_a_format_is_named_as_the_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "imdecode", lambda *_args: None)
    monkeypatch.setattr(cv2, "haveImageWriter", lambda name: name != ".gif")
    with pytest.raises(BadRecordError, match="GIF, which this build of OpenCV cannot read: convert it to JPEG or PNG"):
        decode(GIFS["plain"], LIMITS)
    assert reason_of(WEBPS["lossy"]) is Reason.UNDECODABLE


def test_opencv_says_nothing_by_itself() -> None:
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_WARNING)
    opencv._be_quiet.cache_clear()
    pixels(BMPS["grey"])
    assert cv2.utils.logging.getLogLevel() == cv2.utils.logging.LOG_LEVEL_SILENT


def test_what_is_not_of_the_size_that_was_checked_is_refused() -> None:
    with pytest.raises(BadRecordError, match="truncated or damaged"):
        opencv.decode(BMPS["grey"], image_formats.BMP, width=SIZE[0], height=SIZE[1] + 1)


def test_opencv_is_asked_for_formats_by_names_that_it_knows() -> None:
    assert all(cv2.haveImageWriter(form.suffixes[0]) for form in image_formats.FORMATS)
    assert opencv.decode(BMPS["grey"], image_formats.BMP, width=SIZE[0], height=SIZE[1]).shape == (*SIZE[::-1], 3)
    assert isinstance(decode(BMPS["grey"], LIMITS), Decoded)
