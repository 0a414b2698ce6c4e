"""Small files that would become large: refused or decoded within a bounded memory, measured from outside."""

import io
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from tests.pictures import without_scan_parameters
from velox.settings import Settings

MIB = 1024 * 1024
LIMIT_PIXELS = Settings.model_fields["max_image_pixels"].default
DECODE = """
import re, sys
from pathlib import Path

from velox.errors import BadRecordError
from velox.models.preprocessing import Preprocessor
from velox.settings import Settings

def peak_kib():
    # What getrusage says begins with what the program had that started this one.
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])

settings = Settings()
preprocess = Preprocessor(224, "fast", settings.max_image_pixels, settings.max_image_side)
payload = sys.stdin.buffer.read()
before = peak_kib()
try:
    preprocess(payload)
    answer = "decoded"
except BadRecordError as error:
    answer = error.reason.value
print(answer, (peak_kib() - before) // 1024)
"""


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(width: int, height: int, *, extra: bytes = b"") -> bytes:
    """A whole black image of one bit a pixel: some kilobytes, whatever its size."""
    row = bytes(1 + (width + 7) // 8)
    packer = zlib.compressobj(9)
    packed = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + extra + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def inflated(size: int) -> bytes:
    packer = zlib.compressobj(9)
    return b"".join(packer.compress(bytes(MIB)) for _ in range(size // MIB)) + packer.flush()


def jpeg(width: int, height: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((height, width), np.uint8)).save(buffer, "JPEG", quality=30)
    return buffer.getvalue()


def odd_jpeg(width: int, height: int) -> bytes:
    """One that is decoded only after a second look: its scan says it has no coefficients, and its end is missing."""
    return without_scan_parameters(jpeg(width, height))[:-2]


def damaged_jpeg(width: int, height: int) -> bytes:
    """One that is decoded four times: the decoder warns of something, and does not say whether its data suffices."""
    return jpeg(width, height)[:-2] + b"something" + b"\xff\xd9"


def of_pillow(form: str) -> Callable[[int, int], bytes]:
    def make(width: int, height: int) -> bytes:
        buffer = io.BytesIO()
        Image.new("1" if form == "BMP" else "L", (width, height)).save(buffer, form)
        return buffer.getvalue()

    return make


def decode(payload: bytes) -> tuple[str, int]:
    """Decode in a process of its own; answer what came of it, and by how many MiB its peak memory grew."""
    ended = subprocess.run([sys.executable, "-c", DECODE], input=payload, capture_output=True, timeout=100, check=False)
    assert ended.returncode == 0, ended.stderr.decode()
    answer, grown_mib = ended.stdout.split()
    return answer.decode(), int(grown_mib)


@pytest.mark.parametrize("make", [png, jpeg, odd_jpeg])
def test_an_image_beyond_the_limit_costs_nothing(make: Callable[[int, int], bytes]) -> None:
    payload = make(13_000, 13_000)
    answer, grown_mib = decode(payload)
    assert answer == "image_too_large"
    assert grown_mib < 10


@pytest.mark.parametrize(
    "make",
    [
        *(png, jpeg, odd_jpeg, damaged_jpeg),
        *(pytest.param(of_pillow(form), id=form) for form in ("BMP", "GIF", "WEBP")),
    ],
)
def test_the_largest_image_that_is_taken_costs_a_few_bytes_a_pixel(make: Callable[[int, int], bytes]) -> None:
    side = int(LIMIT_PIXELS**0.5)
    answer, grown_mib = decode(make(side, side))
    assert answer == "decoded"
    assert grown_mib * MIB < LIMIT_PIXELS * 10


@pytest.mark.parametrize(
    "extra",
    [
        pytest.param(lambda: chunk(b"zTXt", b"Comment\0\0" + inflated(1024 * MIB)), id="text"),
        pytest.param(lambda: chunk(b"iCCP", b"profile\0\0" + inflated(1024 * MIB)), id="colour profile"),
    ],
)
def test_what_is_packed_beside_the_pixels_is_never_unpacked_whole(extra: object) -> None:
    assert callable(extra)
    answer, grown_mib = decode(png(64, 64, extra=extra()))
    assert answer in {"decoded", "undecodable"}
    assert grown_mib < 100


def test_more_pixels_than_the_header_says_are_not_unpacked() -> None:
    whole = png(16, 16)
    header_end = whole.index(b"IDAT") - 4
    bomb = whole[:header_end] + chunk(b"IDAT", inflated(1024 * MIB)) + chunk(b"IEND", b"")
    answer, grown_mib = decode(bomb)
    assert answer in {"decoded", "undecodable"}
    assert grown_mib < 100
