"""Payloads that are text: what a model for text reads them with."""

from typing import Final

from velox.errors import BadRecordError, Reason

_UTF8_BYTES: Final = 4
"""A character takes no more."""


def decode(payload: bytes, *, most_characters: int) -> str:
    """Read a payload as UTF-8.

    Raises:
        BadRecordError: it is not UTF-8, nothing but white space, or longer than ``most_characters``.
    """
    if len(payload) > _UTF8_BYTES * (most_characters + 1):  # not even decoded
        detail = f"a text of {len(payload)} bytes, more than MAX_TEXT_CHARACTERS={most_characters} can have"
        raise BadRecordError(Reason.TOO_LARGE, detail)
    try:
        text = payload.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadRecordError(Reason.UNDECODABLE, f"not UTF-8, from byte {error.start} on") from error
    if len(text) > most_characters:
        detail = f"a text of {len(text)} characters, more than MAX_TEXT_CHARACTERS={most_characters}"
        raise BadRecordError(Reason.TOO_LARGE, detail)
    if not text.strip():
        raise BadRecordError(Reason.EMPTY, "a text of nothing but white space")
    return text
