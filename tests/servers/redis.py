"""A real Redis as a local process: what benchmarks compare with keeps its tasks there."""

import shutil
import socket
from typing import ClassVar

from tests.servers.process import HOST, LocalServer, ServerError

_INSTALL = "apt-get install -y --no-install-recommends redis-server"


class RedisServer(LocalServer):
    """It writes each command to its file before it answers, so a kill loses nothing; a power cut would lose a second.

    Raises `ServerError` where it is not installed.
    """

    name: ClassVar[str] = "redis"

    @property
    def url(self) -> str:
        """The address of its first database."""
        return f"redis://{HOST}:{self.port}/0"

    def command(self) -> list[str]:
        """The server itself, with the file that its pages advise and no snapshots."""
        program = shutil.which("redis-server")
        if program is None:
            raise ServerError(f"redis-server is not installed: {_INSTALL}")
        where = ["--bind", HOST, "--port", str(self.port), "--dir", str(self.folder)]
        return [program, *where, "--appendonly", "yes", "--appendfsync", "everysec", "--save", ""]

    def is_ready(self) -> bool:
        """Whether it has read its file: until then it refuses to answer."""
        with socket.create_connection((HOST, self.port), timeout=1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(64).startswith(b"+PONG")
