"""What a check answers."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from velox.errors import VeloxError
from velox.settings import Settings


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    """It works, but not as well or as safely as it could."""
    ERROR = "error"
    """It does not work, or loses records."""
    SKIPPED = "skipped"
    """It could not be looked at; why is another finding."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    level: Level
    what: str
    value: str
    fix: str = ""
    """What to change; empty when nothing is to be changed."""


Check = Callable[[Settings], Iterable[Finding]]
"""A family of checks. It may raise a VeloxError, which is a finding too, and should answer within seconds."""


def ok(what: str, value: str) -> Finding:
    """Find nothing wrong."""
    return Finding(Level.OK, what, value)


def warning(what: str, value: str, fix: str) -> Finding:
    """Find something that could be better."""
    return Finding(Level.WARNING, what, value, fix)


def error(what: str, value: str, fix: str) -> Finding:
    """Find something wrong."""
    return Finding(Level.ERROR, what, value, fix)


def skipped(what: str, because: str) -> Finding:
    """Find nothing out."""
    return Finding(Level.SKIPPED, what, because)


def refusal(what: str, problem: VeloxError) -> Finding:
    """Make a finding of an error: its message says what is wrong and, after a semicolon, what to do."""
    value, _, fix = str(problem).rpartition("; ")
    return error(what, value or fix, fix if value else "correct what is named")


def judged(problems: Iterable[Finding], otherwise: Finding) -> Iterator[Finding]:
    """Answer the problems, or that there are none."""
    found = list(problems)
    yield from found or [otherwise]
