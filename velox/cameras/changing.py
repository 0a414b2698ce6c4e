"""What is done about cameras from outside: described, listed, added, removed, paused, resumed."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.table import Table

from velox.cameras import config
from velox.cameras.control import Control, publish
from velox.cameras.topics import ensure_cameras, ensure_control
from velox.core.cameras import CONTROL_TOPIC, Camera, masked
from velox.core.deadline import Deadline
from velox.core.subscription import expand
from velox.errors import BrokerUnavailableError, SettingsError
from velox.kafka.publisher import Publisher
from velox.settings.readers import ReadingSettings

_ACKNOWLEDGED_S = 10.0
_READ_S = 10.0


def init(
    settings: ReadingSettings, like: Mapping[str, Any], *, count: int, force: bool = False, topics: bool = False
) -> list[str]:
    """Write CAMERAS_FILE for ``count`` cameras that are alike, and make their topics if asked to; say what was done.

    Raises:
        SettingsError: the file is there already, or the cameras make no sense.
        BrokerUnavailableError: no broker answered in a minute.
    """
    if not 1 <= count <= config.MOST_CAMERAS:
        msg = f"--count {count}: from 1 to {config.MOST_CAMERAS}"
        raise SettingsError(msg)
    first = config.camera({**like, "url": str(like["url"]).replace("{n}", "1")})
    ids = f"camera_{{1..{count}}}" if count > 1 else first.id
    path = settings.cameras_file
    done = []
    if not (topics and path.exists() and not force):  # only the topics are missing
        config.save(path, [{**config.written(first), "id": ids, "url": like["url"]}], force=force)
        done.append(f"Wrote {path}: camera_1 to camera_{count}, {masked(str(like['url']))}")
    if topics:
        names = [*config.load(path)]
        ensure_cameras(settings, names)
        done.append(f"Topics {names[0]} to {names[-1]} are there")
    return done


def table(settings: ReadingSettings) -> Table:
    """Draw the cameras of CAMERAS_FILE, without passwords.

    Raises:
        SettingsError: it cannot be read.
    """
    drawn = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    for title in ("camera", "url", "fps", "size", "policy", ""):
        drawn.add_column(title, no_wrap=True)
    for camera in config.load(settings.cameras_file).values():
        size = f"{camera.width}x{camera.height}" if camera.width else "–"
        fps = f"{camera.fps:g}" if camera.fps else "–"
        drawn.add_row(camera.id, camera.shown_url, fps, size, str(camera.policy), "paused" if camera.is_paused else "")
    return drawn


def add(settings: ReadingSettings, said: Mapping[str, Any]) -> None:
    """Add a camera, or change one.

    Raises:
        SettingsError: the camera makes no sense.
        BrokerUnavailableError: Kafka did not take the change.
    """
    camera = config.camera(said)
    _publish(settings, "add", {camera.id: camera})


def change(settings: ReadingSettings, action: str, ids: Sequence[str]) -> list[str]:
    """Remove, pause or resume cameras, each by its id or by a range of them; answer which.

    Raises:
        SettingsError: there is no such camera.
        BrokerUnavailableError: Kafka did not take the change.
    """
    names: list[str] = []
    for text in ids:
        try:
            names += expand(text)
        except ValueError as error:
            msg = f"{text}: {error}"
            raise SettingsError(msg) from None
    there = _there(settings)
    if unknown := [name for name in names if name not in there]:
        msg = f"no camera {', '.join(unknown)}; `velox cameras list` shows those of {settings.cameras_file}"
        raise SettingsError(msg)
    # The whole camera goes along: of several records of one camera only the last is kept.
    kept = {name: replace(there[name], is_paused=action == "pause") for name in names}
    _publish(settings, action, kept if action != "remove" else dict.fromkeys(names))
    return names


def _there(settings: ReadingSettings) -> dict[str, Camera]:
    cameras = config.load(settings.cameras_file) if Path(settings.cameras_file).exists() else {}
    ensure_control(settings)
    with closing(Control(settings)) as control:
        control.catch_up(_READ_S)
        return control.over(cameras)


def _publish(settings: ReadingSettings, action: str, cameras: Mapping[str, Camera | None]) -> None:
    ensure_control(settings)
    publisher = Publisher(settings, [CONTROL_TOPIC])
    for identity, camera in cameras.items():
        publish(publisher, identity, action, camera)
    if publisher.flush(Deadline(_ACKNOWLEDGED_S)) or publisher.failed:
        msg = f"Kafka did not take the change within {_ACKNOWLEDGED_S:g} s; the cameras stay as they are"
        raise BrokerUnavailableError(msg)
