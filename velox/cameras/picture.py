"""What a feed gets from a camera, whatever it is."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from velox.cameras.pixels import Pixels

Wait = Callable[[float], bool]
"""Waits so many seconds; True when it is time to end instead."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A frame as it comes."""

    pixels: Pixels
    media_s: float | None = None
    """Its time by the camera's own clock, in seconds from anywhere; None where it has none."""
    label: tuple[str, str] | None = None
    """Colour and shape of what is drawn, where that is known."""


class View(Protocol):
    """Opens a camera."""

    undecodable: int
    """Frames since it was opened that were garbage, and skipped."""

    def pictures(self, wait: Wait) -> Iterator[Picture]:
        """Yield what the camera shows, at its pace, until it ends or ``wait`` says so. Blocks for seconds at most.

        Raises:
            SourceError: the camera cannot be reached, or has gone.
        """
