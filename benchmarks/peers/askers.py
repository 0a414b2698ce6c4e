"""Clients that cost little: a machine that runs both them and what they ask should spend its time on the latter."""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from tests.servers.process import HOST

_OK = b" 200 "


@dataclass(slots=True)
class Askers:
    """So many connections that each ask again as soon as they are answered; HTTP/1.1, written by hand."""

    port: int
    path: str
    texts: Iterator[str]
    connections: int
    answered: int = 0
    _is_over: threading.Event = field(default_factory=threading.Event)
    _errors: list[BaseException] = field(default_factory=list)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Callable[[], int]:
        """Begin; what it gives counts the answers so far, and raises what stopped a client."""
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self.count

    def __exit__(self, *_: object) -> None:
        """Let each client have its last answer."""
        self._is_over.set()
        if self._thread is not None:
            self._thread.join()

    def count(self) -> int:
        """Count the answers so far."""
        if self._errors:
            raise self._errors[0]
        return self.answered

    def _run(self) -> None:
        try:
            asyncio.run(self._ask_all())
        except (OSError, EOFError, ValueError) as error:
            self._errors.append(error)

    async def _ask_all(self) -> None:
        await asyncio.gather(*(self._ask() for _ in range(self.connections)))

    async def _ask(self) -> None:
        reader, writer = await asyncio.open_connection(HOST, self.port)
        try:
            while not self._is_over.is_set():
                body = json.dumps({"text": next(self.texts)}).encode()
                head = f"POST {self.path} HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\n"
                writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
                await self._read(reader)
                self.answered += 1
        finally:
            writer.close()

    @staticmethod
    async def _read(reader: asyncio.StreamReader) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        status, *lines = head.lower().split(b"\r\n")
        fields = dict(line.split(b":", 1) for line in lines if line)
        answer = await reader.readexactly(int(fields[b"content-length"]))
        if _OK not in status:
            msg = f"{status.decode()}: {answer[:200].decode(errors='replace')}"
            raise ValueError(msg)
