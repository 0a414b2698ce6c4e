"""One camera at work: a thread that reads it, and reads it again when it was away."""

import logging
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from velox.cameras.health import Health
from velox.cameras.picture import Picture, View
from velox.cameras.slot import Frame, Slot
from velox.core.cameras import Camera, Cause, State
from velox.core.retries import backoff_s
from velox.errors import SourceError

log = logging.getLogger(__name__)

_FIRST_WAIT_S: Final = 1.0
_LONGEST_WAIT_S: Final = 30.0
_NICE: Final = 10
Open = Callable[[Camera], View]


class Feed:
    """Reads a camera into a slot, never held up by whoever empties it. What ends, hangs or refuses is tried again."""

    def __init__(
        self, camera: Camera, slot: Slot, open_view: Open, came: Callable[["Feed", Cause | None], None]
    ) -> None:
        """Plan it; ``came`` is called by its thread for every frame decoded, with why one was dropped for it, if so."""
        self.camera = camera
        self.slot = slot
        self.problem = ""
        """Why it is offline; empty while it is not."""
        self.undecodable = 0
        self.started_at = time.time()
        self._open = open_view
        self._came = came
        self._health = Health()
        self._connection = State.CONNECTING
        self._sequence = 0
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name=camera.id, daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    @property
    def state(self) -> State:
        """Say how the camera is."""
        return self._health.state if self._connection is State.LIVE else self._connection

    def end(self) -> None:
        """Ask the thread to end; ``join`` waits for it."""
        self._ending.set()

    def join(self, timeout_s: float) -> bool:
        """Wait for the thread; False when it hangs in a driver, from which it comes back after seconds."""
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        # Readers are many, and decode all there is: what they have read is to be published before they read more.
        with suppress(OSError, AttributeError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
        waits = backoff_s(first_s=_FIRST_WAIT_S, cap_s=_LONGEST_WAIT_S)
        while not self._ending.is_set():
            had = self._sequence
            try:
                self._read()
            except SourceError as error:
                if not self.problem or self._sequence > had:
                    log.warning("%s is offline: %s; trying again", self.camera.id, error)
                self.problem, self._connection = str(error), State.OFFLINE
            except Exception as error:  # a driver may raise anything; the other cameras go on
                log.exception("%s failed", self.camera.id)
                self.problem, self._connection = repr(error), State.OFFLINE
            if self._sequence > had:
                waits = backoff_s(first_s=_FIRST_WAIT_S, cap_s=_LONGEST_WAIT_S)
            self._ending.wait(next(waits))

    def _read(self) -> None:
        view = self._open(self.camera)
        garbage = self.undecodable
        for picture in view.pictures(self._ending.wait):
            self.undecodable = garbage + view.undecodable
            if self._connection is not State.LIVE:
                self._greet()
            self._take(picture)

    def _greet(self) -> None:
        if self.problem:
            log.info("%s is back", self.camera.id)
        self.problem, self._connection = "", State.LIVE
        self._health.began_anew()

    def _take(self, picture: Picture) -> None:
        self._health.saw(picture.pixels, picture.media_s)
        frame = Frame(self._sequence, time.time(), picture.pixels, picture.label)
        self._sequence += 1
        self._came(self, self.slot.offer(frame))
