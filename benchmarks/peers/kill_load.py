"""Clients of the kill test: each insists until its request is accepted, then polls until there is a result."""

import asyncio
import random
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import httpx2

CLIENTS: Final = 16
STALL_S: Final = 30.0
"""So long without any result, and a client would call the rest lost."""
_POLL_S: Final = 1.0
_AGAIN_S: Final = 0.2
_TIMEOUT_S: Final = 10.0
_TRIES: Final = 5
"""Of the look at the end, for each id that has no result."""
_ASKING: Final = 64
"""Polls in flight, at most."""
_WORDS: Final = ("good", "bad", "great", "poor", "love", "hate", "the", "a", "film", "phone", "service", "it")


@dataclass(slots=True)
class Load:
    """Asks a system for so many predictions in so many seconds, and keeps count; `run` in a thread of its own."""

    url: str
    count: int
    lasts_s: float
    grace_s: float
    """How long after a stall results are still waited for."""
    accepted: list[str] = field(default_factory=list)
    answered: set[str] = field(default_factory=set)
    late: int = 0
    gone: int = 0
    refused: int = 0
    """Attempts that ended without an id: the client tried again."""
    _done: asyncio.Event = field(default_factory=asyncio.Event)
    _thread: threading.Thread | None = None
    _error: BaseException | None = None
    faults_are_over: threading.Event = field(default_factory=threading.Event)

    @property
    def missing(self) -> int:
        """Count the ids whose result their client has not seen."""
        return len(self.accepted) - len(self.answered)

    @property
    def lives(self) -> bool:
        """Whether clients are still at work."""
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        """Begin to ask."""
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def join(self) -> None:
        """Wait for the end; raises what stopped the clients, if anything has."""
        if self._thread is not None:
            self._thread.join()
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            asyncio.run(self._ask_all())
        except BaseException as error:  # noqa: BLE001 - raised again by join
            self._error = error

    async def _ask_all(self) -> None:
        limits = httpx2.Limits(max_connections=CLIENTS + _ASKING)
        async with httpx2.AsyncClient(base_url=self.url, timeout=_TIMEOUT_S, limits=limits) as http:
            numbers = iter(range(self.count))
            began = time.monotonic()
            polling = asyncio.create_task(self._poll(http))
            await asyncio.gather(*(self._client(http, numbers, began) for _ in range(CLIENTS)))
            self._done.set()
            await polling
            left = self.accepted
            for _ in range(_TRIES):  # a connection that broke long ago may fail a look
                found = await self._look_at(http, left)
                left = [identity for identity in left if identity not in found]
                await asyncio.sleep(_POLL_S)
            self.gone = len(left)

    async def _client(self, http: httpx2.AsyncClient, numbers: Iterator[int], began: float) -> None:
        for number in numbers:
            due = began + self.lasts_s * number / self.count
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            self.accepted.append(await self._insist(http, _text(number)))

    async def _insist(self, http: httpx2.AsyncClient, text: str) -> str:
        while True:
            try:
                response = await http.post("/predict", json={"text": text})
                if response.is_success:
                    return str(response.json()["request_id"])
            except httpx2.TransportError:
                pass
            self.refused += 1
            await asyncio.sleep(_AGAIN_S)

    async def _poll(self, http: httpx2.AsyncClient) -> None:
        """Ask for each result that is not there yet, each second, until all are there or nothing comes any more."""
        moved = time.monotonic()
        is_late = False
        while self.missing or not self._done.is_set() or not self.faults_are_over.is_set():
            await asyncio.sleep(_POLL_S)
            waited = [identity for identity in self.accepted if identity not in self.answered]
            found = await self._look_at(http, waited)
            self.answered |= found
            now = time.monotonic()
            self.late += len(found) if is_late else 0
            if not self._done.is_set() or not self.faults_are_over.is_set() or (found and not is_late):
                moved = now
            is_late = now - moved >= STALL_S
            if now - moved >= STALL_S + self.grace_s:
                return

    async def _look_at(self, http: httpx2.AsyncClient, identities: list[str]) -> set[str]:
        """Answer which of these have a result."""
        room = asyncio.Semaphore(_ASKING)

        async def look(identity: str) -> bool:
            async with room:
                try:
                    response = await http.get(f"/predict/{identity}")
                    return response.is_success and response.json()["label"] is not None
                except httpx2.TransportError:
                    return False

        answers = await asyncio.gather(*map(look, identities))
        return {identity for identity, there in zip(identities, answers, strict=True) if there}


def _text(number: int) -> str:
    draw = random.Random(number)  # noqa: S311 - chooses words, guards no secret
    return " ".join(draw.choices(_WORDS, k=12))
