"""How values are laid out, by codec: from bytes to metadata and payload, and back.

A framed value: 4-byte big-endian length of the JSON, the JSON metadata in UTF-8, the payload.
"""

import json
import struct
import zlib
from base64 import b64encode
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final, NamedTuple, Protocol

from velox.core import json_values
from velox.core.json_values import MAX_METADATA_BYTES, PLAIN_FORM, JsonForm
from velox.core.pointers import read_claim, read_described
from velox.core.text import readable
from velox.errors import BadRecordError, Reason, SettingsError
from velox.records import Headers, Metadata, Pointer

CHECKSUM_HEADER = "velox-crc32"
CLAIM: Final = "claim"
"""In the JSON of a framed value without a payload: where the payload is."""
MAX_HEADER_BYTES: Final = MAX_METADATA_BYTES
"""A longer one is refused."""
_LENGTH = struct.Struct(">I")
_MAX_LABEL: Final = 128
"""Characters that are kept of a producer's label: a word in practice."""


class Codec(StrEnum):
    """How a topic's values are laid out."""

    FRAMED = "framed"
    RAW = "raw"
    JSON = "json"
    KEY = "key"


class Taken(NamedTuple):
    """What a value says."""

    metadata: Metadata
    payload: bytes
    is_apart: bool = False
    """The payload is no part of the value as it is: it was written in another way there."""
    id: str = ""
    """What the producer calls the record, as the value says; not looked at yet."""
    pointer: Pointer | None = None
    """Where the payload is, when not in the value."""
    problem: BadRecordError | None = None
    """Why there is no payload, when the rest could be read."""


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
    """Say ``color_shape`` as the metadata do; ``unknown`` stands for a label that is none, neither text nor number.

    Of what has neither colour nor shape, such as a text, ``label`` alone is the ground truth.
    """
    if "label" in metadata and "color_label" not in metadata and "shape_label" not in metadata:
        return _label(metadata["label"])
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


class Parser(Protocol):
    """Takes a value apart; ``json`` says how, where the codec is that.

    Raises:
        BadRecordError: it cannot be taken apart.
    """

    def __call__(self, value: bytes, json: JsonForm = ..., /) -> Taken:
        """Answer what it says."""


def _framed(value: bytes, _json: JsonForm = PLAIN_FORM, /) -> Taken:
    metadata, payload = unframe(value)
    if not payload and CLAIM in metadata:
        return Taken(metadata, b"", is_apart=True, pointer=read_claim(metadata[CLAIM]))
    return Taken(metadata, payload)


def _raw(value: bytes, _json: JsonForm = PLAIN_FORM, /) -> Taken:
    return Taken({}, value)


def _json(value: bytes, form: JsonForm = PLAIN_FORM, /) -> Taken:
    found = json_values.read(value, form.field)
    identity = json_values.identity(found, form)
    try:
        payload = json_values.payload_of(found, form)
    except BadRecordError as problem:
        # What it is called is known all the same: whoever asked for an answer hears of the failure.
        return Taken(found, b"", id=identity, problem=problem)
    return Taken(found, payload, is_apart=True, id=identity)


def _key(value: bytes, _json: JsonForm = PLAIN_FORM, /) -> Taken:
    pointer, metadata = read_described(value)
    return Taken(metadata, b"", is_apart=True, pointer=pointer)


PARSERS: Final[Mapping[Codec, Parser]] = {
    Codec.FRAMED: _framed,
    Codec.RAW: _raw,
    Codec.JSON: _json,
    Codec.KEY: _key,
}


def wrap(metadata: Metadata, payload: bytes, codec: Codec, form: JsonForm) -> bytes:
    """Build a value that the codec's parser takes apart again.

    Raises:
        SettingsError: payloads are to be text, and this is none.
    """
    if codec in {Codec.RAW, Codec.KEY}:
        return payload
    if codec is Codec.FRAMED:
        return frame(metadata, payload)
    try:
        text = b64encode(payload).decode() if form.payload == "base64" else payload.decode()
    except UnicodeDecodeError:
        msg = "JSON_PAYLOAD=text takes payloads that are text in UTF-8, and the source's are none: set it to base64"
        raise SettingsError(msg) from None
    return json.dumps({**metadata, form.field: text}, separators=(",", ":"), ensure_ascii=False).encode()
