"""A PNG that is odd beside its pixels is decoded; one that lacks some of them, or was damaged, is not."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from tests.pictures import (
    SIZE,
    animated_with_a_filter_that_there_is_not,
    chunk,
    chunks,
    drawn,
    encoded,
    in_pieces,
    png_of,
)
from velox.errors import BadRecordError, Reason
from velox.images.limits import Limits
from velox.images.pixels import Pixels
from velox.images.png import decode

LIMITS = Limits(1_000_000, 2000)
PLAIN = encoded(drawn(), "PNG")
HEADER, *_ = chunks(PLAIN)
PIECES = in_pieces(PLAIN)
TRANSPARENT = drawn()
TRANSPARENT.putalpha(Image.new("L", SIZE, 3))
DEEP = Image.fromarray(np.asarray(drawn().convert("L")).astype(np.uint16) * 257)
KINDS = {
    "plain": PLAIN,
    "in pieces": png_of(*PIECES),
    "with alpha": encoded(TRANSPARENT, "PNG"),
    "grey": encoded(drawn().convert("L"), "PNG"),
    "grey with alpha": encoded(TRANSPARENT.convert("LA"), "PNG"),
    "grey of 16 bits": encoded(DEEP, "PNG"),
    "of one bit": encoded(drawn().convert("1"), "PNG"),
    "palette": encoded(drawn().quantize(200), "PNG"),
    "palette of 3 colours": encoded(drawn().quantize(3), "PNG"),
    "palette with transparency": encoded(drawn().quantize(5), "PNG", transparency=0),
    "animated": encoded(drawn(), "PNG", save_all=True, append_images=[Image.new("RGB", SIZE)]),
}


def pixels(payload: bytes) -> Pixels:
    return decode(payload, LIMITS).pixels


def is_refused(payload: bytes) -> bool:
    try:
        decode(payload, LIMITS)
    except BadRecordError as error:
        return error.reason is Reason.UNDECODABLE
    return False


def as_pillow_reads(payload: bytes) -> Pixels:
    image = Image.open(io.BytesIO(payload))
    if image.mode.startswith("I;16"):
        return np.dstack([np.asarray(image) >> 8] * 3).astype(np.uint8)
    return np.asarray(image.convert("RGBA").convert("RGB") if image.mode == "P" else image.convert("RGB"))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_the_pixels_that_another_decoder_finds(kind: str) -> None:
    found = decode(KINDS[kind], LIMITS)
    assert np.array_equal(found.pixels, as_pillow_reads(KINDS[kind]))
    assert found.remark == ""


@pytest.mark.parametrize("kind", KINDS)
def test_a_cut_file_is_refused_unless_all_of_its_pixels_are_there(kind: str) -> None:
    whole = KINDS[kind]
    names = [name for name, _ in chunks(whole)]
    pixels_end = len(png_of(*chunks(whole)[: len(names) - names[::-1].index(b"IDAT")]))
    near = range(pixels_end - 40, min(pixels_end + 40, len(whole)))
    for end in {*near, *(len(whole) * percent // 100 for percent in (1, 5, 25, 50, 75, 90, 95))}:
        assert is_refused(whole[:end]) == (end < pixels_end), (end, pixels_end)


def test_what_is_wrong_beside_the_pixels_is_remarked_on_and_changes_nothing() -> None:
    text = chunk(b"tEXt", b"Comment\0made here", is_wrong=True)
    wrong_end = chunk(b"IEND", b"", is_wrong=True)
    for payload, remark in (
        (png_of(HEADER, text, *PIECES[1:]), "tEXt"),
        (png_of(*PIECES[:-1]), "end is missing"),
        (png_of(*PIECES[:-1]) + b"\0\0", "end is missing"),
        (png_of(*PIECES[:-1], text[:10]), "end is missing"),
        (png_of(*PIECES[:-1], wrong_end), "IEND"),
    ):
        found = decode(payload, LIMITS)
        assert np.array_equal(found.pixels, pixels(PLAIN))
        assert found.remark.startswith("PNG: ")
        assert remark in found.remark


def test_what_follows_the_end_is_not_looked_at() -> None:
    found = decode(PLAIN + b"more" * 64, LIMITS)
    assert np.array_equal(found.pixels, pixels(PLAIN))
    assert found.remark == ""


def test_pixels_that_are_missing_though_the_file_ends_well_are_missed() -> None:
    assert is_refused(png_of(*PIECES[:-2], PIECES[-1]))
    assert is_refused(png_of(HEADER, *PIECES[1 : len(PIECES) // 2], PIECES[-1]))
    assert is_refused(png_of(HEADER, PIECES[-1]))
    assert is_refused(png_of(HEADER, *PIECES[2:]))


def test_pixels_that_are_missing_in_a_file_that_says_it_moves_are_missed() -> None:
    found = chunks(KINDS["animated"])
    at = [name for name, _ in found].index(b"IDAT")
    half = (b"IDAT", found[at][1][: len(found[at][1]) // 2])
    assert is_refused(png_of(*found[:at], half, *found[at + 1 :]))
    assert is_refused(animated_with_a_filter_that_there_is_not())


@pytest.mark.parametrize("name", [b"IHDR", b"IDAT"])
def test_pixels_that_do_not_agree_with_their_checksum_are_refused(name: bytes) -> None:
    assert is_refused(png_of(*(chunk(*each, is_wrong=each[0] == name) for each in PIECES)))


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        (png_of(*PIECES[:2], (b"tEXt", b"Comment\0here"), *PIECES[2:]), "other chunks lie between those of its pixels"),
        (png_of(*PIECES)[:-20], "cut off"),
    ],
)
def test_what_can_be_told_without_the_decoder_does_not_reach_it(
    payload: bytes, said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(BadRecordError) as caught:
        decode(payload, LIMITS)
    assert caught.value.detail == f"PNG: {said}"
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "content", [(0, 1, 0, 0, 0), (7, 2, 0, 0, 0), (8, 5, 0, 0, 0), (8, 2, 1, 0, 0), (8, 2, 0, 0, 2)]
)
def test_a_header_that_asks_for_what_there_is_not_is_refused(content: tuple[int, ...]) -> None:
    assert is_refused(png_of((b"IHDR", struct.pack(">IIBBBBB", *SIZE, *content)), *PIECES[1:]))


def test_a_palette_is_needed_and_a_colour_that_it_has_not_is_black(capfd: pytest.CaptureFixture[str]) -> None:
    found = dict(chunks(encoded(Image.new("P", (3, 3), 200), "PNG")))
    header, rows = found[b"IHDR"], found[b"IDAT"]
    assert is_refused(png_of((b"IHDR", header), (b"IDAT", rows), (b"IEND", b"")))
    assert is_refused(png_of((b"IHDR", header), (b"PLTE", b"1234"), (b"IDAT", rows), (b"IEND", b"")))
    assert not pixels(png_of((b"IHDR", header), (b"PLTE", b"abc"), (b"IDAT", rows), (b"IEND", b""))).any()
    assert capfd.readouterr() == ("", "")


def test_a_chunk_that_must_be_understood_and_is_not_is_refused() -> None:
    assert is_refused(png_of(HEADER, (b"NEWS", b"what is this"), *PIECES[1:]))


def test_the_decoder_writes_nothing_of_what_texts_and_profiles_say(capfd: pytest.CaptureFixture[str]) -> None:
    said = PngImagePlugin.PngInfo()
    said.add_text("Comment", "2026-01-01 00:00:00 - ERROR - a lie")
    odd = encoded(drawn(), "PNG", pnginfo=said, icc_profile=b"no profile")
    assert np.array_equal(pixels(odd), pixels(PLAIN))
    pixels(png_of(HEADER, (b"sRGB", b"\7"), (b"gAMA", b""), (b"pHYs", b"x"), *PIECES[1:]))
    assert capfd.readouterr() == ("", "")


def test_an_animations_still_image_counts_even_if_the_animation_is_damaged() -> None:
    found = [each for each in chunks(KINDS["animated"]) if each[0] != b"fdAT"]
    assert np.array_equal(pixels(png_of(*found)), pixels(PLAIN))


def test_more_data_than_pixels_is_no_reason_to_refuse() -> None:
    raw = zlib.decompress(b"".join(content for name, content in PIECES if name == b"IDAT"))
    assert np.array_equal(
        pixels(png_of(HEADER, (b"IDAT", zlib.compress(raw + bytes(5000))), PIECES[-1])), pixels(PLAIN)
    )
