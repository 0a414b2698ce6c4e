"""An HTTP proxy for tests: connects to where it is asked to, or to where the test says."""

import socket
import threading
from collections.abc import Mapping
from contextlib import suppress
from types import TracebackType
from typing import Self

from tests.servers.process import HOST


class ConnectProxy:
    """Answers ``CONNECT`` while it is entered; ``routes`` lead an address and port elsewhere, as a network would."""

    def __init__(self, routes: Mapping[str, tuple[str, int]] | None = None, *, status: int = 200) -> None:
        self.asked: list[str] = []
        """The heads of all questions that came."""
        self._routes = routes or {}
        self._status = status
        self._listening = socket.create_server((HOST, 0))
        self._open: list[socket.socket] = [self._listening]

    @property
    def url(self) -> str:
        """What WEBHOOK_PROXY is to be."""
        return f"http://{HOST}:{self._listening.getsockname()[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for each in self._open:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                self._open.append(client)
                threading.Thread(target=self._serve, args=[client], daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head:
                part = client.recv(4096)
                if not part:
                    return
                head += part
            self.asked.append(head.decode())
            to = head.split(b" ", 2)[1].decode()
            if self._status != 200:
                client.sendall(b"HTTP/1.1 %d No\r\nContent-Length: 0\r\n\r\n" % self._status)
                client.close()
                return
            host, _, port = to.rpartition(":")
            server = socket.create_connection(self._routes.get(to, (host.strip("[]"), int(port))), timeout=10)
            self._open.append(server)
            client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            threading.Thread(target=_copy, args=[server, client], daemon=True).start()
            _copy(client, server)


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while part := source.recv(65536):
            sink.sendall(part)
        sink.shutdown(socket.SHUT_WR)
