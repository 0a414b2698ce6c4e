"""Whether what a camera sends is worth looking at."""

from collections.abc import Callable
from time import monotonic
from typing import Final

from velox.cameras.pixels import Pixels
from velox.core.cameras import State

_FROZEN_S: Final = 5.0
_LATE_S: Final = 2.0
_DARK: Final = 8.0
_FLAT: Final = 4.0
_LIGHT_EVERY_S: Final = 1.0


class Health:
    """Judges a camera by its frames and their times. Pure but for the injected clock; one thread uses it."""

    def __init__(self, *, clock: Callable[[], float] = monotonic) -> None:
        """Know nothing."""
        self._clock = clock
        self._fingerprint: int | None = None
        self._changed_at = clock()
        self._is_black = False
        self._light_at = float("-inf")
        self._least_offset: float | None = None
        self._late_s = 0.0

    def saw(self, pixels: Pixels, media_s: float | None) -> None:
        """Look at a frame; ``media_s`` is its time by the camera's own clock."""
        now = self._clock()
        fingerprint = pixels.fingerprint()
        if fingerprint != self._fingerprint:
            self._fingerprint, self._changed_at = fingerprint, now
        if now - self._light_at >= _LIGHT_EVERY_S:
            self._light_at = now
            mean, deviation = pixels.light()
            self._is_black = mean < _DARK and deviation < _FLAT
        if media_s is not None:
            offset = now - media_s
            if self._least_offset is None or offset < self._least_offset:
                self._least_offset = offset
            self._late_s = offset - self._least_offset

    def began_anew(self) -> None:
        """Forget the camera's clock: after a new connection it counts from elsewhere."""
        self._least_offset, self._late_s = None, 0.0
        self._changed_at = self._clock()

    @property
    def state(self) -> State:
        """Judge by what was seen: black, frozen, late, or live."""
        if self._is_black:
            return State.BLACK
        if self._fingerprint is not None and self._clock() - self._changed_at > _FROZEN_S:
            return State.FROZEN
        return State.LATE if self._late_s > _LATE_S else State.LIVE
