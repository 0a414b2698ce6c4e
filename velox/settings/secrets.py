"""Secrets from files, as container platforms mount them: ``NAME_FILE`` holds the path of what ``NAME`` would hold."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from pydantic_settings import BaseSettings

from velox.errors import SettingsError
from velox.settings.environment import Source, places

FILE_SUFFIX = "_FILE"


def secret_fields(settings: type[BaseSettings]) -> frozenset[str]:
    """Name the settings that are secrets: any of them may be given as a file."""
    return frozenset(name for name, field in settings.model_fields.items() if field.annotation is SecretStr)


class SecretFiles(Source):
    """Reads the files that ``NAME_FILE`` variables name."""

    def __call__(self) -> dict[str, Any]:
        """Read each file given where its setting is not, or in a place that wins: the environment over files.

        Raises:
            SettingsError: a file cannot be read, or one place gives a secret and its file.
        """
        found: dict[str, Any] = {}
        strongest_first = places().values()
        for name in secret_fields(self.settings_cls):
            for place in strongest_first:
                path = _path(name.upper(), place)
                if path:
                    found[name] = _read(name.upper() + FILE_SUFFIX, path)
                if path or place.get(name.upper()):
                    break
        return found


def _path(name: str, place: Mapping[str, str]) -> str:
    path = place.get(name + FILE_SUFFIX, "")
    if path and place.get(name):
        msg = f"{name} and {name}{FILE_SUFFIX} are both given: remove one"
        raise SettingsError(msg)
    return path


def _read(name: str, path: str) -> SecretStr:
    try:
        secret = Path(path).read_text("utf-8-sig").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8; save it as UTF-8"
        msg = f"{name} takes the path of a file, and what it names cannot be read: {why}"  # it may be the secret itself
        raise SettingsError(msg) from None
    if not secret:
        msg = f"{name}: the file is empty"
        raise SettingsError(msg)
    return SecretStr(secret)
