"""Cameras are added, removed, paused and resumed while they run: changes on a topic, over what cameras.yaml says.

The topic is compacted, a record a camera, its id the key: ``{"action": "add", "camera": {...}}`` as in cameras.yaml, or
``{"action": "remove"}``, ``{"action": "pause"}``, ``{"action": "resume"}``. The last record of a camera counts, also
after a restart: who changes cameras.yaml later, and means that to count, writes a change as well.
"""

import json
import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from velox.cameras import config
from velox.core.cameras import CONTROL_TOPIC, Camera
from velox.core.deadline import Deadline
from velox.core.text import readable
from velox.errors import SettingsError
from velox.kafka.following import Follower
from velox.kafka.publisher import Publisher
from velox.settings import ClientSettings

log = logging.getLogger(__name__)

_SLICE_S: Final = 0.2
ACTIONS: Final = ("add", "remove", "pause", "resume")


def change(action: str, camera: Camera | None = None) -> bytes:
    """Write a change."""
    return json.dumps({"action": action} | ({"camera": config.written(camera)} if camera else {})).encode()


class Control:
    """The changes, read as they come; what nobody can have meant is logged and left out. Used by one thread.

    Only those of cameras whose topic KAFKA_TOPIC takes: several pipelines may have cameras on one Kafka.
    """

    def __init__(self, settings: ClientSettings) -> None:
        """Read from the beginning.

        Raises:
            BrokerUnavailableError: the topic cannot be read.
        """
        self._follower = Follower(settings, CONTROL_TOPIC)
        self._is_ours = settings.subscription.takes
        self._changes: dict[str, Mapping[str, Any]] = {}

    def has_news(self, timeout_s: float = 0.0) -> bool:
        """Read what has come; say whether that was anything."""
        news = False
        for message in self._follower.new(timeout_s):
            identity = (message.key() or b"").decode(errors="replace")
            if not self._is_ours(identity):  # of another pipeline on the same Kafka
                continue
            if (said := _read(identity, message.value())) is not None:
                self._changes[identity] = said
                news = True
        return news

    def over(self, cameras: Mapping[str, Camera]) -> dict[str, Camera]:
        """Answer the cameras as they are to be, given those of the file."""
        wanted = dict(cameras)
        for identity, said in self._changes.items():
            action = said["action"]
            if "camera" in said:
                wanted[identity] = config.camera(said["camera"])
            if action == "remove":
                wanted.pop(identity, None)
            elif identity in wanted and action != "add":
                wanted[identity] = replace(wanted[identity], is_paused=action == "pause")
        return wanted

    def catch_up(self, within_s: float) -> None:
        """Read all changes of before, as far as they come in this time."""
        deadline = Deadline(within_s)
        while not self._follower.is_at_end and not deadline.has_passed():
            self.has_news(min(_SLICE_S, deadline.left_s()))

    def close(self) -> None:
        """Let go."""
        self._follower.close()


def publish(publisher: Publisher, identity: str, action: str, camera: Camera | None) -> None:
    """Hand a change to the publisher; it is made when the broker has it.

    A camera that only the topic knows stays whole when it is paused: the change carries it along.
    """
    publisher.publish(change(action, camera), key=identity.encode(), headers=(), topic=CONTROL_TOPIC)


def _read(identity: str, value: bytes | None) -> Mapping[str, Any] | None:
    try:
        return _checked(identity, json.loads(value or b"null"))
    except (ValueError, RecursionError, SettingsError) as error:
        log.warning("A change of camera %s on %s is left out: %s", readable(identity, most=80), CONTROL_TOPIC, error)
        return None


def _checked(identity: str, said: Any) -> Mapping[str, Any]:  # noqa: ANN401 - whatever JSON may be
    if not isinstance(said, dict) or said.get("action") not in ACTIONS:
        msg = f"no action in it; there are {', '.join(ACTIONS)}"
        raise SettingsError(msg)
    if "camera" in said and (not isinstance(said["camera"], dict) or config.camera(said["camera"]).id != identity):
        msg = "the camera in it has another id than the record's key"
        raise SettingsError(msg)
    return said
