"""W3C Trace Context: what a record, or a request, says of the trace that it is a part of.

https://www.w3.org/TR/trace-context/
"""

import re
from collections.abc import Iterable
from typing import Final

TRACEPARENT: Final = "traceparent"
_FORMS: Final = {
    TRACEPARENT: re.compile(rb"[0-9a-f]{2}-(?P<trace_id>[0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}"),
    "tracestate": re.compile(rb"[\x20-\x7e]{1,512}"),
}


def traces(headers: Iterable[tuple[str, bytes | None]]) -> list[tuple[str, bytes]]:
    """Choose what is handed on of some headers: the first of each name, and nothing of another form."""
    first: dict[str, bytes | None] = {}
    for name, value in headers:
        if name in _FORMS:
            first.setdefault(name, value)
    return [(name, value) for name, value in first.items() if value and _FORMS[name].fullmatch(value)]


def trace_id(handed_on: Iterable[tuple[str, bytes]]) -> str:
    """Name the trace, in hexadecimal digits; empty where there is none."""
    for name, value in handed_on:
        if name == TRACEPARENT and (found := _FORMS[TRACEPARENT].fullmatch(value)):
            return found["trace_id"].decode()
    return ""
