"""How values are written: Python or JSON literals, names with commas, ``auto``, addresses."""

import ast
import re
from typing import Annotated, Final

from pydantic import AfterValidator, BeforeValidator, Field

from velox.core.subscription import check_name, subscription

_NOT_LITERAL: Final = (ValueError, TypeError, SyntaxError, MemoryError, RecursionError)
"""What ``ast`` raises for text that is none, says its documentation."""
_LIST_STARTS: Final = ("[", "(", "{", '"', "'")
_ADDRESS: Final = re.compile(r"(?:\[[0-9A-Fa-f:.%]+\]|[\w.-]+):(?P<port>\d{1,5})")
_MOST_PORT: Final = 65_535


def _literal(value: object) -> object:
    """Read a Python or JSON literal; text that is none stays text."""
    if not isinstance(value, str):
        return value
    try:
        return ast.literal_eval(value.strip())
    except _NOT_LITERAL:
        return value


def _names(value: object) -> object:
    """Read a list literal or comma-separated names; a number is a name, too, as it is written."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    return _listed(text) if text.startswith(_LIST_STARTS) else _split(text)


def _split(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _listed(text: str) -> tuple[str, ...]:
    try:
        literal = ast.parse(text, mode="eval").body
        if isinstance(literal, ast.Constant) and isinstance(literal.value, str):
            return _split(literal.value)
        parts = literal.elts if isinstance(literal, ast.List | ast.Tuple) else [literal]
        return tuple(_name(part, text) for part in parts)
    except _NOT_LITERAL:
        msg = 'write names with commas, as in red_circle,blue_*, or a list of texts, as in ["red_circle", "blue_*"]'
        raise ValueError(msg) from None


def _name(part: ast.expr, text: str) -> str:
    """Take a text, or a number as it is written: 1.50 is not 1.5."""
    value = ast.literal_eval(part)
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError
    return ast.get_source_segment(text, part) or str(value)


def _each_once(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if names.count(name) > 1:
            msg = f"names {name} twice; once is enough"
            raise ValueError(msg)
    return names


def _addresses(text: str) -> str:
    """Read ``host:port,…``; spaces around the commas are allowed."""
    parts = [part.strip() for part in text.split(",")]
    for part in parts:
        if problem := _problem(part):
            msg = f"{problem}; write host:port, and a comma between two"
            raise ValueError(msg)
    return ",".join(parts)


def _problem(address: str) -> str | None:
    """Say what is wrong with an address, as it is most often got wrong."""
    match = _ADDRESS.fullmatch(address)
    if match:
        return None if 0 < int(match["port"]) <= _MOST_PORT else f"{address}: there is no such port"
    scheme, is_url, _ = address.partition("://")
    problems = {
        "an address is empty": not address,
        f"{address} has quotes, which are no part of an address": "'" in address or '"' in address,
        f"{address} begins with {scheme}://, and an address has no scheme": is_url,
        f"{address} has no port": re.fullmatch(r"[\w.-]+", address),
    }
    return next((problem for problem, is_so in problems.items() if is_so), f"{address} is no address")


def _topic(name: str) -> str:
    check_name(name)
    return name


def _topics(value: object) -> object:
    """Write a list as names with commas; what is a name, names or a pattern stays as it is."""
    if isinstance(value, str) and value.strip().startswith(_LIST_STARTS[:2]):
        return ",".join(_listed(value.strip()))
    return value


def _known_topics(text: str) -> str:
    return subscription(text.strip()).text


def _is_auto(value: object) -> bool:
    return isinstance(value, str) and value.strip().lower() == "auto"


def _auto_is_0(value: object) -> object:
    return 0 if _is_auto(value) else value


def _auto_is_none(value: object) -> object:
    return None if _is_auto(value) else value


Names = Annotated[tuple[str, ...], BeforeValidator(_names), AfterValidator(_each_once)]
_Seconds = Annotated[float, Field(ge=0, le=30 * 86_400)]
Durations = Annotated[tuple[_Seconds, ...], BeforeValidator(_names)]
"""Seconds, up to 30 days each, in an order that matters; the same may come again."""
Addresses = Annotated[str, AfterValidator(_addresses)]
Topic = Annotated[str, AfterValidator(_topic)]
Topics = Annotated[str, BeforeValidator(_topics), AfterValidator(_known_topics)]
"""A topic, several, or a pattern, in their written form: see ``velox.core.subscription``."""
Channel = Annotated[int, Field(ge=0, le=255)]
Bgr = Annotated[tuple[Channel, Channel, Channel], BeforeValidator(_literal)]
AutoCount = Annotated[int, BeforeValidator(_auto_is_0)]
"""A count, or ``auto`` for 0."""
AutoNumber = Annotated[float | None, BeforeValidator(_auto_is_none)]
"""A number, 0 too, or ``auto`` for None."""
