"""The cameras of one process: their frames are encoded, put into the bucket, and published, a topic a camera."""

import logging
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from time import monotonic, time
from typing import Final, Protocol

from velox.cameras import messages
from velox.cameras.feed import Feed, Open
from velox.cameras.slot import Frame, Slot
from velox.cameras.store import FrameStore
from velox.core.cameras import THUMBS_TOPIC, Camera, Cause, State
from velox.core.deadline import Deadline
from velox.errors import BadRecordError, BucketUnavailableError
from velox.kafka.publisher import Acknowledged
from velox.metrics.cameras import CameraMetrics
from velox.records import Headers, Partition, Pointer
from velox.settings.cameras import CameraSettings

log = logging.getLogger(__name__)

STATE_HEADER: Final = "velox-camera-state"
_TICK_S: Final = 1.0
_TURN_S: Final = 0.05
_AT_ONCE: Final = 500
_WAITING_EACH: Final = 20
"""Frames a camera that may wait for Kafka's answer: of a broker that is away for longer, only the newest count."""
_STEP_S: Final = 0.5


class Out(Protocol):
    """Where records go: ``velox.kafka.publisher.Publisher``."""

    @property
    def waiting(self) -> int:
        """Count the records without an answer."""

    def publish(
        self,
        value: bytes,
        *,
        key: bytes | None,
        headers: Headers,
        is_stopping: Callable[[], bool] = ...,
        acknowledged: Acknowledged | None = ...,
        topic: str | None = ...,
    ) -> bool:
        """Hand a record over."""

    def poll(self, timeout_s: float) -> None:
        """Hear what became of records."""


@dataclass(frozen=True, slots=True)
class _Encoded:
    feed: Feed
    frame: Frame
    pointer: Pointer


class Group:
    """Reads cameras on a thread each, encodes on a few threads, publishes on the caller's. No camera waits for another.

    The ledger of each camera, in the metrics: decoded = published + dropped, by cause, once nothing is on the way.
    """

    def __init__(
        self,
        settings: CameraSettings,
        *,
        store: FrameStore,
        out: Out,
        metrics: CameraMetrics,
        open_view: Open,
        encoders: int,
    ) -> None:
        """Plan it; no camera is in it yet."""
        self._settings = settings
        self._store = store
        self._out = out
        self._metrics = metrics
        self._open_view = open_view
        self._feeds: dict[str, Feed] = {}
        self._wanted: dict[str, Camera] = {}
        self._ready: SimpleQueue[Feed | None] = SimpleQueue()
        self._encoded: SimpleQueue[_Encoded] = SimpleQueue()
        self._thumbs: SimpleQueue[tuple[Feed, bytes]] = SimpleQueue()
        self._thumb_due: dict[str, float] = {}
        self._held: SimpleQueue[Feed] = SimpleQueue()
        """Cameras whose frames are all to be kept, while Kafka takes none."""
        self._published_at: dict[str, float] = {}
        self._undecodable: dict[str, int] = {}
        self._is_bucket_up = True
        self._tick = Deadline(0)
        self._encoders = [
            threading.Thread(target=self._encode, name=f"encoder-{number}", daemon=True) for number in range(encoders)
        ]

    def start(self) -> None:
        """Begin to encode."""
        for thread in self._encoders:
            thread.start()

    @property
    def states(self) -> dict[str, State]:
        """Say how each camera is."""
        paused = {identity: State.PAUSED for identity, camera in self._wanted.items() if camera.is_paused}
        return {identity: feed.state for identity, feed in self._feeds.items()} | paused

    @property
    def unready_because(self) -> str | None:
        """Say why no frame can be published; None when they can."""
        if not self._is_bucket_up:
            return f"bucket {self._store.name} takes no frames"
        return "Kafka takes no frames" if self._is_clogged() else None

    def want(self, cameras: Mapping[str, Camera]) -> None:
        """Start, end and change cameras until it is these; the others are not touched."""
        for identity in self._wanted.keys() | cameras.keys():
            before, after = self._wanted.get(identity), cameras.get(identity)
            if before == after:
                continue
            if (feed := self._feeds.pop(identity, None)) is not None:
                feed.end()
            if after is None:
                log.info("%s: removed", identity)
                self._forget(identity)
            elif after.is_paused:
                log.info("%s: paused", identity)
            else:
                log.info("%s: %s, policy %s", identity, after.shown_url, after.policy)
                slot = Slot(after.policy, self._settings.camera_queue)
                feed = self._feeds[identity] = Feed(after, slot, self._open_view, self._came)
                self._undecodable[identity] = 0
                self._published_at.setdefault(identity, time())
                feed.start()
        self._wanted = dict(cameras)

    def step(self) -> None:
        """Take one turn: publish what is encoded, hear what became of it, and look after the cameras.

        Raises:
            BrokerUnavailableError: this client of Kafka can publish nothing any more.
        """
        try:
            self._publish(self._encoded.get(timeout=_TURN_S))
            for _ in range(_AT_ONCE):
                self._publish(self._encoded.get_nowait())
        except Empty:
            pass
        self._publish_thumbs()
        self._out.poll(0)
        while not self._held.empty() and not self._is_clogged():
            self._ready.put(self._held.get())
        if self._tick.has_passed():
            self._tick = Deadline(_TICK_S)
            self._look()

    def close(self, deadline: Deadline) -> None:
        """End the cameras, then publish what is on the way. The publisher is the caller's to flush."""
        feeds, self._feeds = [*self._feeds.values()], {}
        for feed in feeds:
            feed.end()
        for feed in feeds:
            feed.join(min(_STEP_S, deadline.left_s()))
        for _ in self._encoders:
            self._ready.put(None)
        for thread in self._encoders:
            if thread.ident is not None:
                thread.join(deadline.left_s())
        while not self._encoded.empty():
            self._publish(self._encoded.get())
        for feed in feeds:
            for _ in range(len(feed.slot)):  # decoded, and never encoded
                self._drop(feed.camera.id, Cause.SUPERSEDED)

    def refused(self, topic: str) -> None:
        """Hear that a record was not taken: what the publisher is told to call."""
        if topic in self._wanted:
            self._drop(topic, Cause.BROKER_UNAVAILABLE)

    def _came(self, feed: Feed, dropped: Cause | None) -> None:
        identity = feed.camera.id
        self._metrics.frames.labels(identity, "decoded").inc()
        if dropped is None:
            self._ready.put(feed)
        else:  # a place in the queue is taken already
            self._drop(identity, dropped)

    def _drop(self, identity: str, cause: Cause) -> None:
        self._metrics.frames.labels(identity, cause.value).inc()

    def _encode(self) -> None:
        while (feed := self._ready.get()) is not None:
            if feed.camera.policy.keeps_all and self._is_clogged():
                self._held.put(feed)
                continue
            if (frame := feed.slot.take()) is not None:
                try:
                    self._encode_one(feed, frame)
                except Exception:  # one frame costs only itself
                    log.exception("A frame of %s is lost", feed.camera.id)
                    self._drop(feed.camera.id, Cause.BUCKET_UNAVAILABLE)

    def _encode_one(self, feed: Feed, frame: Frame) -> None:
        identity, now = feed.camera.id, monotonic()
        every_s = self._settings.camera_thumbs_s
        if every_s and now >= self._thumb_due.get(identity, 0.0):
            self._thumb_due[identity] = now + every_s
            self._thumbs.put((feed, frame.pixels.thumb()))
        if not self._is_bucket_up:
            self._drop(identity, Cause.BUCKET_UNAVAILABLE)
            return
        jpeg = frame.pixels.jpeg(self._settings.frame_quality)
        try:
            pointer = self._store.put(identity, frame.taken_at, jpeg)
        except (BucketUnavailableError, BadRecordError) as error:
            if self._is_bucket_up:
                self._is_bucket_up = False
                log.warning("Bucket %s takes no frames: %s; trying again", self._store.name, error)
            self._drop(identity, Cause.BUCKET_UNAVAILABLE)
            return
        self._encoded.put(_Encoded(feed, frame, pointer))

    def _is_clogged(self) -> bool:
        return self._out.waiting > _WAITING_EACH * max(1, len(self._feeds))

    def _publish(self, encoded: _Encoded) -> None:
        camera, frame, pointer = encoded.feed.camera, encoded.frame, encoded.pointer
        if self._is_clogged() and not camera.policy.keeps_all:
            self._drop(camera.id, Cause.BROKER_UNAVAILABLE)
            return
        is_path = self._settings.camera_message == "path"

        def acknowledged(_place: Partition, _offset: int) -> None:
            self._metrics.frames.labels(camera.id, "published").inc()
            self._published_at[camera.id] = max(frame.taken_at, self._published_at.get(camera.id, 0.0))

        taken = self._out.publish(
            pointer.key.encode() if is_path else messages.message(camera.id, frame, pointer),
            key=camera.id.encode(),
            headers=messages.headers(
                camera.id, frame, pointer, started_at=encoded.feed.started_at, is_path_alone=is_path
            ),
            is_stopping=lambda: True,  # the client's own queue is full: there are newer frames than those in it
            acknowledged=acknowledged,
            topic=camera.id,
        )
        if not taken:
            self._drop(camera.id, Cause.BROKER_UNAVAILABLE)

    def _publish_thumbs(self) -> None:
        while not self._thumbs.empty():
            feed, thumb = self._thumbs.get()
            if self._is_clogged():
                continue
            headers = [(STATE_HEADER, feed.state.value.encode()), ("timestamp", f"{time():.3f}".encode())]
            self._out.publish(
                thumb, key=feed.camera.id.encode(), headers=headers, is_stopping=lambda: True, topic=THUMBS_TOPIC
            )

    def _look(self) -> None:
        """Once a second: how the cameras are, and whether the bucket is back."""
        if not self._is_bucket_up:
            with suppress(BucketUnavailableError):
                self._store.open()
                self._is_bucket_up = True
                log.info("Bucket %s is back", self._store.name)
        metrics, now = self._metrics, time()
        for identity, state in self.states.items():
            metrics.show(identity, state, max(0.0, now - self._published_at.get(identity, now)))
        for identity, feed in self._feeds.items():
            metrics.frames.labels(identity, "undecodable").inc(feed.undecodable - self._undecodable[identity])
            self._undecodable[identity] = feed.undecodable
        metrics.waiting.set(self._out.waiting + self._encoded.qsize() + sum(len(f.slot) for f in self._feeds.values()))
        metrics.stored.set(self._store.stored_bytes)
        metrics.bucket_up.set(self._is_bucket_up)
        metrics.ready.set(self.unready_because is None)

    def _forget(self, identity: str) -> None:
        """Take a camera's gauges away; what was counted of it stays."""
        self._thumb_due.pop(identity, None)
        self._published_at.pop(identity, None)
        self._metrics.forget(identity)
