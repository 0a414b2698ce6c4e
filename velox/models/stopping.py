"""Ends a long computation between two steps when SIGINT or SIGTERM comes.

Unlike ``velox.signals``, which asks a loop to drain, this raises, and the second signal ends the process by itself: in
the middle of a download or an import nobody would ask.
"""

import signal
from types import FrameType, TracebackType
from typing import Self

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopped(Exception):  # noqa: N818 - not an error: somebody asked for it
    """A signal asked for the end."""

    def __init__(self, number: int) -> None:
        super().__init__(f"Stopped by {signal.Signals(number).name}")
        self.exit_code = 128 + number


class StopSignals:
    """While entered, the first signal sets a flag that ``check`` finds; the second acts as it always does."""

    def __init__(self) -> None:
        self._received: int | None = None
        self._before = {number: signal.getsignal(number) for number in _SIGNALS}

    def __enter__(self) -> Self:
        """Handle the signals from now on. Works in the main thread only."""
        for number in _SIGNALS:
            signal.signal(number, self._receive)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Restore the former handlers."""
        self._restore()

    def check(self) -> None:
        """Raise if a signal has come.

        Raises:
            Stopped: it names the signal and the exit code.
        """
        if self._received is not None:
            raise Stopped(self._received)

    def _receive(self, number: int, _frame: FrameType | None) -> None:
        self._received = number
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
