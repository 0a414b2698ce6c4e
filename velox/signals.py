"""The request to stop, as SIGTERM and SIGINT bring it."""

import signal
from types import FrameType, TracebackType
from typing import Self


class StopRequest:
    """Counts SIGTERM and SIGINT while it is entered; main thread only.

    The handler adds to a number and does nothing else: a lock (also that of ``threading.Event``) could be held by the
    very code it interrupts.
    """

    def __init__(self) -> None:
        """Count from zero."""
        self.count = 0

    def __enter__(self) -> Self:
        """Handle the signals from now on."""
        self._previous = {number: signal.signal(number, self._handle) for number in (signal.SIGTERM, signal.SIGINT)}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Restore the former handlers."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def is_made(self) -> bool:
        """Say whether to finish what is under way and end."""
        return self.count > 0

    def is_urgent(self) -> bool:
        """Say whether a second signal came: end at once."""
        return self.count > 1

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        self.count += 1
