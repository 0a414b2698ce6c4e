"""Cameras read by one process, or by several that this one watches over."""

import logging
import os
import sys
import time
from collections.abc import Callable
from contextlib import closing
from importlib import import_module
from math import ceil
from pathlib import Path
from time import monotonic
from typing import Final, NamedTuple, cast

from velox import logs
from velox.buckets import bucket
from velox.buckets.bucket import Bucket
from velox.cameras import config
from velox.cameras.control import Control
from velox.cameras.group import Group
from velox.cameras.picture import View
from velox.cameras.store import FrameStore, Limits
from velox.cameras.synthetic import SyntheticView
from velox.cameras.topics import ensure_cameras, ensure_control, ensure_thumbs
from velox.children import Child
from velox.core.cameras import Camera
from velox.core.deadline import Deadline
from velox.core.envelope import Codec
from velox.core.retries import backoff_s
from velox.errors import BucketUnavailableError, SettingsError, SourceError
from velox.kafka.publisher import Publisher
from velox.metrics.cameras import CameraMetrics
from velox.probes import ProbeServer
from velox.settings import handed_on
from velox.settings.readers import ReadingSettings
from velox.signals import StopRequest

log = logging.getLogger(__name__)

_LOOK_S: Final = 0.5
"""Time between two looks for changes of cameras."""
_PATIENCE_S: Final = 10.0
"""Old changes are waited for so long before the first camera is read: one of them may have removed it."""
_TURN_S: Final = 60.0
_FEWEST: Final = 8
"""Cameras for which a process of their own is worth it."""
_TICK_S: Final = 0.2
_MOST_ENCODERS: Final = 4


class Shard(NamedTuple):
    """Which cameras are one process's: those whose number leaves ``number`` when it is divided by ``of``."""

    number: int = 0
    of: int = 1

    def has(self, camera: Camera) -> bool:
        """Say whether a camera is one of them."""
        return camera.number % self.of == self.number


def run(settings: ReadingSettings, shard: Shard | None = None) -> int:
    """Read all cameras until a signal comes; or, with a shard, those of it in this very process.

    Returns:
        0 when the broker acknowledged every record that it was given, else 1.

    Raises:
        SettingsError: cameras.yaml, or what it asks for.
        BrokerUnavailableError: no broker answered in a minute.
    """
    logs.configure(level=settings.log_level, form=settings.log_format)
    count = processes(settings)
    if not settings.bucket_url:
        msg = "BUCKET_URL: where are frames to be kept? As in file:///dev/shm/velox-frames"
        raise SettingsError(msg)
    with StopRequest() as stop:
        if shard is None and count > 1:
            return _watch_over(settings, count, stop)
        return read(settings, shard or Shard(), is_stopping=stop.is_made)


def read(settings: ReadingSettings, shard: Shard, *, is_stopping: Callable[[], bool]) -> int:
    """Read the cameras of a shard until ``is_stopping``; cameras.yaml and the control topic are followed meanwhile.

    Returns:
        0 when the broker acknowledged every record that it was given, else 1.
    """
    file = _File(settings)
    ensure_cameras(settings, [*file.cameras], is_stopping=is_stopping)
    ensure_control(settings, is_stopping=is_stopping)
    ensure_thumbs(settings, is_stopping=is_stopping)
    if is_stopping():
        return 0
    metrics = CameraMetrics()
    store = FrameStore(_bucket(settings), Limits(settings.frame_max_age_s, settings.frame_max_bytes // shard.of))
    port = settings.cameras_port + shard.number if settings.cameras_port else 0
    turned, known = _Turned(), set(file.cameras)
    with closing(ProbeServer(port, metrics.registry)) as probes, closing(Control(settings)) as control:
        group: Group | None = None
        wanted = _Wanted(file, control)
        publisher = Publisher(settings, [], refused=lambda topic: group.refused(topic) if group else None)
        group = Group(
            settings,
            store=store,
            out=publisher,
            metrics=metrics,
            open_view=_Views(settings),
            encoders=min(_MOST_ENCODERS, os.cpu_count() or 1),
        )
        probes.serve(live=turned.stuck, ready=lambda: group.unready_because)
        store.start(lambda identity: shard.has(Camera(id=identity, url="")))
        group.start()
        while not is_stopping():
            turned.now()
            if (cameras := wanted.look()) is not None:
                ensure_cameras(settings, sorted(cameras.keys() - known), is_stopping=is_stopping)
                known |= cameras.keys()
                group.want({name: camera for name, camera in cameras.items() if shard.has(camera)})
            group.step()
        group.close(Deadline(settings.drain_s))
        missing = publisher.flush(Deadline(settings.drain_s))
        store.close()
    log.info("Published %d records (%d failed, %d without an answer)", publisher.delivered, publisher.failed, missing)
    return 1 if missing else 0


class _Turned:
    """When the loop turned last."""

    def __init__(self) -> None:
        self._at = monotonic()

    def now(self) -> None:
        self._at = monotonic()

    def stuck(self) -> str | None:
        silent_s = monotonic() - self._at
        return f"the loop has not turned for {silent_s:.0f} s" if silent_s > _TURN_S else None


class _File:
    """cameras.yaml, read again when it changes; what is wrong in it then is logged, and the cameras stay."""

    def __init__(self, settings: ReadingSettings) -> None:
        self._path = settings.cameras_file
        self._stamp = self._stamp_now()
        self.cameras = config.load(self._path)

    def look(self) -> bool:
        """Say whether there are other cameras than before."""
        stamp = self._stamp_now()
        if stamp == self._stamp:
            return False
        self._stamp = stamp
        try:
            cameras = config.load(self._path)
        except SettingsError as error:
            log.error("The cameras stay as they are: %s", error)  # noqa: TRY400 - the message says it all
            return False
        changed = cameras != self.cameras
        self.cameras = cameras
        return changed

    def _stamp_now(self) -> tuple[float, int] | None:
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_mtime, status.st_size


class _Wanted:
    """Which cameras are to be read: those of the file, and what was changed over it."""

    def __init__(self, file: _File, control: Control) -> None:
        self._file = file
        self._control = control
        self._is_first = True
        self._due = Deadline(0)

    def look(self) -> dict[str, Camera] | None:
        """Answer them when they are others than before; None when they are the same, or it is not time to look."""
        if not self._due.has_passed():
            return None
        self._due = Deadline(_LOOK_S)
        if self._is_first:
            self._control.catch_up(_PATIENCE_S)
        has_news = self._control.has_news()
        has_news |= self._file.look() or self._is_first
        self._is_first = False
        return self._control.over(self._file.cameras) if has_news else None


class _Views:
    """Opens a camera by what its address is."""

    def __init__(self, settings: ReadingSettings) -> None:
        self._settings = settings

    def __call__(self, camera: Camera) -> View:
        if camera.url.startswith("synthetic:"):
            return SyntheticView(camera, self._settings)
        try:
            stream = import_module("velox.cameras.stream")  # not everybody has its library
        except ModuleNotFoundError as error:
            msg = f"{camera.shown_url}: {error.name} is not installed; run: pip install 'velox[cameras]'"
            raise SourceError(msg) from error
        return cast("View", stream.StreamView(camera))


def _bucket(settings: ReadingSettings) -> Bucket:
    """Open the bucket, a folder being made where it is missing; wait for one that is away."""
    if settings.bucket_folder:
        Path(settings.bucket_folder).mkdir(parents=True, exist_ok=True)
    frames = bucket(settings.model_copy(update={"codec": Codec.KEY}))
    if frames is None:
        msg = f"BUCKET_URL={settings.bucket_url} is no bucket"
        raise SettingsError(msg)
    try:
        frames.open()
    except BucketUnavailableError as error:
        log.warning("Bucket %s takes no frames: %s; trying again", frames.name, error)
    return frames


def processes(settings: ReadingSettings) -> int:
    """Say how many processes read the cameras of cameras.yaml.

    Raises:
        SettingsError: it cannot be read.
    """
    cameras = len(config.load(settings.cameras_file))
    each = settings.cameras_per_process or max(_FEWEST, ceil(cameras / (os.cpu_count() or 1)))
    return max(1, ceil(cameras / each))


def _watch_over(settings: ReadingSettings, count: int, stop: StopRequest) -> int:
    """Run a process for each shard; one that ends is started again, later each time in a row."""
    children = [
        Child(f"cameras run --shard {index}/{count}", handed_on({}), sys.stdout, _ignore, prefix="")
        for index in range(count)
    ]
    waits = [backoff_s(first_s=1.0, cap_s=30.0) for _ in children]
    due: dict[int, float] = dict.fromkeys(range(count), 0.0)
    log.info("Cameras of %s in %d processes", settings.cameras_file, count)
    try:
        while not stop.is_made():
            for index, child in enumerate(children):
                if index in due and monotonic() >= due[index]:
                    del due[index]
                    child.start()
                elif index not in due and child.exit_code is not None:
                    wait_s = next(waits[index])
                    log.warning("Process %d of cameras ended with %s; again in %.1f s", index, child.exit_code, wait_s)
                    due[index] = monotonic() + wait_s
            time.sleep(_TICK_S)
        for child in children:
            child.terminate()
        deadline = Deadline(2 * settings.drain_s + 5)
        while any(child.is_started and child.exit_code is None for child in children) and not deadline.has_passed():
            if stop.is_urgent():
                break
            time.sleep(_TICK_S)
        return 0 if all(child.exit_code == 0 for child in children if child.is_started) else 1
    finally:
        for child in children:
            child.close()


def _ignore(_name: str, _warning: str) -> None:
    """What it says is shown as it is."""
