"""Versions of one model on one stream: who answers how much, and who only looks on."""

import re
from pathlib import Path
from typing import ClassVar, Final, Self

from pydantic import Field, model_validator

from velox.core.shares import split
from velox.settings.group import Group
from velox.settings.literals import Names

MAIN: Final = "main"
"""The version whose weights are at MODEL_PATH."""
VERSION: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")


class VersionSettings(Group):
    """Further versions of MODEL, beside the one at MODEL_PATH."""

    title: ClassVar = "Versions"

    model_versions: Names = Field(
        (),
        description="Versions of MODEL beside the one at MODEL_PATH, which is called `main`: `v2=model/v2.pth,…`. Each "
        "has INFERENCE_PROCESSES of its own.",
    )
    model_shares: Names = Field(
        (),
        description="Percentage of the keys that a version answers: `v2=10`; DEFAULT_VERSION answers the others. The "
        "header `velox-model-version` of a record asks for one by name.",
    )
    default_version: str = Field(MAIN, description="The version that answers what no share gives to another.")
    model_shadow: str = Field(
        "",
        description="A version that is given the same records when it has room, and whose answers are only compared.",
    )

    @property
    def versions(self) -> dict[str, Path]:
        """Where the weights of each further version are, by its name."""
        return {name: Path(path) for name, path in map(_pair, self.model_versions)}

    @property
    def has_versions(self) -> bool:
        """Say whether there is more than the one at MODEL_PATH."""
        return bool(self.model_versions)

    @property
    def askable(self) -> tuple[str, ...]:
        """Name the versions that a record may ask for; none where there is only one, whatever its name."""
        return tuple(name for name in (MAIN, *self.versions) if name != self.model_shadow) if self.has_versions else ()

    @property
    def shares(self) -> dict[str, float]:
        """The percentage of each version that answers; the shadow is none of them."""
        given = {name: float(share) for name, share in map(_pair, self.model_shares)}
        answering = {MAIN: 0.0, **dict.fromkeys(self.versions, 0.0), **given}
        answering.pop(self.model_shadow, None)
        return split(answering, self.default_version)

    @model_validator(mode="after")
    def _versions_fit_together(self) -> Self:
        versions = _pairs("MODEL_VERSIONS", self.model_versions, "v2=model/v2.pth")
        for name in versions:
            if name == MAIN or not VERSION.fullmatch(name):
                msg = f"MODEL_VERSIONS: {name} is no name for a version: letters, digits, _ and -, 32 at most, not main"
                raise ValueError(msg)
        known = (MAIN, *versions)
        shares = _pairs("MODEL_SHARES", self.model_shares, "v2=10")
        named = [*(("MODEL_SHARES", name) for name in shares), ("DEFAULT_VERSION", self.default_version)]
        for setting, name in [*named, *([("MODEL_SHADOW", self.model_shadow)] if self.model_shadow else [])]:
            if name not in known:
                msg = f"{setting}: there is no version {name}; there are {', '.join(known)} (see MODEL_VERSIONS)"
                raise ValueError(msg)
        if self.model_shadow and (self.model_shadow == self.default_version or self.model_shadow in shares):
            msg = f"MODEL_SHADOW={self.model_shadow}: a shadow answers nothing; take another, or take its share away"
            raise ValueError(msg)
        if self.default_version in shares:
            msg = f"MODEL_SHARES: {self.default_version} is the DEFAULT_VERSION, and answers what is left; leave it out"
            raise ValueError(msg)
        try:
            split({name: float(share) for name, share in shares.items()}, self.default_version)
        except ValueError as error:
            msg = f"MODEL_SHARES={','.join(self.model_shares)}: {error}"
            raise ValueError(msg) from None
        return self


def _pair(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return name.strip(), value.strip()


def _pairs(setting: str, texts: tuple[str, ...], example: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in texts:
        name, value = _pair(text)
        if not name or not value or name in found:
            msg = f"{setting}: {text!r} is no name with its value, each name once; write {example}"
            raise ValueError(msg)
        found[name] = value
    return found
