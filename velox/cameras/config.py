"""cameras.yaml: which cameras there are."""

import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from velox.core.cameras import Camera, check_id, masked, policy, size
from velox.core.subscription import expand
from velox.errors import SettingsError
from velox.settings.readers import ReadingSettings

_KEYS: Final = ("id", "url", "fps", "size", "policy", "paused")
_MOST_FPS: Final = 1000.0
_LAST_NUMBER: Final = re.compile(r"(\d+)\D*$")
_URL: Final = re.compile(r"(rtsps?|https?)://\S+|file:.+|usb:\S+|synthetic:")
MOST_CAMERAS: Final = 10_000


def load(path: Path) -> dict[str, Camera]:
    """Read the cameras, by id, in the file's order. ``defaults`` in it hold for those that say nothing else.

    Raises:
        SettingsError: the file is missing, or something in it is wrong; the message says where.
    """
    try:
        said = yaml.safe_load(path.read_text())
    except FileNotFoundError as error:
        msg = f"CAMERAS_FILE={path}: there is no such file; `velox cameras init --count 8` writes one"
        raise SettingsError(msg) from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        msg = f"CAMERAS_FILE={path}: cannot be read: {masked(str(error))}"
        raise SettingsError(msg) from error
    try:
        return _cameras(said)
    except SettingsError as error:
        msg = f"CAMERAS_FILE={path}: {error}"
        raise SettingsError(msg) from None


def camera_topics(settings: ReadingSettings) -> tuple[str, ...]:
    """Name the topics of the cameras in cameras.yaml.

    Raises:
        SettingsError: it cannot be read, or the pipeline would not read one of them.
    """
    names = tuple(load(settings.cameras_file))
    if other := next((name for name in names if not settings.subscription.takes(name)), None):
        msg = f"CAMERAS_FILE={settings.cameras_file}: {other} does not match KAFKA_TOPIC={settings.subscription}, and "
        raise SettingsError(f"{msg}would never be read")
    return names


def camera(said: Mapping[str, Any]) -> Camera:
    """Read one camera, as a line of the file or a change of it describes it.

    Raises:
        SettingsError: something is wrong; the message names the camera, and never its password.
    """
    identity = check_id(said.get("id"))
    try:
        return _camera(identity, said)
    except SettingsError as error:
        msg = f"{identity}: {error}"
        raise SettingsError(msg) from None


def written(one: Camera) -> dict[str, Any]:
    """Write a camera as ``camera`` reads it."""
    said: dict[str, Any] = {"id": one.id, "url": one.url}
    if one.fps:
        said["fps"] = one.fps
    if one.width:
        said["size"] = f"{one.width}x{one.height}"
    if str(one.policy) != "latest":
        said["policy"] = str(one.policy)
    return said | ({"paused": True} if one.is_paused else {})


def save(path: Path, entries: Sequence[Mapping[str, Any]], *, force: bool = False) -> None:
    """Write the file, readable by its owner alone: addresses hold passwords.

    Raises:
        SettingsError: it is there already and ``force`` is not given, or cannot be written.
    """
    text = "# The cameras, a topic each; docs/cameras.md says what each line may be.\n"
    text += yaml.safe_dump({"cameras": [dict(entry) for entry in entries]}, sort_keys=False)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if force else os.O_EXCL), 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
    except FileExistsError as error:
        msg = f"CAMERAS_FILE={path} is there already; --force writes it anew"
        raise SettingsError(msg) from error
    except OSError as error:
        msg = f"CAMERAS_FILE={path}: {error.strerror}"
        raise SettingsError(msg) from error


def _cameras(said: object) -> dict[str, Camera]:
    if not isinstance(said, dict) or not isinstance(said.get("cameras"), list):
        msg = "no list of cameras in it; write `cameras:` and below it `- {id: camera_1, url: ...}`, a line a camera"
        raise SettingsError(msg)
    if unknown := set(said) - {"cameras", "defaults"}:
        msg = f"unknown: {', '.join(sorted(map(str, unknown)))}; there are cameras and defaults"
        raise SettingsError(msg)
    defaults = said.get("defaults") or {}
    if not isinstance(defaults, dict):
        msg = "defaults are names and values, as in `defaults: {fps: 5}`"
        raise SettingsError(msg)
    found: list[Camera] = []
    for number, entry in enumerate(said["cameras"], 1):
        if not isinstance(entry, dict):
            msg = f"camera {number} of the list is not written as names and values, as in {{id: camera_1, url: ...}}"
            raise SettingsError(msg)
        found += [camera(one) for one in _each({**defaults, **entry})]
    if len(found) > MOST_CAMERAS:
        msg = f"{len(found)} cameras, and {MOST_CAMERAS} may be; use several files"
        raise SettingsError(msg)
    if doubled := next((name for name, times in Counter(one.id for one in found).items() if times > 1), None):
        msg = f"{doubled} is there twice; ids are unique"
        raise SettingsError(msg)
    return {one.id: one for one in found}


def _each(said: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Write out an entry whose id is a range, ``camera_{1..20}``; ``{n}`` in its address becomes the number."""
    identity, url = said.get("id"), said.get("url")
    if not isinstance(identity, str) or "{" not in identity:
        yield said
        return
    try:
        names = expand(identity)
    except ValueError as error:
        msg = f"camera id {identity!r}: {error}"
        raise SettingsError(msg) from None
    for name in names:
        numbered = _LAST_NUMBER.search(name)
        where = url.replace("{n}", numbered[1] if numbered else "") if isinstance(url, str) else url
        yield {**said, "id": name, "url": where}


def _camera(identity: str, said: Mapping[str, Any]) -> Camera:
    if unknown := next((name for name in said if name not in _KEYS), None):
        msg = f"unknown: {unknown}; there are {', '.join(_KEYS)}"
        raise SettingsError(msg)
    url, fps, paused = said.get("url"), said.get("fps", 0), said.get("paused", False)
    if not isinstance(url, str) or not _URL.fullmatch(url):
        shown = masked(url) if isinstance(url, str) else url
        msg = f"url {shown!r}: write rtsp://USER:PASSWORD@HOST/PATH, http://..., file:PATH, usb:0 or synthetic:"
        raise SettingsError(msg)
    if isinstance(fps, bool) or not isinstance(fps, int | float) or not 0 <= fps <= _MOST_FPS:
        msg = f"fps {fps!r}: write a number of frames a second, up to {_MOST_FPS:g}"
        raise SettingsError(msg)
    if not isinstance(paused, bool):
        msg = f"paused {paused!r}: write true or false"
        raise SettingsError(msg)
    width, height = size(str(said["size"])) if said.get("size") else (0, 0)
    rule = policy(str(said.get("policy", "latest")))
    return Camera(id=identity, url=url, fps=fps, width=width, height=height, policy=rule, is_paused=paused)
