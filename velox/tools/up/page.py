"""The dashboard beside a pipeline: served where it can be, and never in the pipeline's way."""

import logging
import socket
from collections.abc import Mapping
from typing import Final, TextIO

from velox.children import Child
from velox.loading import is_installed
from velox.settings.dashboard import DashboardSettings
from velox.tools.up.environment import free_port

log = logging.getLogger(__name__)

_NEEDED: Final = ("starlette", "uvicorn", "httptools")


class Page:
    """`velox dashboard` as a process. What becomes of it changes nothing for the pipeline."""

    def __init__(self, settings: DashboardSettings, environment: Mapping[str, str], log_file: TextIO) -> None:
        """Plan it."""
        self._host, self._port = settings.dashboard_host, settings.dashboard_port or free_port()
        told = {**environment, "DASHBOARD_PORT": str(self._port)}
        self._child = Child("dashboard", told, log_file, _trouble)

    def start(self) -> None:
        """Serve it, and say where; or say why not."""
        if not all(map(is_installed, _NEEDED)):
            log.info("No dashboard: pip install 'velox[dashboard]'")
        elif not self._is_free():
            log.info("No dashboard: port %d is taken; another is set by DASHBOARD_PORT", self._port)
        else:
            self._child.start()
            log.info("Dashboard on http://%s:%d", self._host, self._port)

    def close(self) -> None:
        """End it."""
        self._child.close()

    def _is_free(self) -> bool:
        """Look whether the port can be had; a moment later somebody else may have it, and the log file says so."""
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        try:
            socket.create_server((self._host.strip("[]"), self._port), family=family).close()
        except OSError:
            return False
        return True


def _trouble(name: str, message: str) -> None:
    log.warning("%s: %s", name, message)
