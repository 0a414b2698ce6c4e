"""W3C Trace Context: what a record, or a request, says of the trace that it is a part of; and spans, parts of a trace.

https://www.w3.org/TR/trace-context/
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal, Protocol

Kind = Literal["server", "client", "producer", "consumer", "internal"]
Value = str | int | float

TRACEPARENT: Final = "traceparent"
_SAMPLED: Final = 1
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


def parent_of(handed_on: Iterable[tuple[str, bytes]]) -> bytes:
    """Answer the ``traceparent`` among what is handed on; empty where there is none."""
    return next((value for name, value in handed_on if name == TRACEPARENT), b"")


def sampled(headers: Iterable[tuple[str, bytes | None]]) -> bytes:
    """Answer the ``traceparent`` among headers if its spans are wanted; empty where they are not, or there is none."""
    for name, value in headers:
        if name == TRACEPARENT:
            is_wanted = value and _FORMS[TRACEPARENT].fullmatch(value) and int(value[-2:], 16) & _SAMPLED
            return value if value and is_wanted else b""
    return b""


class Span(Protocol):
    """A part of a trace that has begun."""

    traceparent: bytes
    """What makes other spans its children."""

    def end(
        self,
        *,
        at: float | None = None,
        name: str = "",
        error: str | None = None,
        attributes: Mapping[str, Value] | None = None,
    ) -> None:
        """End it, now or at a Unix second; ``error`` says what went wrong, ``name`` is a better one than the first."""


class Spans(Protocol):
    """Makes spans. Thread-safe; nothing here waits for whoever gets them."""

    def begin(
        self,
        name: str,
        kind: Kind,
        *,
        parent: bytes = b"",
        links: Sequence[bytes] = (),
        at: float | None = None,
        attributes: Mapping[str, Value] | None = None,
    ) -> Span:
        """Begin a span, now or at a Unix second; ``parent`` and ``links`` are values of ``traceparent``.

        Without a parent it begins a trace.
        """

    def close(self) -> None:
        """Send what waits, for a few seconds at most."""
