"""A camera, and the rules by which its frames are kept, dropped, named and judged. Pure."""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from zlib import crc32

from velox.errors import SettingsError

CAMERAS: Final = "cameras"
"""SOURCE of a pipeline whose records are cameras' frames."""
THUMBS_TOPIC: Final = "camera_thumbs"
"""Small pictures of all cameras, for those who look; a minute of them."""
CONTROL_TOPIC: Final = "cameras.control"
"""What was changed about cameras while they run; the last record of a key counts."""
_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
_SAMPLE: Final = re.compile(r"sample\((\d+(?:\.\d+)?)\)")
_SIZE: Final = re.compile(r"(\d{1,5})x(\d{1,5})")
_SECRET: Final = re.compile(r"(?<=://)[^/@\s]*@")
_NUMBER: Final = re.compile(r"(\d{1,9})$")
_TAKEN: Final = re.compile(r"frame_(\d{1,12}(?:\.\d{1,9})?)\.[A-Za-z0-9]{1,8}$")


class Cause(StrEnum):
    """Why a decoded frame is not published: each is counted."""

    SUPERSEDED = "superseded"
    NOT_SAMPLED = "not_sampled"
    QUEUE_FULL = "queue_full"
    BUCKET_UNAVAILABLE = "bucket_unavailable"
    BROKER_UNAVAILABLE = "broker_unavailable"


class State(StrEnum):
    """How a camera is."""

    CONNECTING = "connecting"
    LIVE = "live"
    LATE = "late"
    FROZEN = "frozen"
    BLACK = "black"
    OFFLINE = "offline"
    PAUSED = "paused"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Policy:
    """Which frames are published; written ``latest``, ``all`` or ``sample(n)``."""

    keeps_all: bool = False
    """Each frame, as long as the queue has room; else the newest, when there is time for it."""
    most_per_s: float = 0.0
    """Frames a second, chosen by their time; 0 = no limit."""

    def __str__(self) -> str:
        """Write it as in cameras.yaml."""
        return "all" if self.keeps_all else f"sample({self.most_per_s:g})" if self.most_per_s else "latest"


def policy(text: str) -> Policy:
    """Read a policy.

    Raises:
        SettingsError: it is none.
    """
    if text in {"all", "latest"}:
        return Policy(keeps_all=text == "all")
    match = _SAMPLE.fullmatch(text)
    if match is None or not float(match[1]):
        msg = f"policy {text!r}: write latest, all, or sample(2) for two frames a second"
        raise SettingsError(msg)
    return Policy(most_per_s=float(match[1]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Camera:
    """One camera, as cameras.yaml describes it."""

    id: str
    """Also the name of its topic."""
    url: str
    """``rtsp://``, ``rtsps://``, ``http://`` or ``https://`` with user and password in it if need be, ``file:PATH``,
    ``usb:NUMBER``, or ``synthetic:``."""
    fps: float = 0.0
    """Frames a second of a file or of a synthetic camera; 0 = the file's own pace, or 5. Others set their own."""
    width: int = 0
    """Of the frames published, in pixels; 0 = as they come (a synthetic camera's: 640)."""
    height: int = 0
    policy: Policy = Policy()
    is_paused: bool = False

    @property
    def shown_url(self) -> str:
        """Write the address without user and password."""
        return masked(self.url)

    @property
    def number(self) -> int:
        """The number that the id ends with; of one without, another that never changes."""
        match = _NUMBER.search(self.id)
        return int(match[1]) if match else crc32(self.id.encode())


def masked(url: str) -> str:
    """Take user and password out of an address."""
    return _SECRET.sub("***@", url)


def is_camera_id(text: str) -> bool:
    """Say whether a text can be a camera's id: it is a topic, a folder and a part of records' ids."""
    return _ID.fullmatch(text) is not None


def check_id(identity: object) -> str:
    """Answer a camera's id, if it can be one.

    Raises:
        SettingsError: it cannot.
    """
    if not isinstance(identity, str) or not is_camera_id(identity):
        msg = f"camera id {identity!r}: 1 to 80 letters, digits, . _ -, the first a letter or digit, as in camera_1"
        raise SettingsError(msg)
    return identity


def size(text: str) -> tuple[int, int]:
    """Read ``640x360`` as width and height, both even.

    Raises:
        SettingsError: it is no size.
    """
    match = _SIZE.fullmatch(text)
    width, height = (int(match[1]), int(match[2])) if match else (0, 0)
    if not (16 <= width <= 16_384 and 16 <= height <= 16_384) or width % 2 or height % 2:  # noqa: PLR2004
        msg = f"size {text!r}: write width x height in pixels, both even and at least 16, as in 640x360"
        raise SettingsError(msg)
    return width, height


def path_of(camera_id: str, taken_at: float) -> str:
    """Name the object that a frame is kept in; ``taken_at`` in Unix seconds, kept to the microsecond."""
    return f"frames/{camera_id}/frame_{taken_at:.6f}.jpg"


def taken_at(path: str) -> float | None:
    """Read from a frame's path when it was taken, in Unix seconds; None where the path does not say."""
    match = _TAKEN.search(path)
    return float(match[1]) if match else None
