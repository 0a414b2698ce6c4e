"""Whether a restart would help, with the evidence: the stacks of all threads."""

import faulthandler
import logging
import sys
from collections.abc import Callable

log = logging.getLogger(__name__)


class Liveness:
    """Asks each part whether it is stuck. The first time that one is, the stacks of all threads are logged first."""

    def __init__(self, *parts: Callable[[], str | None]) -> None:
        """Ask these; each answers why it is stuck, None when it is not."""
        self._parts = parts
        self._has_dumped = False

    def __call__(self) -> str | None:
        """Say why a restart would help, None when it would not."""
        cause = next((stuck for part in self._parts if (stuck := part()) is not None), None)
        if cause and not self._has_dumped:
            self._has_dumped = True
            # Written past the logging module: a thread may be stuck with its lock.
            faulthandler.dump_traceback(sys.stdout)
            log.error("Not alive: %s; the stacks of all threads are above", cause)
        return cause
