"""A TCP proxy in this process, to take a server away from its clients without touching the server."""

import asyncio
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self

from tests.servers.process import HOST, free_port


class TcpProxy:
    """Forwards connections on `port` to a local port, until told otherwise.

    A call has taken effect when it returns.

    - `block`: the server is down. Live connections break, new ones are refused.
    - `hang`: the server is stuck, or the network drops everything. Connections are accepted and kept, and no byte
      passes; with `answers_only`, requests still arrive.
    - `delay`: every byte takes so long, in each direction.
    - `unblock`: the end of all of these.
    - `disconnect`: live connections break once; new ones work.
    """

    def __init__(self, target_port: int) -> None:
        self.port = free_port()
        self._target_port = target_port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="tcp-proxy", daemon=True)
        self._to_server = asyncio.Event()
        self._to_client = asyncio.Event()
        self._delay_s = 0.0
        self._listener: asyncio.Server | None = None
        self._live: set[asyncio.StreamWriter] = set()
        self._forwarding: set[asyncio.Task[None]] = set()

    def block(self) -> None:
        """Break live connections and refuse new ones."""
        self._call(self._block())

    def hang(self, *, answers_only: bool = False) -> None:
        """Keep connections, pass nothing, or only what clients say."""
        self._call(self._hang(answers_only=answers_only))

    def delay(self, seconds: float) -> None:
        """Pass everything this much later."""
        self._delay_s = seconds

    def unblock(self) -> None:
        """Listen and forward again."""
        self._call(self._unblock())

    def disconnect(self) -> None:
        """Break every live connection."""
        self._call(self._disconnect())

    def __enter__(self) -> Self:
        self._thread.start()
        self.unblock()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._call(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=5)
        self._loop.close()

    def _call(self, action: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(action, self._loop).result(timeout=5)

    async def _block(self) -> None:
        if self._listener is not None:
            for listening in self._listener.sockets:
                self._loop.remove_reader(listening.fileno())
            # What is being accepted is a task first: a listener that closes before it is a connection loses it.
            while accepting := asyncio.all_tasks() - self._forwarding - {asyncio.current_task()}:
                await asyncio.wait(accepting)
            self._listener.close()
            self._listener = None
        await self._disconnect()

    async def _hang(self, *, answers_only: bool) -> None:
        self._to_client.clear()
        if not answers_only:
            self._to_server.clear()

    async def _unblock(self) -> None:
        self._delay_s = 0.0
        self._to_client.set()
        self._to_server.set()
        if self._listener is None:
            self._listener = await asyncio.start_server(self._serve, HOST, self.port)

    async def _disconnect(self) -> None:
        for writer in self._live:
            writer.transport.abort()

    async def _close(self) -> None:
        await self._block()
        self._to_client.set()
        self._to_server.set()
        if self._forwarding:
            await asyncio.wait(self._forwarding)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._live.add(writer)
        self._keep(asyncio.create_task(self._forward(reader, writer)))

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._forwarding.add(task)
        task.add_done_callback(self._forwarding.discard)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Join a client to the server until either side ends."""
        ends = [writer]
        try:
            server_reader, server_writer = await asyncio.open_connection(HOST, self._target_port)
            self._live.add(server_writer)
            ends.append(server_writer)
            async with asyncio.TaskGroup() as directions:
                self._keep(directions.create_task(self._pump(reader, server_writer, self._to_server)))
                self._keep(directions.create_task(self._pump(server_reader, writer, self._to_client)))
        except* OSError:
            pass  # a broken connection is this proxy's daily bread: both ends learn of it below
        finally:
            for end in ends:
                end.transport.abort()
            self._live.difference_update(ends)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, flowing: asyncio.Event) -> None:
        while data := await reader.read(65536):
            await asyncio.sleep(self._delay_s)
            await flowing.wait()
            writer.write(data)
            await writer.drain()
        raise ConnectionAbortedError  # ends the other direction too
