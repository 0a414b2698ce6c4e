"""Which topics a pipeline reads: one, several, or all whose name matches a pattern."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

TOPIC_CHARACTERS: Final = 249
"""The longest name of a topic that Kafka takes."""
MOST_TOPICS: Final = 10_000
_NAME: Final = re.compile(r"[A-Za-z0-9._-]+")
_RANGE: Final = re.compile(r"\{(\d{1,6})\.\.(\d{1,6})\}")
_DIGITS: Final = re.compile(r"(\d+)")
_INTERNAL: Final = "__"
"""How the names of Kafka's own topics begin."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """The topics that KAFKA_TOPIC means; ``str`` gives it as it was written."""

    text: str
    names: tuple[str, ...] = ()
    """Empty for a pattern."""
    pattern: str | None = None

    def __str__(self) -> str:
        """Write it for people."""
        return self.text

    @property
    def is_one(self) -> bool:
        """Say whether it is one topic, by its name."""
        return len(self.names) == 1

    def takes(self, topic: str) -> bool:
        """Say whether a topic is one of them. A pattern never takes Kafka's own topics, which begin with ``__``."""
        if self.pattern is None:
            return topic in self.names
        return not topic.startswith(_INTERNAL) and re.search(self.pattern, topic) is not None

    def among(self, topics: Iterable[str]) -> tuple[str, ...]:
        """Choose from the topics there are: camera_2 before camera_10, or in the order of the names."""
        if self.pattern is None:
            there = set(topics)
            return tuple(name for name in self.names if name in there)
        return tuple(sorted(filter(self.takes, topics), key=_numbers_by_value))


@lru_cache(maxsize=64)
def subscription(text: str) -> Subscription:
    r"""Read a name, names with commas, ranges of names (``camera_{1..20}``), or a pattern (``^camera_\d+$``).

    Raises:
        ValueError: it is none of these; the message goes after the name of the setting.
    """
    if text.startswith("^"):
        try:
            re.compile(text)
        except re.error as error:
            msg = f"is no pattern: {error}; a pattern is a regular expression, as Python reads it"
            raise ValueError(msg) from None
        return Subscription(text, pattern=text)
    names: list[str] = []
    parts = [part.strip() for part in text.split(",") if part.strip()]
    for part in parts or [text]:
        names += _expanded(part, most=MOST_TOPICS - len(names))
    for name in names:
        check_name(name, which="" if names == [text] else f"{name} ")
    for name, count in Counter(names).items():
        if count > 1:
            msg = f"names {name} twice; once is enough"
            raise ValueError(msg)
    return Subscription(",".join(parts or [text]), names=tuple(names))


def expand(text: str) -> tuple[str, ...]:
    """Read names as ``subscription`` does, but no pattern.

    Raises:
        ValueError: they are none.
    """
    found = subscription(text)
    if found.pattern is not None:
        msg = "is a pattern, and names are wanted: write camera_1,camera_2 or camera_{1..20}"
        raise ValueError(msg)
    return found.names


def _expanded(part: str, *, most: int) -> Iterator[str]:
    """Write a range of numbers out; a first number with zeros before it says how many digits all have."""
    match = _RANGE.search(part)
    if match is None:
        yield part
        return
    first, last = int(match[1]), int(match[2])
    if first > last or last - first >= most:
        msg = f"{match[0]} is no range: write the smaller number first, and at most {MOST_TOPICS} topics in all"
        raise ValueError(msg)
    digits = len(match[1]) if match[1].startswith("0") else 0
    for number in range(first, last + 1):
        yield f"{part[: match.start()]}{number:0{digits}d}{part[match.end() :]}"


def check_name(name: str, *, which: str = "") -> None:
    """Refuse what is no name of a topic.

    Raises:
        ValueError: the message goes after the name of the setting; ``which`` tells one of several.
    """
    if not _NAME.fullmatch(name) or name in {".", ".."} or len(name) > TOPIC_CHARACTERS:
        rule = f"1 to {TOPIC_CHARACTERS} letters, digits, dots, _ and -, but not . or .."
        msg = f"{which}is no name that Kafka takes: {rule}"
        raise ValueError(msg)


def _numbers_by_value(topic: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in _DIGITS.split(topic)]
