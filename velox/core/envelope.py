"""The wire format of framed records.

Layout of a value: 4-byte big-endian length of the JSON, the JSON metadata in UTF-8, the payload.
"""

import json
import struct
import zlib
from collections.abc import Callable
from enum import StrEnum
from typing import Any, Final

from velox.core.text import readable
from velox.errors import BadRecordError, Reason
from velox.records import Headers, Metadata

CHECKSUM_HEADER = "velox-crc32"
MAX_HEADER_BYTES: Final = 64 * 1024
"""A longer one is refused: what JSON can say in it takes 25 times as much memory."""
_LENGTH = struct.Struct(">I")
_MAX_LABEL: Final = 128
"""Characters that are kept of a producer's label: a word in practice."""


class Codec(StrEnum):
    """How a topic's values are laid out."""

    FRAMED = "framed"
    RAW = "raw"
    KEY = "key"


def frame(metadata: Metadata, payload: bytes) -> bytes:
    """Build a framed value."""
    header = json.dumps(metadata, separators=(",", ":"), ensure_ascii=False).encode()
    return b"".join((_LENGTH.pack(len(header)), header, payload))


def unframe(value: bytes) -> tuple[Metadata, bytes]:
    """Take a framed value apart.

    Raises:
        BadRecordError: the value is shorter than it claims, or its header is too long or not a JSON object.
    """
    if len(value) < _LENGTH.size:
        raise BadRecordError(Reason.BAD_ENVELOPE, f"{len(value)} bytes: shorter than the 4-byte length of the header")
    (length,) = _LENGTH.unpack_from(value)
    end = _LENGTH.size + length
    if end > len(value):
        raise BadRecordError(Reason.BAD_ENVELOPE, f"the header claims {length} bytes, the value has {len(value)}")
    if length > MAX_HEADER_BYTES:
        raise BadRecordError(Reason.BAD_METADATA, f"the header has {length} bytes, more than {MAX_HEADER_BYTES}")
    try:
        metadata: Any = json.loads(value[_LENGTH.size : end])
    except (ValueError, RecursionError) as error:
        raise BadRecordError(Reason.BAD_METADATA, f"the header is not JSON: {error}") from error
    if not isinstance(metadata, dict):
        raise BadRecordError(Reason.BAD_METADATA, f"the header is a JSON {type(metadata).__name__}, not an object")
    return metadata, value[end:]


def ground_truth(metadata: Metadata) -> str:
    """Say ``color_shape`` as the metadata do; ``unknown`` stands for a label that is none, neither text nor number."""
    return f"{_label(metadata.get('color_label'))}_{_label(metadata.get('shape_label'))}"


def _label(said: object) -> str:
    is_one = isinstance(said, str | int | float) and not isinstance(said, bool)
    return str(said)[:_MAX_LABEL] if is_one else "unknown"


def checksum(value: bytes) -> bytes:
    """Sum a value up for the header ``velox-crc32``: the CRC-32 of zlib and gzip, as eight hexadecimal digits."""
    return b"%08x" % zlib.crc32(value)


def verify(value: bytes, headers: Headers) -> None:
    """Compare a value with its checksum, if there is one: a flipped bit in an image decodes to wrong pixels silently.

    Raises:
        BadRecordError: they differ.
    """
    for name, claimed in headers:
        if name == CHECKSUM_HEADER and (claimed or b"").lower() != (actual := checksum(value)):
            told = readable(claimed, most=20)
            detail = f"{CHECKSUM_HEADER} says {told}, the value has {actual.decode()}: it was changed on the way"
            raise BadRecordError(Reason.CHECKSUM_MISMATCH, detail)


def _raw(value: bytes) -> tuple[Metadata, bytes]:
    return {}, value


PARSERS: dict[Codec, Callable[[bytes], tuple[Metadata, bytes]]] = {
    Codec.FRAMED: unframe,
    Codec.RAW: _raw,
    Codec.KEY: _raw,  # all there is in the record itself; what it says, core/pointers.py reads
}
