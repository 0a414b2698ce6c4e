"""Which models are wanted, as ``models.toml`` says from moment to moment; and the commands that edit it."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from velox.errors import SettingsError
from velox.settings.model_versions import VERSION_KEYS
from velox.settings.models import NAME, ModelEntry, parse_models, read_models
from velox.worker.editing import around, write

_VERSION_KEY: Final = re.compile(rf"\s*(?:{'|'.join(VERSION_KEYS)})\s*=")


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
    head, old, tail = around(text, name)
    kept = [line for line in old if _VERSION_KEY.match(line)]
    section = [f"[{name}]", f'env_file = "{_relative(env_file, path.parent)}"', *kept, ""]
    lines = [*head, *section, *tail] if old else [*head, *([""] if head and head[-1].strip() else []), *section]
    new = "\n".join(lines).rstrip() + "\n"
    entry = parse_models(new, path)[name]
    entry.load()
    write(path, new)
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
    text = path.read_text()
    before, versions, behind = around(text, f"{name}.versions")
    head, old, tail = around("\n".join([*before, *behind]) if versions else text, name)
    kept = len(head)
    while kept > 1 and head[kept - 1].lstrip().startswith("#"):
        kept -= 1  # what is said above a header goes with its section
    new = "\n".join([*head[:kept], *tail]).rstrip() + "\n"
    if not old or parse_models(new, path).keys() != entries.keys() - {name}:
        msg = f"{path}: [{name}] is not written as a section of its own; remove it by hand"
        raise SettingsError(msg)
    write(path, new)


def _wanted(entry: ModelEntry) -> Wanted:
    try:
        return Wanted(entry, entry.fingerprint)
    except SettingsError as problem:
        return Wanted(entry, problem=str(problem))


def _relative(env_file: Path, folder: Path) -> str:
    """Name a file from the folder of ``models.toml``, where it is in there."""
    absolute = env_file.absolute()
    within = folder.absolute()
    return str(absolute.relative_to(within) if absolute.is_relative_to(within) else absolute)
