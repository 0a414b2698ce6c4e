"""Connects to the very address that was checked: who answers the next question for a host's address decides nothing."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from ipaddress import ip_address

import httpcore2

from velox.core.addresses import Allowed, literal
from velox.errors import ForbiddenAddressError

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Answers the addresses of a host; raises OSError when it has none."""


async def resolve(host: str, port: int) -> list[str]:
    """Ask the system's resolver, on a thread of the loop's."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(info[4][0]) for info in found))


class Pinned(httpcore2.AsyncNetworkBackend):
    """Opens connections for the pool: asks once for a host's addresses, checks all of them, connects to one of them.

    One address that is refused is enough for a host to be refused. TLS still proves the host by its name, and the
    header ``Host`` still says it: both come from the URL.
    """

    def __init__(
        self, allowed: Allowed, *, dial: httpcore2.AsyncNetworkBackend | None = None, resolver: Resolve = resolve
    ) -> None:
        """Connect by ``dial``, to what ``resolver`` answers, as far as it is ``allowed``."""
        self._allowed = allowed
        self._dial = dial or httpcore2.AnyIOBackend()
        self._resolve = resolver

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Connect to a host.

        Raises:
            ForbiddenAddressError: one of its addresses is none that webhooks may go to.
            httpcore2.ConnectError: it has no address, or none that takes the connection.
        """
        error: Exception | None = None
        for address in await self._addresses(host, port):
            try:
                return await self._dial.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as failed:
                error = failed
        raise error or httpcore2.ConnectError(f"{host} has no address")

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Refuse: no URL leads here."""
        raise ForbiddenAddressError(f"webhooks do not go to sockets such as {path}")

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await self._dial.sleep(seconds)

    async def _addresses(self, host: str, port: int) -> Sequence[str]:
        try:
            addresses = [host] if literal(host) is not None else await self._resolve(host, port)
        except (OSError, UnicodeError) as error:
            raise httpcore2.ConnectError(f"{host} has no address: {error}") from error
        for address in addresses:
            # What is refused is not named: who asks is not told what is inside.
            if not self._allowed.takes(host, ip_address(address)):
                raise ForbiddenAddressError(f"{host} is at an address that webhooks may not go to; see WEBHOOK_ALLOW")
        return addresses
