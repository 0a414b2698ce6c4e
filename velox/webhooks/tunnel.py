"""Connects through a proxy: asks it for a connection to an address, and hands that on."""

import re
from collections.abc import Iterable
from typing import Final

import httpcore2

from velox.core.proxies import Proxy

_MOST_BYTES: Final = 16 * 1024
"""A longer answer of the proxy is none."""
_END: Final = b"\r\n\r\n"
_STATUS: Final = re.compile(rb"HTTP/1\.[01] (\d{3})\b")


class Tunnel(httpcore2.AsyncNetworkBackend):
    """Dials for ``Pinned``. It is asked for addresses that were checked, and passes them on as they are, never a name.

    So a proxy resolves nothing, and it cannot be led elsewhere than to what was checked here.
    """

    def __init__(self, proxy: Proxy, *, dial: httpcore2.AsyncNetworkBackend | None = None) -> None:
        """Reach the proxy by ``dial``."""
        self._proxy = proxy
        self._dial = dial or httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Connect to an address through the proxy.

        Raises:
            httpcore2.ConnectError: the proxy is not there, or does not connect.
        """
        try:
            stream = await self._dial.connect_tcp(
                self._proxy.host, self._proxy.port, timeout, local_address, socket_options
            )
        except httpcore2.ConnectError as error:
            raise httpcore2.ConnectError(f"WEBHOOK_PROXY cannot be reached: {error}") from error
        try:
            await stream.write(self._question(host, port), timeout)
            _check(await _head(stream, timeout))
        except BaseException as error:
            await stream.aclose()
            if isinstance(error, httpcore2.NetworkError) and not isinstance(error, httpcore2.ConnectError):
                raise httpcore2.ConnectError(f"WEBHOOK_PROXY broke off: {error}") from error
            raise
        return stream

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Refuse: proxies have no sockets of ours."""
        raise httpcore2.ConnectError(f"WEBHOOK_PROXY does not lead to sockets such as {path}")

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await self._dial.sleep(seconds)

    def _question(self, host: str, port: int) -> bytes:
        to = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        lines = [f"CONNECT {to} HTTP/1.1", f"Host: {to}"]
        if self._proxy.authorization:
            lines.append(f"Proxy-Authorization: {self._proxy.authorization}")
        return "\r\n".join([*lines, "", ""]).encode()


async def _head(stream: httpcore2.AsyncNetworkStream, timeout: float | None) -> bytes:
    """Read the proxy's answer. What is behind it is the receiver's, who says nothing before it is asked."""
    head = b""
    while _END not in head:
        part = await stream.read(_MOST_BYTES, timeout)
        head += part
        if not part or len(head) > _MOST_BYTES:
            raise httpcore2.ConnectError("WEBHOOK_PROXY gave no answer that is HTTP")
    if not head.endswith(_END) or head.count(_END) > 1:
        raise httpcore2.ConnectError("WEBHOOK_PROXY sent more than an answer to CONNECT")
    return head


def _check(head: bytes) -> None:
    """Look whether there is a connection.

    Raises:
        httpcore2.ConnectError: there is none.
    """
    match = _STATUS.match(head)
    if match is None:
        raise httpcore2.ConnectError("WEBHOOK_PROXY gave no answer that is HTTP")
    status = int(match[1])
    if not 200 <= status < 300:  # noqa: PLR2004 - what HTTP calls success
        raise httpcore2.ConnectError(f"WEBHOOK_PROXY does not connect: it answered {status}")
