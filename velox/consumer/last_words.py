"""What an inference process writes to its standard error: in the log, in the log's form, a few lines at a time.

Libraries in native code write there what they have to say, the last thing before a crash too. The fetcher reads it, so
that nothing is lost when the process dies.
"""

import logging
import os
import re
import sys
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from time import monotonic
from typing import Final

from velox.core.deadline import Deadline

log = logging.getLogger(__name__)

_MOST_LINES: Final = 100
"""A traceback is shorter; more at once says no more."""
_PERIOD_S: Final = 60.0
_LONGEST: Final = 1000
_FORM: Final = "Inference process %s: %s"
_OF_A_DECODER: Final = re.compile(r"libpng (error|warning): ")
"""Says of a file what its dead letter says, in other words."""


def speak(mouth: "Connection[bytes, bytes]", target: Callable[..., None], *args: object) -> None:
    """Run a process's main function with ``mouth`` for its standard error, if it has one."""
    if sys.stderr is not None:
        os.dup2(mouth.fileno(), sys.stderr.fileno())
    mouth.close()
    target(*args)


class LastWords:
    """Listens at ``ear`` until the process at the other end is no more, and logs what it hears; a thread of its own.

    Of many lines, the first of each minute are logged, and how many others there were.
    """

    def __init__(
        self, ear: "Connection[bytes, bytes]", pid: int | None, *, clock: Callable[[], float] = monotonic
    ) -> None:
        self._ear = ear
        self._pid = pid
        self._clock = clock
        self._period = Deadline(_PERIOD_S, clock=clock)
        self._lines = 0
        """In this period."""
        self.thread = threading.Thread(target=self._listen, name=f"errors-of-inference-{pid}", daemon=True)
        self.thread.start()

    def _listen(self) -> None:
        with self._ear, open(self._ear.fileno(), "rb", closefd=False) as lines:
            while line := lines.readline(_LONGEST):
                self._hear(line.decode(errors="replace").strip())
        self._begin_period()

    def _hear(self, line: str) -> None:
        if self._period.has_passed():
            self._begin_period()
        if _OF_A_DECODER.match(line):
            log.debug(_FORM, self._pid, line)
        elif line:
            self._lines += 1
            if self._lines <= _MOST_LINES:
                log.warning(_FORM, self._pid, line)

    def _begin_period(self) -> None:
        if self._lines > _MOST_LINES:
            log.warning("Inference process %s: %d lines more", self._pid, self._lines - _MOST_LINES)
        self._period = Deadline(_PERIOD_S, clock=self._clock)
        self._lines = 0
