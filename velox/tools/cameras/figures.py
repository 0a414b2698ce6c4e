"""How each camera is, from what the processes that read cameras count, and consumers."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from velox.core.cameras import Cause, State
from velox.metrics.cameras import CameraMetrics
from velox.metrics.consumer import ConsumerMetrics
from velox.tools.top.history import History

_WORST_FIRST: Final = (
    *(State.OFFLINE, State.CONNECTING, State.BLACK, State.FROZEN, State.LATE),
    *(State.LIVE, State.PAUSED, State.ENDED),
)
_CAUSES: Final = tuple(cause.value for cause in Cause)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One camera, over the last seconds."""

    camera: str
    state: State
    decoded_per_s: float = 0.0
    published_per_s: float = 0.0
    predicted_per_s: float = 0.0
    dropped_per_s: Mapping[str, float]
    """By cause: before Kafka as the camera's process says, behind it as consumers do."""
    age_s: float | None = None
    """Of the newest frame published; None where nobody says."""
    label: str = ""
    """What was seen most, of late."""


def rows(cameras: Sequence[History], consumers: Sequence[History]) -> list[Row]:
    """Put together what is known of each camera: the worst first, then by name, camera_2 before camera_10."""
    states: dict[str, State] = {}
    ages: dict[str, float] = {}
    frames: defaultdict[tuple[str, str], float] = defaultdict(float)
    for history in cameras:
        states |= _states(history)
        ages |= history.now_by(CameraMetrics.age.name, "camera")
        _add(frames, history, CameraMetrics.frames.name, "camera", "outcome")
    done: defaultdict[tuple[str, str], float] = defaultdict(float)
    dropped: defaultdict[tuple[str, str], float] = defaultdict(float)
    labels: defaultdict[tuple[str, str], float] = defaultdict(float)
    for history in consumers:
        _add(done, history, ConsumerMetrics.records.name, "topic", "outcome")
        _add(dropped, history, ConsumerMetrics.dropped.name, "topic", "cause")
        _add(labels, history, ConsumerMetrics.detections.name, "topic", "label")
    found = []
    for camera, state in states.items():
        causes = {cause: frames[camera, cause] for cause in _CAUSES if frames.get((camera, cause))}
        causes |= {cause: rate for (topic, cause), rate in dropped.items() if topic == camera and rate > 0}
        seen = {label: rate for (topic, label), rate in labels.items() if topic == camera and rate > 0}
        found.append(
            Row(
                camera=camera,
                state=state,
                decoded_per_s=frames.get((camera, "decoded"), 0.0),
                published_per_s=frames.get((camera, "published"), 0.0),
                predicted_per_s=done.get((camera, "predicted"), 0.0),
                dropped_per_s=causes,
                age_s=ages.get(camera),
                label=max(seen, key=lambda label: seen[label], default=""),
            )
        )
    return sorted(found, key=lambda row: (_WORST_FIRST.index(row.state), len(row.camera), row.camera))


def _states(history: History) -> dict[str, State]:
    return {
        camera: State(state)
        for (camera, state), is_so in history.latest(CameraMetrics.state.name, "camera", "state").items()
        if is_so
    }


def _add(sums: defaultdict[tuple[str, str], float], history: History, name: str, first: str, second: str) -> None:
    if not history.seconds:
        return
    for labels, grown in history.growths(name, first, second).items():
        sums[labels[0], labels[1]] += grown / history.seconds
