"""Edits ``models.toml`` by its lines, so that comments and order stay as somebody wrote them."""

import re
from pathlib import Path
from typing import Final

from velox.errors import SettingsError
from velox.models.replacing import replace

_HEADER: Final = re.compile(r"\s*\[(?P<name>[^\[\]]+)\]\s*(?:#.*)?")


def around(text: str, name: str) -> tuple[list[str], list[str], list[str]]:
    """Cut the lines of a section out: those before, its own, those behind, with the comments above the next header."""
    lines = text.splitlines()
    headers = [number for number, line in enumerate(lines) if _HEADER.fullmatch(line)]
    begin = next((each for each in headers if _name(lines[each]) == name), None)
    if begin is None:
        return lines, [], []
    end = next((each for each in headers if each > begin), len(lines))
    while end < len(lines) and end - 1 > begin and lines[end - 1].lstrip().startswith("#"):
        end -= 1
    return lines[:begin], lines[begin:end], lines[end:]


def with_line(text: str, section: str, key: str, line: str | None) -> str:
    """Put a line in the place of a key's, or behind the section's last one; None takes it away.

    A section that is not there is written at the end.
    """
    head, own, tail = around(text, section)
    found = line_of(text, section, key)
    if found is not None:
        at = own.index(found)
        own[at : at + 1] = [] if line is None else [line]
    elif line is not None:
        own = own or ["", f"[{section}]"]
        last = max(number for number, each in enumerate(own) if each.strip())
        own.insert(last + 1, line)
    return "\n".join([*head, *own, *tail]).rstrip() + "\n"


def line_of(text: str, section: str, key: str) -> str | None:
    """Find the line that begins with a key, within a section."""
    written = re.compile(rf"\s*[\"']?{re.escape(key)}[\"']?\s*=")
    return next((line for line in around(text, section)[1] if written.match(line)), None)


def write(path: Path, text: str) -> None:
    """Replace the file at once, so that nobody reads half of it.

    Raises:
        SettingsError: it cannot be written.
    """
    try:
        replace(path, text.encode())
    except OSError as error:
        msg = f"MODELS_PATH={path}: cannot be written: {error.strerror or error}"
        raise SettingsError(msg) from error


def _name(line: str) -> str:
    match = _HEADER.fullmatch(line)
    return match["name"].strip().strip("\"'") if match else ""
