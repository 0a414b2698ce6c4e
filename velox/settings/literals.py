"""How values are written: Python or JSON literals, names with commas, ``auto``."""

import ast
from typing import Annotated

from pydantic import BeforeValidator, Field
from pydantic_settings import NoDecode


def _literal(value: object) -> object:
    """Read a Python or JSON literal; text that is none stays text."""
    if not isinstance(value, str):
        return value
    try:
        return ast.literal_eval(value.strip())
    except (ValueError, SyntaxError):
        return value


def _names(value: object) -> object:
    """Read a list literal or comma-separated names."""
    literal = _literal(value)
    if isinstance(literal, str):
        return tuple(part.strip() for part in literal.split(",") if part.strip())
    return literal


def _is_auto(value: object) -> bool:
    return isinstance(value, str) and value.strip().lower() == "auto"


def _auto_is_0(value: object) -> object:
    return 0 if _is_auto(value) else value


def _auto_is_none(value: object) -> object:
    return None if _is_auto(value) else value


Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_names)]
Channel = Annotated[int, Field(ge=0, le=255)]
Bgr = Annotated[tuple[Channel, Channel, Channel], BeforeValidator(_literal)]
AutoCount = Annotated[int, BeforeValidator(_auto_is_0)]
"""A count, or ``auto`` for 0."""
AutoNumber = Annotated[float | None, BeforeValidator(_auto_is_none)]
"""A number, 0 too, or ``auto`` for None."""
