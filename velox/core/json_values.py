"""Values that are JSON objects (``CODEC=json``): one named field is the payload, the others say what is known of it.

JSON can say in little what takes much memory: 25 bytes for one. So what is read whole is bounded, and of a longer value
only the payload's own text may be long: that takes no more than a few bytes a character, for a moment.
"""

import binascii
import json
import re
from base64 import b64decode
from dataclasses import dataclass
from typing import Any, Final, Literal

from velox.errors import BadRecordError, Reason

MAX_METADATA_BYTES: Final = 64 * 1024
"""JSON that is longer is not read whole: what it can say in that takes 25 times as much memory."""
_DECODER: Final = json.JSONDecoder()
_SPACE: Final = re.compile(r"[ \t\n\r]*")
_BESIDE: Final = f"is no JSON, or has more than {MAX_METADATA_BYTES} characters beside its payload"


@dataclass(frozen=True, slots=True)
class JsonForm:
    """Where in the object the payload is, and how it is written there."""

    field: str = "text"
    payload: Literal["text", "base64"] = "text"
    id_field: str = ""
    """The field that holds the producer's id of the record; empty = none."""


PLAIN_FORM: Final = JsonForm()


def read(value: bytes, field: str) -> dict[str, Any]:
    """Read the object; of one longer than ``MAX_METADATA_BYTES``, the text in ``field`` may take what is beyond that.

    Raises:
        BadRecordError: it is no JSON object in UTF-8, or says too much beside its payload.
    """
    try:
        text = value.decode("utf-8-sig")
        found = json.loads(text) if len(value) <= MAX_METADATA_BYTES else _scan(text, field)
    except (ValueError, RecursionError) as error:
        raise BadRecordError(Reason.BAD_ENVELOPE, f"the value is no JSON object: {error}") from error
    if not isinstance(found, dict):
        raise BadRecordError(Reason.BAD_ENVELOPE, f"the value is a JSON {type(found).__name__}, not an object")
    return found


def payload_of(found: dict[str, Any], form: JsonForm) -> bytes:
    """Take the payload out of an object: text in UTF-8, or the bytes that base64 stands for.

    Raises:
        BadRecordError: there is no such field, or not what it should be in it.
    """
    said = found.get(form.field)
    if said is None:
        raise BadRecordError(Reason.BAD_METADATA, f"the JSON object has no field {form.field!r}; see JSON_FIELD")
    if not isinstance(said, str):
        detail = f"the field {form.field!r} is a JSON {type(said).__name__}, not a text"
        raise BadRecordError(Reason.BAD_METADATA, detail)
    try:
        return b64decode(said, validate=True) if form.payload == "base64" else said.encode()
    except (binascii.Error, ValueError) as error:
        what = "no base64" if form.payload == "base64" else "no text that UTF-8 can hold"
        detail = f"the field {form.field!r} is {what}: {error}"
        raise BadRecordError(Reason.BAD_METADATA, detail) from error


def identity(found: dict[str, Any], form: JsonForm) -> str:
    """Answer the producer's id of the record, empty where it has none; nobody has looked yet whether it is safe."""
    said = found.get(form.id_field) if form.id_field else None
    return str(said) if isinstance(said, str | int) and not isinstance(said, bool) else ""


def _scan(text: str, field: str) -> dict[str, Any]:
    """Read a long object member by member. As usual, of members with one name the last counts.

    Raises:
        ValueError: it is no JSON object, or says too much beside its payload.
    """
    found: dict[str, Any] = {}
    left = MAX_METADATA_BYTES
    at = _expect(text, _space(text, 0), "{")
    if text[at : at + 1] == "}":
        return _ended(text, at, found)
    while True:
        start = at
        name, at = _text(text, at)
        begins = at = _expect(text, _space(text, at), ":")
        is_payload = name == field and text[at : at + 1] == '"'
        if is_payload:
            found[name], at = _text(text, at)
        else:
            found[name], at = _value(text, at, left)
        left -= (begins if is_payload else at) - start
        if left < 0:
            raise ValueError(_BESIDE)
        at = _space(text, at)
        if text[at : at + 1] == "}":
            return _ended(text, at, found)
        at = _expect(text, at, ",")


def _value(text: str, at: int, most: int) -> tuple[Any, int]:
    """Read a value of at most so many characters: nothing but those is looked at."""
    try:
        value, length = _DECODER.raw_decode(text[at : at + max(0, most)])
    except ValueError as error:
        raise ValueError(_BESIDE) from error
    return value, at + length


def _text(text: str, at: int) -> tuple[str, int]:
    if text[at : at + 1] != '"':
        msg = f"expecting a text at character {at}"
        raise ValueError(msg)
    found, end = _DECODER.raw_decode(text, at)
    return found, end


def _space(text: str, at: int) -> int:
    return match.end() if (match := _SPACE.match(text, at)) else at


def _expect(text: str, at: int, sign: str) -> int:
    if text[at : at + 1] != sign:
        msg = f"expecting {sign!r} at character {at}"
        raise ValueError(msg)
    return _space(text, at + 1)


def _ended(text: str, at: int, found: dict[str, Any]) -> dict[str, Any]:
    end = _space(text, at + 1)
    if end != len(text):
        msg = f"more after its end, at character {end}"
        raise ValueError(msg)
    return found
