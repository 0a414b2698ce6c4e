"""Reads ``models.toml``: which models the API offers, and the pipeline file of each. See docs/models.md.

[sentiment]
env_file = "pipelines/api-sentiment.env"

[text_processing]
same_as = "sentiment"
"""

import hashlib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from velox.errors import SettingsError
from velox.settings import env_file as files
from velox.settings.environment import looking_into
from velox.settings.loading import load
from velox.settings.model_versions import VERSION_KEYS, Versions, read_versions
from velox.settings.settings import Settings

ALL: Final = "all"
"""No model's name: it means all of them."""
NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
NONE: Final = Versions()
_TEXTS: Final = ("env_file", "same_as")


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """One model of the file."""

    name: str
    env_file: Path
    """Its pipeline file; for another name of a model that model's."""
    same_as: str | None = None
    """The model that answers to this name too; None for a model with a process of its own."""
    versions: Versions = NONE
    """Of its weights, where there are several."""

    def load(self) -> Settings:
        """Read the settings as this model's consumer will: the environment wins over its file, that over ``.env``.

        Raises:
            SettingsError: they cannot be read, or are not valid; it says of which model.
        """
        try:
            with looking_into(self.env_file):
                return load()
        except SettingsError as error:
            msg = f"model {self.name}: {error}"
            raise SettingsError(msg) from error

    @property
    def fingerprint(self) -> str:
        """Hash what this entry and its pipeline file say: another one, and the model is another.

        Raises:
            SettingsError: the file cannot be read.
        """
        said = sorted(files.read(self.env_file, is_required=True).items())
        told = (self.env_file, said, sorted(self.versions.environment().items()))
        return hashlib.sha256(repr(told).encode()).hexdigest()


def read_models(path: Path) -> dict[str, ModelEntry]:
    """Read all entries, in the file's order; their pipeline files are not looked into.

    Raises:
        SettingsError: the file cannot be read, or an entry says something else than it may.
    """
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        msg = f"MODELS_PATH={path}: {reason}; it names the models: `velox model load NAME --env-file FILE` writes it"
        raise SettingsError(msg) from None
    return parse_models(text, path)


def parse_models(text: str, path: Path) -> dict[str, ModelEntry]:
    """Read the content of such a file; pipeline files are named from the folder that ``path`` is in.

    Raises:
        SettingsError: as ``read_models``.
    """
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        msg = f"{path}: no TOML: {error}"
        raise SettingsError(msg) from None
    entries = {name: _entry(name, table, path) for name, table in tables.items()}
    return {name: _resolved(entry, entries, path) for name, entry in entries.items()}


def _entry(name: str, table: object, path: Path) -> ModelEntry:
    where = f"{path}, [{name}]"
    if not NAME.fullmatch(name) or name == ALL:
        msg = f"{where}: no name for a model: letters, digits, _ and -, 63 at most, and not {ALL}"
        raise SettingsError(msg)
    fields = _texts(table, where)
    if len(fields.keys() & set(_TEXTS)) != 1 or ("same_as" in fields and len(fields) > 1):
        msg = f'{where}: write env_file = "pipelines/NAME.env", or same_as = "OTHER" for another name of a model'
        raise SettingsError(msg)
    if "same_as" in fields:
        return ModelEntry(name, Path(), fields["same_as"])
    return ModelEntry(name, path.parent / fields["env_file"], versions=read_versions(fields, where))


def _texts(table: object, where: str) -> Mapping[str, Any]:
    given: Mapping[str, Any] = table if isinstance(table, dict) else {}
    for key, value in given.items():
        if key == "versions":
            continue
        if key not in (*_TEXTS, *VERSION_KEYS):
            msg = f"{where}: {key} is unknown; there are {' and '.join(_TEXTS)}, and of versions: versions, "
            raise SettingsError(f"{msg}{', '.join(VERSION_KEYS)}. All else belongs in the pipeline file")
        if not isinstance(value, str) or not value:
            msg = f"{where}: {key} = {value!r} is no text"
            raise SettingsError(msg)
    return given


def _resolved(entry: ModelEntry, entries: Mapping[str, ModelEntry], path: Path) -> ModelEntry:
    if entry.same_as is None:
        return entry
    other = entries.get(entry.same_as)
    if other is None or other.same_as is not None:
        msg = f"{path}, [{entry.name}]: same_as = {entry.same_as!r} is no model with an env_file"
        raise SettingsError(msg)
    return ModelEntry(entry.name, other.env_file, entry.same_as, other.versions)
