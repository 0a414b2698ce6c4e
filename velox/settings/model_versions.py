"""The versions of a model in ``models.toml``.

[sentiment]
env_file = "pipelines/api-sentiment.env"
default = "main"
shadow = "v3"

[sentiment.versions]
v2 = {path = "model/v2.pth", share = 10}
v3 = {path = "model/v3.pth"}
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic import ValidationError

from velox.errors import SettingsError
from velox.settings.versions import MAIN, VersionSettings

VERSION_KEYS: Final = ("default", "former", "shadow")
"""Keys beside ``env_file`` that name a version."""


@dataclass(frozen=True, slots=True)
class Versions:
    """What an entry says of its model's versions."""

    paths: Mapping[str, str] = field(default_factory=dict)
    """As MODEL_PATH would be written, by name; ``main`` is none of them."""
    shares: Mapping[str, float] = field(default_factory=dict)
    """Percentages; those of 0 are left out."""
    default: str = MAIN
    former: str = ""
    """What was the default before, for ``velox model rollback``."""
    shadow: str = ""

    @property
    def askable(self) -> tuple[str, ...]:
        """Names that a request may ask for; none where there is only one version, whatever its name."""
        return tuple(name for name in (MAIN, *self.paths) if name != self.shadow) if self.paths else ()

    def changes(self) -> dict[str, tuple[str, ...] | str]:
        """Answer the consumer's settings that this decides, by field; none where there are no versions."""
        if not self.paths:
            return {}
        return {
            "model_versions": tuple(f"{name}={path}" for name, path in self.paths.items()),
            "model_shares": tuple(f"{name}={share:g}" for name, share in self.shares.items()),
            "default_version": self.default,
            "model_shadow": self.shadow,
        }

    def environment(self) -> dict[str, str]:
        """Write the same as variables."""
        return {
            name.upper(): value if isinstance(value, str) else json.dumps(value)
            for name, value in self.changes().items()
        }


def read_versions(table: Mapping[str, Any], where: str) -> Versions:
    """Read an entry's table, of which the other keys are not looked at.

    Raises:
        SettingsError: it says something that it may not.
    """
    paths: dict[str, str] = {}
    shares: dict[str, float] = {}
    listed = table.get("versions", {})
    for name, said in listed.items() if isinstance(listed, dict) else [("versions", listed)]:
        path, share = _version(name, said, where)
        if path:
            paths[name] = path
        if share:
            shares[name] = share
    versions = Versions(
        paths, shares, *(table.get(key) or rest for key, rest in zip(VERSION_KEYS, (MAIN, "", ""), strict=True))
    )
    told = {name.lower(): value for name, value in versions.environment().items()}
    try:
        VersionSettings(**told)  # type: ignore[arg-type]  # texts, as they stand in files
    except ValidationError as error:
        msg = f"{where}: {'; '.join(problem['msg'].removeprefix('Value error, ') for problem in error.errors())}"
        raise SettingsError(msg) from None
    if not paths and any(versions.default != MAIN or each for each in (versions.former, versions.shadow, shares)):
        msg = f'{where}: there are no versions; write [NAME.versions] and v2 = {{path = "…"}} in it'
        raise SettingsError(msg)
    return versions


def _version(name: str, said: object, where: str) -> tuple[str, float]:
    given: Mapping[str, Any] = said if isinstance(said, dict) else {"": said}
    path, share = given.get("path", ""), given.get("share", 0)
    is_right = given.keys() <= {"path", "share"} and isinstance(path, str) and bool(path) != (name == MAIN)
    if not is_right or isinstance(share, bool) or not isinstance(share, int | float):
        msg = f'{where}, versions: {name} is to be {{path = "…", share = 10}}; main has no path, it is at MODEL_PATH'
        raise SettingsError(msg)
    return path, float(share)
