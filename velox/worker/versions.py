"""Changes which version of a model answers how much, in ``models.toml``: a running consumer follows that file."""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from velox.errors import SettingsError
from velox.settings.model_versions import Versions
from velox.settings.models import parse_models, read_models
from velox.settings.versions import MAIN
from velox.worker.editing import line_of, with_line, write

_SHARE: Final = re.compile(r"\bshare\s*=\s*[\d._]+")


def share(path: Path, model: str, shares: Mapping[str, float]) -> Versions:
    """Give versions these percentages; the default answers what is left.

    Raises:
        SettingsError: there is no such model or version, or the shares cannot be; the file is as it was then.
    """

    def changed(before: Versions) -> Versions:
        return replace(before, shares={name: each for name, each in {**before.shares, **shares}.items() if each})

    return _change(path, model, changed, named=shares)


def shadow(path: Path, model: str, version: str | None) -> Versions:
    """Let a version look on; None = no more.

    Raises:
        SettingsError: as ``share``.
    """
    return _change(
        path, model, lambda before: replace(before, shadow=version or ""), named=[version] if version else []
    )


def promote(path: Path, model: str, version: str) -> Versions:
    """Make a version the default. The one before stays loaded, without a share, so that it can come back.

    Raises:
        SettingsError: as ``share``, or it is the default already.
    """

    def changed(before: Versions) -> Versions:
        if version == before.default:
            msg = f"{path}: {version} is the version of {model} that answers already"
            raise SettingsError(msg)
        shares = {name: each for name, each in before.shares.items() if name not in {version, before.default}}
        shadows = "" if before.shadow == version else before.shadow
        return replace(before, default=version, former=before.default, shares=shares, shadow=shadows)

    return _change(path, model, changed, named=[version])


def rollback(path: Path, model: str) -> Versions:
    """Make the former default the default again.

    Raises:
        SettingsError: as ``share``, or none was promoted.
    """
    former = _versions(path, model)[1].former
    if not former:
        msg = f"{path}: no version of {model} was promoted, so there is none to go back to"
        raise SettingsError(msg)
    return promote(path, model, former)


def _versions(path: Path, model: str) -> tuple[str, Versions]:
    entries = read_models(path)
    if model not in entries:
        msg = f"{path}: no model {model}; there are {', '.join(entries) or 'none'}"
        raise SettingsError(msg)
    return entries[model].same_as or model, entries[model].versions


def _change(
    path: Path, model: str, change: Callable[[Versions], Versions], *, named: Mapping[str, float] | list[str]
) -> Versions:
    name, before = _versions(path, model)
    for version in named:
        if version not in {MAIN, *before.paths}:
            msg = f"{path}: {model} has no version {version}; there are {', '.join((MAIN, *before.paths))}. Write "
            raise SettingsError(msg + f'{version} = {{path = "…"}} into [{name}.versions]')
    wanted = change(before)
    new = path.read_text()
    for key, value, usual in (
        ("default", wanted.default, MAIN), ("former", wanted.former, ""), ("shadow", wanted.shadow, ""),
    ):  # fmt: skip
        new = with_line(new, name, key, f'{key} = "{value}"' if value != usual else None)
    for version in {*before.shares, *wanted.shares}:
        new = _with_share(new, f"{name}.versions", version, wanted.shares.get(version, 0))
    found = parse_models(new, path)[name].versions
    if found != wanted:
        msg = f"{path}: [{name}.versions] is not written one line a version; change it by hand"
        raise SettingsError(msg)
    write(path, new)
    return found


def _with_share(text: str, section: str, version: str, percentage: float) -> str:
    said = f"share = {percentage:g}"
    line = line_of(text, section, version)
    if line is None:
        line = f"{version} = {{{said}}}"
    elif _SHARE.search(line):
        line = _SHARE.sub(said, line, count=1)
    else:
        line = re.sub(r"\s*\}", f", {said}}}", line, count=1)
    return with_line(text, section, version, line)
