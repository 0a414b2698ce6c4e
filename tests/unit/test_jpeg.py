"""A JPEG that is odd but whole gives the plain one's pixels; one that is cut gives none."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import simplejpeg
from PIL import Image

from tests.pictures import (
    END,
    WHOLE_AND_SILENT,
    WHOLE_BUT_ODD,
    drawn,
    encoded,
    joined,
    segments,
    with_adobe,
    with_bytes_before_restarts,
    with_segment,
    without_scan_parameters,
    without_tables,
)
from velox.errors import BadRecordError, Reason
from velox.images.jpeg import decode
from velox.images.limits import Limits

LIMITS = Limits(1_000_000, 2000)
SCALES = (0, 40)
"""At full size, and reduced."""
PLAIN = encoded(drawn(), "JPEG", quality=90)
RESTARTING = encoded(drawn(), "JPEG", quality=90, restart_marker_blocks=7)
PROGRESSIVE = encoded(drawn(), "JPEG", quality=90, progressive=True)
KINDS = {
    "plain": PLAIN,
    "full chroma": encoded(drawn(), "JPEG", quality=95, subsampling=0),
    "flat": encoded(drawn(noise=0).quantize(2).convert("RGB"), "JPEG", optimize=True),
    "grey": encoded(drawn().convert("L"), "JPEG", quality=90),
    "CMYK": encoded(drawn().convert("CMYK"), "JPEG", quality=90),
    "stored as RGB": encoded(drawn(), "JPEG", quality=90, keep_rgb=True),
    "with restart marks": RESTARTING,
    "flat with restart marks": encoded(Image.new("RGB", (256, 256), (128, 128, 128)), "JPEG", restart_marker_blocks=16),
    "progressive": PROGRESSIVE,
    "progressive grey": encoded(drawn().convert("L"), "JPEG", progressive=True),
    "progressive with restart marks": encoded(drawn(), "JPEG", progressive=True, restart_marker_rows=1),
}


def is_same(payload: bytes, plain: bytes) -> bool:
    return all(
        np.array_equal(decode(payload, LIMITS, reduce_to=to).pixels, decode(plain, LIMITS, reduce_to=to).pixels)
        for to in SCALES
    )


def refusals(payload: bytes) -> list[BadRecordError]:
    """Why it is not decoded, at each scale; fails when it is."""
    found = []
    for scale in SCALES:
        with pytest.raises(BadRecordError) as caught:
            decode(payload, LIMITS, reduce_to=scale)
        found.append(caught.value)
    return found


def is_refused(payload: bytes) -> bool:
    return {refusal.reason for refusal in refusals(payload)} == {Reason.UNDECODABLE}


@pytest.mark.parametrize(("change", "decodings"), [(lambda same: same, 1), (without_scan_parameters, 2)])
def test_a_good_picture_is_decoded_once_and_what_cameras_often_do_costs_one_more(
    change: Callable[[bytes], bytes], decodings: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    lengths: list[int] = []
    decode_jpeg = simplejpeg.decode_jpeg

    def counted(data: bytes, *args: object, **options: object) -> object:
        lengths.append(len(data))
        return decode_jpeg(data, *args, **options)

    monkeypatch.setattr(simplejpeg, "decode_jpeg", counted)
    decode(change(PLAIN), LIMITS, reduce_to=40)
    assert len(lengths) == decodings


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("what", WHOLE_AND_SILENT)
def test_what_follows_a_picture_changes_nothing_and_is_not_remarked_on(kind: str, what: str) -> None:
    payload = WHOLE_AND_SILENT[what](KINDS[kind])
    assert is_same(payload, KINDS[kind])
    assert decode(payload, LIMITS).remark == ""


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("what", WHOLE_BUT_ODD)
def test_what_libjpeg_only_warns_about_is_decoded_with_a_remark(kind: str, what: str) -> None:
    payload = WHOLE_BUT_ODD[what](KINDS[kind])
    assert is_same(payload, KINDS[kind])
    assert decode(payload, LIMITS).remark.startswith("JPEG: ")


@pytest.mark.parametrize("what", [None, *WHOLE_AND_SILENT, *WHOLE_BUT_ODD])
def test_a_scan_that_says_it_has_no_coefficients_has_all_of_them(what: str | None) -> None:
    payload = without_scan_parameters(PLAIN)
    payload = (WHOLE_AND_SILENT | WHOLE_BUT_ODD)[what](payload) if what else payload
    assert is_same(payload, PLAIN)
    assert decode(payload, LIMITS).remark


def test_a_frame_of_motion_jpeg_has_the_usual_tables() -> None:
    assert is_same(without_tables(PLAIN), PLAIN)
    assert is_same(without_tables(PLAIN)[:-2], PLAIN)


def test_data_that_ends_with_zeros_is_not_taken_for_padding() -> None:
    flat = KINDS["flat with restart marks"]
    assert flat.endswith(b"\0" + END)
    assert is_same(with_bytes_before_restarts(flat), flat)
    assert is_same(with_bytes_before_restarts(flat)[:-2], flat)


def test_a_stuffed_byte_at_the_end_is_not_torn() -> None:
    for zeros in (1, 2, 99):
        payload = with_bytes_before_restarts(RESTARTING)[:-2] + b"\xff" + bytes(zeros) + END
        assert is_same(payload, RESTARTING)


def test_a_later_version_of_jfif_is_read_as_the_first() -> None:
    payload = with_segment(PLAIN, 0xE0, lambda body: body[:5] + b"\x02" + body[6:])
    assert is_same(payload, PLAIN)
    assert "JFIF" in decode(payload, LIMITS).remark


@pytest.mark.parametrize(("kind", "transform", "remark"), [("plain", 1, False), ("plain", 7, True), ("CMYK", 7, True)])
def test_colours_stored_in_an_unknown_way_are_taken_as_usual(kind: str, transform: int, remark: bool) -> None:
    usual = with_adobe(KINDS[kind], {"plain": 1, "CMYK": 2}[kind])
    payload = with_adobe(KINDS[kind], transform)
    assert is_same(payload, usual)
    assert bool(decode(payload, LIMITS).remark) == remark


def test_bytes_too_many_before_restart_marks_change_nothing() -> None:
    payload = with_bytes_before_restarts(RESTARTING)
    assert is_same(payload, RESTARTING)
    assert "extraneous bytes before marker 0xd" in decode(payload, LIMITS).remark


def test_a_chroma_sampling_without_a_name_is_decoded_and_one_that_cannot_be_is_refused_with_the_remedy() -> None:
    def sampled(luma: int) -> bytes:
        return with_segment(PLAIN, 0xC0, lambda body: body[:7] + bytes([luma]) + body[8:])

    assert decode(sampled(0x14), LIMITS).pixels.shape == (125, 171, 3)
    assert "save it as 4:4:4" in refusals(sampled(0x42))[0].detail


def cuts(jpeg: bytes) -> Iterator[int]:
    """How many bytes to take off: near the end, at parts of the whole, and around each marker."""
    yield from range(3, 40)
    yield from (len(jpeg) * percent // 100 for percent in (1, 2, 5, 10, 25, 50, 75, 90, 95, 99))
    marks = [at for at in range(2, len(jpeg) - 2) if jpeg[at] == 0xFF and jpeg[at + 1]]
    yield from (len(jpeg) - at - step for at in marks for step in (-1, 0, 1, 2))


@pytest.mark.parametrize("kind", KINDS)
def test_a_cut_picture_is_refused_wherever_it_is_cut(kind: str) -> None:
    jpeg = KINDS[kind]
    accepted = [cut for cut in cuts(jpeg) if 3 <= cut < len(jpeg) - 3 and not is_refused_quietly(jpeg[:-cut])]
    assert accepted == []


def is_refused_quietly(payload: bytes) -> bool:
    try:
        decode(payload, LIMITS)
    except BadRecordError as error:
        return error.reason is Reason.UNDECODABLE
    return False


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "progressive" not in kind])
@pytest.mark.parametrize("percent", [5, 50, 90, 95, 99])
def test_an_end_that_was_put_behind_a_cut_deceives_nobody(kind: str, percent: int) -> None:
    cut = KINDS[kind][: len(KINDS[kind]) * percent // 100]
    assert is_refused(cut + END)
    assert is_refused(cut + b"\xff" * 100 + END)


@pytest.mark.parametrize("kind", ["plain", "full chroma", "stored as RGB", "with restart marks", "progressive"])
@pytest.mark.parametrize("percent", [50, 90, 95, 99])
@pytest.mark.parametrize("end", [b"", END])
def test_zeros_that_a_file_system_put_in_the_place_of_data_are_no_pixels(kind: str, percent: int, end: bytes) -> None:
    whole = KINDS[kind]
    kept = whole[: len(whole) * percent // 100]
    assert is_refused(kept + bytes(len(whole) - len(kept)) + end)


@pytest.mark.parametrize("end", [b"", END])
def test_what_libjpeg_warns_about_first_does_not_hide_that_a_part_is_missing(end: bytes) -> None:
    odd = with_bytes_before_restarts(RESTARTING)
    last_mark = odd.rindex(b"\xff\xd5")
    assert all("is missing" in refusal.detail for refusal in refusals(odd[:last_mark] + end))
    assert is_refused(odd[: last_mark - 3] + end)


def test_what_lies_between_the_data_and_the_end_does_not_hide_that_the_last_parts_are_missing() -> None:
    last_mark = RESTARTING.rindex(b"\xff\xd3")
    assert is_refused(RESTARTING[:last_mark] + b"\x12\x34" * 10 + END)


def test_a_part_in_the_middle_that_is_too_short_is_missed_behind_another_warning() -> None:
    odd = with_bytes_before_restarts(RESTARTING)
    mark = odd.index(b"\xff\xd5")
    assert is_refused(odd[: mark - 5] + odd[mark:])


def test_zeros_in_the_place_of_data_are_seen_though_a_segment_follows_them() -> None:
    no_restarts = b"\xff\xdd\0\x04\0\0"
    assert is_same(PLAIN[:-2] + bytes(9) + no_restarts + END, PLAIN)
    assert is_refused(PLAIN[: len(PLAIN) // 2] + bytes(len(PLAIN)) + no_restarts + END)


def test_the_part_between_two_restart_marks_is_missed() -> None:
    first, second = RESTARTING.index(b"\xff\xd1"), RESTARTING.index(b"\xff\xd2")
    assert is_refused(RESTARTING[:first] + RESTARTING[second:])
    assert is_refused(RESTARTING[: first + 2] + RESTARTING[second:])


def test_a_scan_in_which_the_decoder_loses_its_way_is_decoded_if_it_ends_where_its_pixels_do() -> None:
    """One byte that is not what it was: what libjpeg says, and whether the rest suffices, differ from byte to byte."""
    found, rest = segments(PLAIN)
    outcomes = set()
    for at in range(101, 2000, 3):
        try:
            remark = decode(joined(found, rest[:at] + bytes([rest[at] ^ 0x5A]) + rest[at + 1 :]), LIMITS).remark
        except BadRecordError as error:
            assert error.reason is Reason.UNDECODABLE
            outcomes.add("refused")
        else:
            outcomes.add(remark.partition("data: ")[2][:16])
    assert {"refused", "bad Huffman code"} <= outcomes


@pytest.mark.parametrize("payload", [b"\xff\xd8\xff", b"\xff\xd8\xff\xe0" + bytes(99), PLAIN[:300], b"\xff\xd8" * 999])
def test_a_header_without_an_image_is_refused(payload: bytes) -> None:
    assert is_refused(payload)


def test_an_odd_picture_is_within_the_same_limits() -> None:
    def sized(width: int, height: int) -> bytes:
        size = height.to_bytes(2) + width.to_bytes(2)
        return without_scan_parameters(with_segment(PLAIN, 0xC0, lambda body: body[:1] + size + body[5:]))

    for width, height in ((2001, 1), (1, 2001), (1001, 1000)):
        for payload in (sized(width, height), WHOLE_BUT_ODD["something after its first segment"](sized(width, height))):
            with pytest.raises(BadRecordError) as caught:
                decode(payload, LIMITS)
            assert caught.value.reason is Reason.IMAGE_TOO_LARGE


def test_segments_without_end_are_not_read_to_their_end() -> None:
    """Not even of a picture that would be decoded otherwise."""
    found, rest = segments(WHOLE_BUT_ODD["zeros before its end"](PLAIN))
    for count in (10, 1100):
        payload = joined([(0xFE, b"made here")] * count + found, rest)
        assert (is_refused if count > 1000 else lambda odd: is_same(odd, PLAIN))(payload)
