"""A broker that somebody reaches only through a proxy, and everybody else directly."""

import asyncio

from tests.servers.kafka import SETTINGS, KafkaServer
from tests.servers.process import HOST, free_port
from tests.servers.proxy import TcpProxy

LIST_OFFSETS = 2
"""The number of the request that asks where a partition begins or ends; see Kafka's protocol guide."""


class KafkaProxy(TcpProxy):
    """Knows where a request begins, and so can make the broker slow to answer those of one kind."""

    def __init__(self, target_port: int) -> None:
        super().__init__(target_port)
        self.held: dict[int, float] = {}
        """How many seconds later each request of a kind arrives, and what the client says after it."""

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, flowing: asyncio.Event) -> None:
        if flowing is not self._to_server:
            await super()._pump(reader, writer, flowing)
        while True:
            try:
                size = await reader.readexactly(4)
                request = await reader.readexactly(int.from_bytes(size))
            except asyncio.IncompleteReadError as error:
                raise ConnectionAbortedError from error
            await asyncio.sleep(self._delay_s + self.held.get(int.from_bytes(request[:2]), 0.0))
            await flowing.wait()
            writer.write(size + request)
            await writer.drain()


class DistantBroker(KafkaServer):
    """At `bootstrap` it is near, at `far` its `proxy` decides how far."""

    def __init__(self) -> None:
        super().__init__()
        far_port = free_port()
        self.proxy = KafkaProxy(far_port)
        self.settings = {
            "listener.security.protocol.map": f"{SETTINGS['listener.security.protocol.map']},FAR:PLAINTEXT",
            "listeners": f"PLAINTEXT://{self.bootstrap},FAR://{HOST}:{far_port},CONTROLLER://{HOST}:{self.controller_port}",
            "advertised.listeners": f"PLAINTEXT://{self.bootstrap},FAR://{self.far}",
        }

    @property
    def far(self) -> str:
        """The address through the proxy."""
        return f"{HOST}:{self.proxy.port}"
