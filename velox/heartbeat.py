"""A file that says when a producer was last known to deliver: for health checks, without a port."""

from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Final, Protocol

from velox.errors import SettingsError

_EVERY_S: Final = 1.0


class Deliveries(Protocol):
    """What is known of the records on their way."""

    @property
    def delivered(self) -> int:
        """Count the records that the broker has acknowledged."""

    @property
    def failed(self) -> int:
        """Count those it has refused."""

    @property
    def waiting(self) -> int:
        """Count the records without an answer yet."""


class Heartbeat:
    """Touches the file while the broker acknowledges what it is given, or while there is nothing to give.

    Records that wait without an answer, records that fail, and a source that hangs let the file grow old.
    """

    def __init__(self, path: Path | None = None, *, clock: Callable[[], float] = monotonic) -> None:
        """Remove what an earlier producer has left; without a path nothing is ever written.

        Raises:
            SettingsError: the path cannot be written.
        """
        self._path = path
        self._clock = clock
        self._next = clock()
        self._delivered = 0
        self._failed = 0
        if path:
            try:
                path.touch()
                path.unlink()
            except OSError as error:
                msg = f"--heartbeat {path}: {error.strerror}; name a file in a folder that can be written"
                raise SettingsError(msg) from error

    def beat(self, deliveries: Deliveries) -> None:
        """Touch the file if things go well; cheap when it is not time to."""
        if self._path is None or self._clock() < self._next:
            return
        self._next = self._clock() + _EVERY_S
        if deliveries.delivered > self._delivered:
            self._delivered, self._failed = deliveries.delivered, deliveries.failed
        elif deliveries.waiting or deliveries.failed > self._failed:
            return
        self._path.touch()
