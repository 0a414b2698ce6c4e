"""Which image formats are read, which others a file may turn out to be, and how each is told by its first bytes."""

from typing import Final, NamedTuple


class Format(NamedTuple):
    """A format that is read."""

    name: str
    suffixes: tuple[str, ...]
    """Of its files' names, the usual one first."""


JPEG: Final = Format("JPEG", (".jpg", ".jpeg"))
PNG: Final = Format("PNG", (".png",))
WEBP: Final = Format("WebP", (".webp",))
BMP: Final = Format("BMP", (".bmp",))
GIF: Final = Format("GIF", (".gif",))
FORMATS: Final = (JPEG, PNG, WEBP, BMP, GIF)
SUFFIXES: Final = frozenset(suffix for form in FORMATS for suffix in form.suffixes)
NAMES: Final = f"{', '.join(form.name for form in FORMATS[:-1])} or {FORMATS[-1].name}"

JPEG_START: Final = b"\xff\xd8\xff"
PNG_START: Final = b"\x89PNG\r\n\x1a\n"
GIF_STARTS: Final = (b"GIF87a", b"GIF89a")
BMP_HEADERS: Final = frozenset({12, 40, 52, 56, 64, 108, 124})
"""Sizes in bytes of the headers that tell a BMP's pixels, by its age: two letters alone may be any text's."""

_CONVERT: Final = "convert it to JPEG, PNG or WebP"
_STARTS: Final = (
    ((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), f"a TIFF file or a camera's raw one: {_CONVERT}"),
    ((b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51"), f"a JPEG 2000 file: {_CONVERT}"),
    ((b"\0\0\0\x0cJXL \r\n\x87\n", b"\xff\x0a"), f"a JPEG XL file: {_CONVERT}"),
    ((b"%PDF-",), f"a PDF file: draw its page, then {_CONVERT}"),
)
_HEIC: Final = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
_AVIF: Final = frozenset({b"avif", b"avis"})
_BOX: Final = slice(4, 8)
_BRAND: Final = slice(8, 12)
_BRANDS: Final = slice(16, 64)
_TEXT: Final = 1024
"""A text says within so many bytes what it is."""


def recognise(payload: bytes) -> Format | None:
    """Say which of the formats that are read a file begins like; None for any other."""
    if payload.startswith(JPEG_START):
        return JPEG
    if payload.startswith(PNG_START):
        return PNG
    if payload.startswith(b"RIFF") and payload[_BRAND] == b"WEBP":
        return WEBP
    if payload.startswith(GIF_STARTS):
        return GIF
    if payload.startswith(b"BM") and int.from_bytes(payload[14:18], "little") in BMP_HEADERS:
        return BMP
    return None


def refusal(payload: bytes) -> str:
    """Say what a file is that begins like none of them, as far as it shows, and what to do about it."""
    for starts, what in _STARTS:
        if payload.startswith(starts):
            return what
    if payload[_BOX] == b"ftyp":
        return _of_brand(payload)
    if (said := _of_text(payload[:_TEXT])) is not None:
        return said
    return f"neither {NAMES}: starts with {payload[:8].hex(' ')}"


def _of_brand(payload: bytes) -> str:
    """Name a format that is kept in boxes, as MP4 is, by its brands: the first, or those that it is compatible with."""
    brands = {payload[_BRAND], *(payload[_BRANDS][at : at + 4] for at in range(0, len(payload[_BRANDS]), 4))}
    if brands & _AVIF:
        return f"an AVIF file: {_CONVERT}"
    if brands & _HEIC:
        return f"a HEIC or HEIF file: {_CONVERT}, or set the phone to its most compatible format"
    return "a film or a camera's raw file (ISO media): send its frames as JPEG, PNG or WebP"


def _of_text(start: bytes) -> str | None:
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.startswith(JPEG_START):
        return f"a JPEG only from byte {start.index(JPEG_START)} on: send it without what lies before it"
    lower = text.lower()
    if b"<svg" in lower and lower.startswith((b"<svg", b"<?xml", b"<!--", b"<!doctype svg")):
        return f"an SVG drawing: draw it, then {_CONVERT}"
    if lower.startswith((b"<!doctype html", b"<html")):
        return "a page (HTML), no image: see what the camera or the server in between says in it"
    return None
