"""What a file is, told by its first bytes: read, or refused by name."""

import pytest

from tests.pictures import drawn, encoded
from velox.core.image_formats import FORMATS, SUFFIXES, recognise, refusal

PILLOW = {"JPEG": "JPEG", "PNG": "PNG", "WebP": "WEBP", "BMP": "BMP", "GIF": "GIF"}
CONVERT = "convert it to JPEG, PNG or WebP"


def box(brand: bytes, *compatible: bytes) -> bytes:
    brands = brand + bytes(4) + b"".join(compatible)
    return (8 + len(brands)).to_bytes(4) + b"ftyp" + brands + b"\0\0\0\x08mdat"


REFUSED = {
    "TIFF": (encoded(drawn(), "TIFF"), f"a TIFF file or a camera's raw one: {CONVERT}"),
    "TIFF, big-endian": (b"MM\0*\0\0\0\x08", "a TIFF file"),
    "HEIC": (box(b"heic", b"mif1", b"heic"), f"a HEIC or HEIF file: {CONVERT}"),
    "HEIF": (box(b"mif1", b"mif1", b"heic"), "a HEIC or HEIF file"),
    "AVIF": (encoded(drawn(), "AVIF"), f"an AVIF file: {CONVERT}"),
    "AVIF by its second brand": (box(b"mif1", b"avif", b"miaf"), "an AVIF file"),
    "MP4": (box(b"isom", b"mp42"), "a film"),
    "raw": (box(b"crx ", b"isom"), "a camera's raw file"),
    "JPEG 2000": (encoded(drawn(), "JPEG2000"), f"a JPEG 2000 file: {CONVERT}"),
    "JPEG 2000 stream": (b"\xff\x4f\xff\x51\0\x2f", "a JPEG 2000 file"),
    "JPEG XL": (b"\0\0\0\x0cJXL \r\n\x87\n\0\0", f"a JPEG XL file: {CONVERT}"),
    "JPEG XL stream": (b"\xff\x0a\xfa\x1f", "a JPEG XL file"),
    "SVG": (b'\xef\xbb\xbf<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>', "an SVG drawing"),
    "SVG without XML": (b" <svg/>", "an SVG drawing"),
    "PDF": (b"%PDF-1.7\n", "a PDF file"),
    "HTML": (b"\n<!DOCTYPE html><html><body>Unauthorized", "a page (HTML), no image"),
    "line ends before a JPEG": (b"\r\n" + encoded(drawn(), "JPEG"), "a JPEG only from byte 2 on"),
    "other XML": (b'<?xml version="1.0"?><error/>', "neither JPEG, PNG, WebP, BMP or GIF: starts with 3c 3f 78 6d"),
    "text": (b"BM is how this text begins, by chance", "neither JPEG"),
    "sound": (b"RIFF\x24\0\0\0WAVEfmt ", "neither JPEG"),
    "a byte": (b"\0", "neither JPEG, PNG, WebP, BMP or GIF: starts with 00"),
}


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
def test_a_format_is_told_by_its_first_bytes(form: object) -> None:
    (expected,) = (each for each in FORMATS if each is form)
    assert recognise(encoded(drawn(), PILLOW[expected.name])) is expected


@pytest.mark.parametrize("kind", REFUSED)
def test_any_other_is_refused_by_its_name_with_the_remedy(kind: str) -> None:
    payload, said = REFUSED[kind]
    assert recognise(payload) is None
    assert said in refusal(payload)


def test_files_are_known_by_the_usual_ends_of_their_names() -> None:
    assert {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif"} == SUFFIXES
    assert [form.suffixes[0] for form in FORMATS] == [".jpg", ".png", ".webp", ".bmp", ".gif"]
