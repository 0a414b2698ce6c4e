"""What a client sends for a model: checked at the door, so that bad data is told at once; and a record's value."""

import binascii
import json
import struct
from base64 import b64decode
from datetime import UTC, datetime
from typing import Final

from velox.core.envelope import Codec, frame
from velox.core.image_formats import JPEG, PNG, PNG_START, recognise, refusal
from velox.errors import BadRecordError, Reason
from velox.gateway.models import ServedModel
from velox.gateway.problems import unprocessable
from velox.images.jpeg_structure import take_apart
from velox.images.limits import Limits

_WRITE: Final = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode
"""As json.dumps with these options, which would make an encoder for each record."""
_PNG_SIZE: Final = struct.Struct(">II")
_PNG_SIZE_AT: Final = len(PNG_START) + 8


def text(said: str, most_characters: int, field: str = "text") -> bytes:
    """Take a text.

    Raises:
        Problem: 422: it is empty, longer than MAX_TEXT_LENGTH, or no text that UTF-8 can hold.
    """
    if not 1 <= len(said) <= most_characters:
        raise unprocessable(f"a text has 1 to {most_characters} characters, this one {len(said)}", field)
    try:
        return said.encode()
    except UnicodeEncodeError as error:
        raise unprocessable(f"no text that UTF-8 can hold: {error.reason}", field) from error


def from_base64(said: str, field: str) -> bytes:
    """Take bytes that are written in base64, strictly; the beginning of a data URL may stand before them.

    Raises:
        Problem: 422: they are not.
    """
    coded = said.partition(";base64,")[2] if said.startswith("data:") else said
    try:
        return b64decode(coded, validate=True)
    except (binascii.Error, ValueError) as error:
        raise unprocessable(f"no base64: {error}", field) from error


def image(payload: bytes, limits: Limits) -> bytes:
    """Take the file of an image: one that begins as a known format does, and says that it is not too large.

    Nothing is decoded: whether the rest can be read, the worker finds out.

    Raises:
        BadRecordError: EMPTY, NOT_AN_IMAGE, UNDECODABLE or IMAGE_TOO_LARGE.
    """
    if not payload:
        raise BadRecordError(Reason.EMPTY, "the image has no bytes")
    form = recognise(payload)
    if form is None:
        raise BadRecordError(Reason.NOT_AN_IMAGE, refusal(payload))
    try:
        if form is JPEG:
            structure = take_apart(payload)
            limits.check(structure.width, structure.height)
        elif form is PNG:
            limits.check(*_PNG_SIZE.unpack_from(payload, _PNG_SIZE_AT))
    except (ValueError, struct.error) as error:
        raise BadRecordError(Reason.UNDECODABLE, f"{form.name}: {error}") from error
    return payload


def value(model: ServedModel, request_id: str, payload: bytes, created_at: float) -> bytes:
    """Build a record's value: JSON as foreign producers of the topic write it, or framed."""
    if model.codec is Codec.JSON:
        said = {"request_id": request_id, "text": payload.decode(), "created_at": iso(created_at)}
        return _WRITE(said).encode()
    form = recognise(payload)
    dtype = form.name.lower() if form else "raw"
    return frame({"timestamp": created_at, "dtype": dtype, "request_id": request_id}, payload)


def iso(at: float) -> str:
    """Write Unix seconds as ISO 8601 has it, in UTC, to the microsecond."""
    return datetime.fromtimestamp(at, UTC).isoformat()
