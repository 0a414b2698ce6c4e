"""A process under test: started, asked how it is, killed, and started again."""

import logging
from collections.abc import Mapping
from typing import Final, TextIO

from velox.children import Child
from velox.tools.up.scraping import Scraper

log = logging.getLogger(__name__)

_MAX_RESTARTS: Final = 5
"""Unasked for, of one process."""


class Service:
    """One ``velox`` command that answers ``/readyz``; it is started again when it dies, as an orchestrator does."""

    def __init__(
        self, command: str, environment: Mapping[str, str], log_file: TextIO, *, port: int, title: str
    ) -> None:
        """Plan ``velox <command>``, which says on ``port`` how it is; people read of it under its title."""
        self.title = title
        self.restarts = 0
        """Unasked for."""
        self.unready_because: str | None = "starting"
        self._child = Child(command, environment, log_file, _no_trouble)
        self._scraper = Scraper(port)
        self._was_ready = False
        self._is_leaving = False

    @property
    def is_healthy(self) -> bool:
        """Say whether it is ready."""
        return self.unready_because is None

    @property
    def exit_code(self) -> int | None:
        """What it ended with; None while it runs."""
        return self._child.exit_code

    def start(self) -> None:
        """Begin a life."""
        self.unready_because = "starting"
        self._child.start()

    def look(self) -> None:
        """Ask how it is; start it again when it has ended and nobody told it to.

        Raises:
            VeloxError: it ends again and again, or before it was ever ready.
        """
        if self._child.exit_code is not None:
            if not self._is_leaving:
                self._revive(self._child.exit_code)
            return
        self.unready_because = self._scraper.unready_because()
        self._was_ready = self._was_ready or self.unready_because is None

    def kill(self) -> None:
        """Kill it (SIGKILL), and start it again."""
        self._child.kill()
        self._clear()
        self.start()

    def leave(self) -> None:
        """Tell it to drain and end (SIGTERM), for good."""
        self._is_leaving = True
        self._child.terminate()

    def close(self) -> None:
        """Leave nothing of it behind."""
        self._is_leaving = True
        self._child.close()

    def _revive(self, code: int) -> None:
        if not self._was_ready or self.restarts == _MAX_RESTARTS:
            why = "before it was ready" if not self._was_ready else f"after {_MAX_RESTARTS} restarts"
            self._child.close()
            raise self._child.ended(why)
        self.restarts += 1
        log.warning("%s ended by itself with exit code %s; it is started again", self.title.capitalize(), code)
        self._clear()
        self.start()

    def _clear(self) -> None:
        """Take away what is left of a life that has ended."""
        self._child.close()


def _no_trouble(_name: str, _message: str) -> None:
    """Leave it in the log: under faults, warnings are to be expected."""
