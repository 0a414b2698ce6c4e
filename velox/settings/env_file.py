"""How ``.env`` and pipeline files are read: a line a setting, values as they are written, and no line passed over.

Docker Compose reads the same file. What is accepted here means the same there, but for ``$``, where Compose puts
variables unless it is in single quotes, and for a tab before ``#``, which begins no comment there.
"""

import re
from functools import partial
from pathlib import Path
from typing import Final

from velox.errors import SettingsError

_ASSIGNMENT: Final = re.compile(r"(?:export\s+)?(?P<name>[A-Za-z_][A-Za-z0-9_]*)\s*=(?P<value>.*)")
_QUOTED: Final = {
    "'": re.compile(r"'(?P<text>(?:[^'\\]|\\(?!'))*)'\s*(?:#.*)?"),
    '"': re.compile(r'"(?P<text>(?:[^"\\]|\\.)*)"\s*(?:#.*)?'),
}
_ESCAPES: Final = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\"}
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


def read(path: Path, *, is_required: bool = False) -> dict[str, str]:
    """Read a file of settings, none if there is no such file and none is required; names in capitals.

    Raises:
        SettingsError: it cannot be read. The message names file, line and remedy, and no value: it may be a secret.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        if isinstance(error, FileNotFoundError) and not path.is_symlink() and not is_required:
            return {}
        alternative = "" if is_required else ", or not be there"
        msg = f"{path} cannot be read: {error.strerror}; it has to be a file that this user may read{alternative}"
        raise SettingsError(msg) from None
    found: dict[str, str] = {}
    line_of: dict[str, int] = {}
    for number, line in enumerate(_lines(content, path), 1):
        where = f"{path}, line {number}"
        assignment = _assignment(line, where)
        if assignment is None:
            continue
        name, value = assignment
        if name in found:
            msg = f"{where}: {name} is in line {line_of[name]} already; remove one of the two"
            raise SettingsError(msg)
        found[name], line_of[name] = value, number
    return found


def _lines(content: bytes, path: Path) -> list[str]:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        number = content.count(b"\n", 0, error.start) + 1
        msg = f"{path}, line {number}: not UTF-8; save it as UTF-8"
        raise SettingsError(msg) from None
    return [line.removesuffix("\r") for line in text.split("\n")]


def _assignment(line: str, where: str) -> tuple[str, str] | None:
    """Take a line apart into name and value; None for one that is empty or a comment."""
    if control := _CONTROL.search(line):
        msg = f"{where}: holds the control character {control[0]!r}; save it as text, in UTF-8"
        raise SettingsError(msg)
    text = line.strip()
    if not text or text.startswith("#"):
        return None
    match = _ASSIGNMENT.fullmatch(text)
    if match is None:
        msg = f"{where}: is not NAME=value; correct it, or begin it with # if it is a comment"
        raise SettingsError(msg)
    return match["name"].upper(), _value(match["value"], f"{where}: {match['name']}")


def _value(written: str, where: str) -> str:
    text = written.strip()
    if text.startswith("#") and text != written:
        msg = f"{where}: a comment where the value should be; give it a line of its own, or put the value in quotes"
        raise SettingsError(msg)
    if not text.startswith(tuple(_QUOTED)):
        return re.split(r"\s#", text, maxsplit=1)[0].rstrip()
    match = _QUOTED[text[0]].fullmatch(text)
    if match is None:
        msg = f"{where}: its quotes do not enclose the value; close them at its end, or leave them out"
        raise SettingsError(msg)
    return match["text"] if text[0] == "'" else re.sub(r"\\(.)", partial(_escaped, where), match["text"])


def _escaped(where: str, match: re.Match[str]) -> str:
    if match[1] not in _ESCAPES:
        msg = f"{where}: a backslash that means nothing in double quotes; use single ones, where all is as written"
        raise SettingsError(msg)
    return _ESCAPES[match[1]]
