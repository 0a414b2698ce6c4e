"""All cameras at once: their small pictures as they come, and how each is."""

import asyncio
import json
import logging
import struct
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from time import monotonic
from typing import Any, Final, Protocol

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from velox.cameras import changing
from velox.core.cameras import THUMBS_TOPIC, is_camera_id
from velox.core.text import readable
from velox.dashboard.bodies import read_object
from velox.dashboard.queries import Results
from velox.errors import SettingsError, VeloxError
from velox.kafka.following import Follower
from velox.settings.readers import ReadingSettings
from velox.tools.cameras.figures import Row, rows
from velox.tools.top.history import History
from velox.tools.up.scraping import Scraper

log = logging.getLogger(__name__)

MOST_CAMERAS: Final = 150
"""Those that are worst come first; the others are counted."""
_TICK_S: Final = 0.5
_LOOK_S: Final = 1.0
_IDLE_S: Final = 15.0
"""Nobody looks any more: pictures are read no longer, until somebody does."""
_RETRY_S: Final = 3.0
_LABELLED: Final = 400
"""Results that are looked through for each camera's newest label; what the metrics say was seen most is older."""
_MOST_THUMB_BYTES: Final = 256 * 1024
_HEAD: Final = struct.Struct(">I")
ACTIONS: Final = ("pause", "resume", "remove")


@dataclass(frozen=True, slots=True)
class Thumb:
    """A camera's newest small picture."""

    number: int
    """Of all pictures that came: what is newer has a larger one."""
    jpeg: bytes


class Reading(Protocol):
    """A topic that is read as it is written."""

    def new(self, timeout_s: float) -> Any:  # noqa: ANN401 - messages of the driver
        """Yield what has come."""

    def close(self) -> None:
        """Let go."""


class Wall:
    """Cameras, looked at by a thread of its own while somebody wants to see them."""

    def __init__(
        self,
        follow: Callable[[], Reading],
        cameras: Sequence[Scraper],
        consumers: Sequence[Scraper],
        *,
        results: Results | None = None,
    ) -> None:
        """Look at nothing yet."""
        self._results = results
        self._labels: dict[str, str] = {}
        self._follow = follow
        self._cameras = {scraper: History() for scraper in cameras}
        self._consumers = {scraper: History() for scraper in consumers}
        self._thumbs: dict[str, Thumb] = {}
        self._rows: Sequence[Row] = ()
        self._number = 0
        self._problem = ""
        self._lock = threading.Lock()
        self._wanted_until = 0.0
        self._thread: threading.Thread | None = None

    def want(self) -> None:
        """Have it look for a while, beginning now."""
        with self._lock:
            self._wanted_until = monotonic() + _IDLE_S
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="wall", daemon=True)
                self._thread.start()

    def message(self, after: int, shown: Sequence[str] | None) -> bytes:
        """Write one tick: the length of its JSON (4 bytes, big-endian), the JSON, and the pictures one after the other.

        Only pictures newer than ``after`` are in it, of the cameras that the browser shows; None = of all.
        """
        found, thumbs = list(self._rows), dict(self._thumbs)
        known = {row.camera for row in found}
        cameras, pictures = [], []
        for row in found[:MOST_CAMERAS]:
            thumb = thumbs.get(row.camera)
            is_new = thumb is not None and thumb.number > after and (shown is None or row.camera in shown)
            jpeg = thumb.jpeg if thumb is not None and is_new else b""
            label = self._labels.get(row.camera, row.label)
            cameras.append({**_shown(row), "label": label, "bytes": len(jpeg)})
            pictures.append(jpeg)
        head = {
            "number": max((thumb.number for thumb in thumbs.values()), default=0),
            "cameras": cameras,
            "others": max(0, len(found) - MOST_CAMERAS),
            "problem": self._problem if self._problem or known else "",
        }
        text = json.dumps(head).encode()
        return b"".join((_HEAD.pack(len(text)), text, *pictures))

    def look(self) -> None:
        """Ask those that read cameras, and consumers, how they are."""
        for scraper, history in (*self._cameras.items(), *self._consumers.items()):
            history.saw(scraper.samples())
        self._rows = rows(list(self._cameras.values()), list(self._consumers.values()))
        try:
            newest = self._results.newest(_LABELLED) if self._results else ()
        except VeloxError as error:
            log.debug("No newest labels: %s", error)
            return
        self._labels |= {row.camera: row.label for row in reversed(newest) if row.camera}

    def came(self, identity: str, jpeg: bytes) -> None:
        """Take a picture."""
        if is_camera_id(identity) and len(jpeg) <= _MOST_THUMB_BYTES:
            self._number += 1
            self._thumbs[identity] = Thumb(self._number, jpeg)

    def _run(self) -> None:
        while self._is_wanted():
            try:
                self._read()
            except VeloxError as error:
                self._problem = f"no pictures: {error}"
                self.look()
                threading.Event().wait(_RETRY_S)

    def _read(self) -> None:
        topic = self._follow()
        due = 0.0
        try:
            self._problem = ""
            while self._is_wanted():
                for message in topic.new(_TICK_S):
                    self.came((message.key() or b"").decode(errors="replace"), message.value() or b"")
                if monotonic() >= due:
                    due = monotonic() + _LOOK_S
                    self.look()
        finally:
            topic.close()

    def _is_wanted(self) -> bool:
        with self._lock:
            if monotonic() < self._wanted_until:
                return True
            self._thread = None
            return False


class Cameras(Protocol):
    """What is done about cameras. All calls block."""

    def change(self, action: str, said: Mapping[str, object]) -> None:
        """Add, remove, pause or resume one."""

    def frame(self, identity: str) -> bytes | None:
        """Answer a camera's newest frame; None where there is none."""


class CamerasOnTopic:
    """Cameras changed as ``velox cameras`` does, and their frames."""

    def __init__(self, settings: ReadingSettings, newest: Callable[[str], bytes | None]) -> None:
        """Keep the settings; ``newest`` reads a topic's last payload."""
        self._settings = settings
        self._newest = newest

    def change(self, action: str, said: Mapping[str, object]) -> None:
        """Add, remove, pause or resume one.

        Raises:
            VeloxError: the camera makes no sense, there is none, or Kafka does not take the change.
        """
        if action == "add":
            changing.add(self._settings, {name: said[name] for name in ("id", "url") if name in said})
        else:
            changing.change(self._settings, action, [str(said.get("id", ""))])

    def frame(self, identity: str) -> bytes | None:
        """Answer a camera's newest frame.

        Raises:
            VeloxError: Kafka or the bucket does not answer.
        """
        return self._newest(identity)


def _shown(row: Row) -> dict[str, Any]:
    return {
        "id": row.camera,
        "state": row.state.value,
        "age": row.age_s,
        "in": row.decoded_per_s,
        "published": row.published_per_s,
        "predicted": row.predicted_per_s,
        "dropped": dict(row.dropped_per_s),
    }


def follow(settings: ReadingSettings) -> Callable[[], Reading]:
    """Make what reads the small pictures as they come."""
    return lambda: Follower(settings, THUMBS_TOPIC, only_new=True)


async def _tick(request: Request) -> Response:
    """Answer the next tick; the browser asks for it when it has drawn the last one, and so sets its own pace."""
    wall: Wall = request.app.state.parts.wall
    wall.want()
    asked = request.query_params
    after = int(asked["after"]) if asked.get("after", "").isdecimal() else 0
    shown = asked["shown"].split(",") if "shown" in asked else None
    if after:
        await asyncio.sleep(_TICK_S)
    return Response(
        wall.message(after, shown), media_type="application/octet-stream", headers={"Cache-Control": "no-store"}
    )


async def _frame(request: Request) -> Response:
    identity = _checked(request)
    cameras: Cameras = request.app.state.parts.cameras
    jpeg = await asyncio.to_thread(cameras.frame, identity)
    if jpeg is None:
        return JSONResponse({"detail": f"{identity} has no frame now"}, status_code=HTTPStatus.NOT_FOUND)
    return Response(jpeg, media_type="image/jpeg", headers={"Cache-Control": "no-store"})


async def _change(request: Request) -> Response:
    action = request.path_params["action"]
    if action not in {"add", *ACTIONS}:
        raise SettingsError(f"{readable(action)} is nothing that is done with cameras: add, {', '.join(ACTIONS)}")
    said = await read_object(request)
    cameras: Cameras = request.app.state.parts.cameras
    await asyncio.to_thread(cameras.change, action, said)
    return JSONResponse({"done": action})


def _checked(request: Request) -> str:
    identity: str = request.path_params["id"]
    if not is_camera_id(identity):
        raise SettingsError(f"{readable(identity)} is no camera's id")
    return identity


ROUTES: Final = (
    Route("/api/wall", _tick),
    Route("/api/cameras/{id}/frame", _frame),
    Route("/api/cameras/{action}", _change, methods=["POST"]),
)
