"""Taking a port, and saying where that is."""

import os
import socket
from ipaddress import ip_address
from typing import Final

from velox.errors import SettingsError

BACKLOG: Final = 2048


def listen(host: str, port: int, *, settings: str) -> socket.socket:
    """Take a port; ``settings`` is the beginning of the settings' names, as in ``GATEWAY``.

    Raises:
        SettingsError: it cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host.strip("[]"), port), family=family, backlog=BACKLOG)
    except OSError as error:
        why = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
        msg = f"{settings}_HOST={host}, {settings}_PORT={port}: {why}; choose another, or port 0 for any free one"
        raise SettingsError(msg) from error


def address(listening: socket.socket) -> str:
    """Write where a socket listens, as a URL has it."""
    host, port = listening.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_loopback(host: str) -> bool:
    """Say whether only this machine reaches an address."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
