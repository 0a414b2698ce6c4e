"""Which models are wanted, as ``models.toml`` says from moment to moment; and the commands that edit it."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from velox.errors import SettingsError
from velox.models.replacing import replace
from velox.settings.models import NAME, ModelEntry, parse_models, read_models

_HEADER: Final = re.compile(r"\s*\[(?P<name>[^\[\]]+)\]\s*(?:#.*)?")


@dataclass(frozen=True, slots=True)
class Wanted:
    """A model that is to run."""

    entry: ModelEntry
    fingerprint: str = ""
    """Another one, and another member has to take over."""
    problem: str = ""
    """Why its pipeline file cannot be read now."""


class Catalogue:
    """Looks into the file again and again."""

    def __init__(self, path: Path, names: Collection[str] | None = None) -> None:
        """Watch these models, or all that there are."""
        self._path = path
        self._names = names

    def look(self) -> dict[str, Wanted]:
        """Answer the models that have a process of their own, by name.

        Raises:
            SettingsError: the file cannot be read. What is wrong with one pipeline file, its entry says.
        """
        entries = read_models(self._path)
        return {
            name: _wanted(entry)
            for name, entry in entries.items()
            if entry.same_as is None and (self._names is None or name in self._names)
        }


def chosen(entries: dict[str, ModelEntry], names: Collection[str]) -> list[str]:
    """Find the models behind some names, each once.

    Raises:
        SettingsError: there is no such model.
    """
    found: dict[str, None] = {}
    for name in names:
        if name not in entries:
            msg = f"--models {name}: no such model; there are {', '.join(entries) or 'none'}"
            raise SettingsError(msg)
        found[entries[name].same_as or name] = None
    return [*found]


def add_entry(path: Path, name: str, env_file: Path) -> ModelEntry:
    """Write an entry, in the place of one of the same name, and prove that its settings can be loaded.

    Raises:
        SettingsError: a name or a setting is wrong, or the file cannot be written; it is as it was then.
    """
    if not NAME.fullmatch(name):
        msg = f"{name!r} is no name for a model: letters, digits, _ and -, 63 at most"
        raise SettingsError(msg)
    text = path.read_text() if path.exists() else ""
    section = [f"[{name}]", f'env_file = "{_relative(env_file, path.parent)}"', ""]
    head, old, tail = _around(text, name)
    lines = [*head, *section, *tail] if old else [*head, *([""] if head and head[-1].strip() else []), *section]
    new = "\n".join(lines).rstrip() + "\n"
    entry = parse_models(new, path)[name]
    entry.load()
    _write(path, new)
    return entry


def remove_entry(path: Path, name: str) -> None:
    """Take an entry off the file.

    Raises:
        SettingsError: there is none, another entry is the same as it, or the file cannot be written.
    """
    entries = read_models(path)
    if name not in entries:
        msg = f"{path}: no model {name}; there are {', '.join(entries) or 'none'}"
        raise SettingsError(msg)
    if others := [other.name for other in entries.values() if other.same_as == name]:
        msg = f"{path}: {', '.join(others)} is the same as {name}: unload it first"
        raise SettingsError(msg)
    head, old, tail = _around(path.read_text(), name)
    kept = len(head)
    while kept > 1 and head[kept - 1].lstrip().startswith("#"):
        kept -= 1  # what is said above a header goes with its section
    new = "\n".join([*head[:kept], *tail]).rstrip() + "\n"
    if not old or parse_models(new, path).keys() != entries.keys() - {name}:
        msg = f"{path}: [{name}] is not written as a section of its own; remove it by hand"
        raise SettingsError(msg)
    _write(path, new)


def _wanted(entry: ModelEntry) -> Wanted:
    try:
        return Wanted(entry, entry.fingerprint)
    except SettingsError as problem:
        return Wanted(entry, problem=str(problem))


def _around(text: str, name: str) -> tuple[list[str], list[str], list[str]]:
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


def _name(line: str) -> str:
    match = _HEADER.fullmatch(line)
    return match["name"].strip().strip("\"'") if match else ""


def _relative(env_file: Path, folder: Path) -> str:
    """Name a file from the folder of ``models.toml``, where it is in there."""
    absolute = env_file.absolute()
    within = folder.absolute()
    return str(absolute.relative_to(within) if absolute.is_relative_to(within) else absolute)


def _write(path: Path, text: str) -> None:
    try:
        replace(path, text.encode())
    except OSError as error:
        msg = f"MODELS_PATH={path}: cannot be written: {error.strerror or error}"
        raise SettingsError(msg) from error
