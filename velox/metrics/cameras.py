"""What a process that reads cameras measures."""

from contextlib import suppress

from velox.core.cameras import State
from velox.metrics.metric import Metrics, counter, gauge


class CameraMetrics(Metrics):
    """The catalogue of a process of cameras. ``camera`` is bounded by cameras.yaml."""

    frames = counter(
        "velox_camera_frames_total",
        "Frames by camera and outcome: decoded, and of these published, or dropped for a cause: superseded (a newer "
        "one came first), not_sampled, queue_full, bucket_unavailable, broker_unavailable; undecodable ones beside.",
        "superseded: the machine is full, give it fewer cameras or a lower rate. queue_full: as that, and frames are "
        "lost which policy `all` was to keep. undecodable: look at the camera's network.",
        labels=("camera", "outcome"),
    )
    state = gauge(
        "velox_camera_state",
        "1 for the state that a camera is in: connecting, live, late, frozen, black, offline, paused, ended; else 0.",
        "offline: is it there, are its address and password right? frozen or black: look at the camera itself.",
        labels=("camera", "state"),
    )
    age = gauge(
        "velox_camera_age_seconds",
        "Seconds since the newest frame of a camera was published.",
        "Growing: see velox_camera_state.",
        labels=("camera",),
    )
    waiting = gauge(
        "velox_camera_waiting_frames",
        "Frames that wait to be encoded, or for Kafka's answer.",
        "Growing: the processor is full, or the bucket or Kafka is slow.",
    )
    stored = gauge(
        "velox_frames_stored_bytes",
        "Bytes of frames in the bucket that this process has written and not deleted yet.",
        "At FRAME_MAX_BYTES: frames go sooner than FRAME_MAX_AGE_S says; consumers that are behind find them gone.",
    )
    bucket_up = gauge(
        "velox_frames_bucket_up",
        "1 when frames can be written to the bucket, else 0.",
        "0: see the log; no frame is published meanwhile, each is counted.",
    )
    ready = gauge("velox_cameras_ready", "1 when frames can be published, else 0.", "0: /readyz names the cause.")

    def show(self, camera: str, state: State, age_s: float) -> None:
        """Set how a camera is, and how old its newest frame."""
        for each in State:
            self.state.labels(camera, each.value).set(each is state)
        self.age.labels(camera).set(age_s)

    def forget(self, camera: str) -> None:
        """Take the gauges of a camera away that is no more."""
        with suppress(KeyError):  # it was never shown
            for each in State:
                self.state.remove(camera, each.value)
            self.age.remove(camera)
