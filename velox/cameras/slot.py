"""Where a camera's frames wait for the encoder."""

import threading
from collections import deque
from dataclasses import dataclass

from velox.cameras.pixels import Pixels
from velox.core.cameras import Cause, Policy


@dataclass(frozen=True, slots=True)
class Frame:
    """A decoded frame."""

    sequence: int
    """Counts this camera's frames since it was started."""
    taken_at: float
    """Unix seconds at which it was decoded, which is as near as we get to when it was taken."""
    pixels: Pixels
    label: tuple[str, str] | None = None
    """Colour and shape, where they are known."""


class Slot:
    """Keeps the newest frame, or with policy ``all`` the last ``most``. Never blocks; any thread may use it."""

    def __init__(self, policy: Policy, most: int) -> None:
        """Begin empty."""
        self._policy = policy
        self._most = most if policy.keeps_all else 1
        self._frames: deque[Frame] = deque()
        self._next_at = 0.0
        self._lock = threading.Lock()

    def offer(self, frame: Frame) -> Cause | None:
        """Take a frame in; answer why one was dropped for it, or it for others."""
        with self._lock:
            if self._policy.most_per_s:
                if frame.taken_at < self._next_at:
                    return Cause.NOT_SAMPLED
                every_s = 1 / self._policy.most_per_s
                # On a grid, so that the mean is exact; anew where the camera was away.
                on_grid = self._next_at + every_s
                self._next_at = on_grid if on_grid > frame.taken_at else frame.taken_at + every_s
            self._frames.append(frame)
            if len(self._frames) <= self._most:
                return None
            self._frames.popleft()
            return Cause.QUEUE_FULL if self._policy.keeps_all else Cause.SUPERSEDED

    def take(self) -> Frame | None:
        """Give the frame that has waited longest; None when none does."""
        with self._lock:
            return self._frames.popleft() if self._frames else None

    def __len__(self) -> int:
        """Count the frames that wait."""
        return len(self._frames)
