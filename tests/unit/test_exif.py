"""Images are turned as their EXIF data says, and by nothing else that is in it."""

import random
import struct

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from tests.pictures import WHOLE_BUT_ODD, drawn, encoded, joined, segments, turned_by_exif
from velox.images.decoding import decode
from velox.images.exif import orientation, orientation_of_jpeg, turned
from velox.images.limits import Limits

LIMITS = Limits(1_000_000, 2000)
EVERY = range(1, 9)


def tiff(order: str, *entries: tuple[int, int, int, int], at: int = 8) -> bytes:
    """EXIF data of these entries: tag, kind, count, value."""
    head = struct.pack(f"{order}2sHI", b"II" if order == "<" else b"MM", 42, at)
    listed = b"".join(struct.pack(f"{order}HHIHxx", *entry) for entry in entries)
    return head.ljust(at, b"\0") + struct.pack(f"{order}H", len(entries)) + listed


@pytest.mark.parametrize("number", EVERY)
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_every_orientation_is_turned_as_other_programs_do(number: int, form: str) -> None:
    file = encoded(drawn(), form, exif=turned_by_exif(number), **({"lossless": True} if form == "WEBP" else {}))
    stored = decode(file, LIMITS, orientation="stored")
    upright = decode(file, LIMITS)
    picture = Image.fromarray(stored.pixels)
    picture.getexif()[0x0112] = number
    assert np.array_equal(upright.pixels, np.asarray(ImageOps.exif_transpose(picture)))
    of_opencv = cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_COLOR_RGB)
    assert of_opencv is not None
    assert np.array_equal(upright.pixels, of_opencv)
    assert upright.pixels.flags.c_contiguous
    assert stored.pixels.shape == (*drawn().size[::-1], 3)


def test_an_image_that_is_reduced_or_odd_is_turned_as_well() -> None:
    file = encoded(drawn(), "JPEG", exif=turned_by_exif(8))
    for payload in (file, WHOLE_BUT_ODD["no end"](file), WHOLE_BUT_ODD["something before its end"](file)):
        for scale in (0, 40):
            stored = decode(payload, LIMITS, orientation="stored", reduce_to=scale).pixels
            assert np.array_equal(decode(payload, LIMITS, reduce_to=scale).pixels, np.rot90(stored))


@pytest.mark.parametrize("order", "<>")
def test_exif_data_of_either_byte_order_is_read_wherever_its_list_is(order: str) -> None:
    maker = (0x010F, 2, 3, 0)
    assert orientation(tiff(order, maker, (0x0112, 3, 1, 6))) == 6
    assert orientation(b"Exif\0\0" + tiff(order, (0x0112, 3, 1, 3), maker, at=500)) == 3


@pytest.mark.parametrize(
    "entry", [(0x0112, 3, 1, 0), (0x0112, 3, 1, 9), (0x0112, 3, 2, 6), (0x0112, 4, 1, 6), (0x0113, 3, 1, 6)]
)
def test_what_is_no_orientation_turns_nothing(entry: tuple[int, int, int, int]) -> None:
    assert orientation(tiff("<", entry)) == 1


@pytest.mark.parametrize(
    "data",
    [b"", b"Exif\0\0", b"II*\0", b"II*\0\xff\xff\xff\xff", b"MM\0*\0\0\0\x08\xff\xff", b"II+\0" + bytes(50), bytes(99)],
)
def test_damaged_exif_data_turns_nothing(data: bytes) -> None:
    assert orientation(data) == 1


def test_no_exif_data_is_too_hostile() -> None:
    chance = random.Random(5)  # noqa: S311 - always the same
    whole = tiff("<", *((tag, 3, 1, 6) for tag in range(0x0100, 0x0120)))
    jpeg = encoded(drawn(), "JPEG", exif=turned_by_exif(6))
    for _ in range(3000):
        data, file = bytearray(whole), bytearray(jpeg[:200])
        for content in (data, file):
            for _ in range(chance.choice((1, 3, 9))):
                content[chance.randrange(len(content))] = chance.choice((0, 1, 127, 128, 255))
            del content[chance.randrange(len(content)) :]
        assert orientation(bytes(data)) in EVERY
        assert orientation_of_jpeg(b"\xff\xd8" + bytes(file)) in EVERY


def test_a_long_list_is_not_read_to_its_end() -> None:
    assert orientation(tiff("<", *[(0, 3, 1, 1)] * 1000, (0x0112, 3, 1, 6))) == 1
    assert orientation_of_jpeg(b"\xff\xd8" + b"\xff\xe0\0\x02" * 10**6 + b"\xff\xe1\0\x20Exif\0\0") == 1


def test_exif_data_is_found_behind_other_programs_segments_and_not_behind_the_pixels() -> None:
    found, rest = segments(encoded(drawn(), "JPEG", exif=turned_by_exif(6)))
    (place,) = (number for number, (marker, _) in enumerate(found) if marker == 0xE1)
    exif = found.pop(place)
    assert (
        orientation_of_jpeg(joined([(0xE1, b"http://ns.adobe.com/xap/1.0/\0"), *found[:1], exif, *found[1:]], rest))
        == 6
    )
    assert orientation_of_jpeg(joined(found, rest) + joined([exif], b"")) == 1


def test_an_unknown_orientation_leaves_pixels_alone() -> None:
    pixels = np.asarray(drawn())
    assert turned(pixels, 1) is pixels
    assert turned(pixels, 99) is pixels
