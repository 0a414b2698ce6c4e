"""Looking for requests, and waiting for their results: one question to the store for all who wait."""

import asyncio
import logging
from collections.abc import Sequence
from concurrent.futures import Executor
from time import monotonic
from typing import Final

from velox.core.seldom import Seldom
from velox.core.states import FINAL
from velox.errors import StoreUnavailableError
from velox.gateway.watching import timed
from velox.metrics.gateway import GatewayMetrics
from velox.requests.grouping import Grouping
from velox.requests.rows import Request
from velox.requests.store import RequestStore

log = logging.getLogger(__name__)

_TOGETHER: Final = 500
_TELL_EVERY_S: Final = 15.0
_AWAY_S: Final = 1.0
"""Before the store is asked again that did not answer."""


class Waiting:
    """Answers from the store. For one event loop; the store is asked on threads of the executor.

    While anybody waits, the store is asked each ``interval_s`` for all of them together, and less often when it takes
    long to answer: it is never busy with that for more than a third of the time.
    """

    def __init__(self, store: RequestStore, metrics: GatewayMetrics, *, executor: Executor, interval_s: float) -> None:
        """Begin with nobody waiting."""
        look = timed(metrics, "look", store.look)

        def look_at(ids: list[str]) -> Sequence[Request | None]:
            found = look(list(dict.fromkeys(ids)))
            return [found.get(request_id) for request_id in ids]

        self._looks = Grouping(look_at, executor=executor, most_together=_TOGETHER)
        self._metrics = metrics
        self._interval_s = interval_s
        self._waiters: dict[str, set[asyncio.Future[None]]] = {}
        self._task: asyncio.Task[None] | None = None
        self._is_stopping = False
        self._seldom = Seldom(_TELL_EVERY_S)

    async def look(self, request_id: str) -> Request | None:
        """Answer a request as it is now; None when there is none.

        Raises:
            StoreUnavailableError: nobody knows.
        """
        return await self._looks.ask(request_id)

    async def wait(self, request_id: str, timeout_s: float) -> Request | None:
        """Answer a request once it is final, or as it is when the time is over or this process stops; None as above.

        A store that goes away meanwhile is waited for as long.

        Raises:
            StoreUnavailableError: nobody knows, at the beginning or at the end.
        """
        request = await self.look(request_id)
        if request is None or request.state in FINAL or timeout_s <= 0 or self._is_stopping:
            return request
        await self._until_changed(request_id, timeout_s)
        return await self.look(request_id)

    def stop(self) -> None:
        """Let all go who wait: they answer what there is."""
        self._is_stopping = True
        for request_id in list(self._waiters):
            self._wake(request_id)

    async def _until_changed(self, request_id: str, timeout_s: float) -> None:
        changed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.setdefault(request_id, set()).add(changed)
        self._metrics.waiters.inc()
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._watch())
        try:
            await asyncio.wait_for(changed, timeout_s)
        except TimeoutError:
            pass
        finally:
            self._metrics.waiters.dec()
            others = self._waiters.get(request_id, set())
            others.discard(changed)
            if not others:
                self._waiters.pop(request_id, None)

    async def _watch(self) -> None:
        pause_s = self._interval_s
        try:
            while self._waiters:
                await asyncio.sleep(pause_s)
                started = monotonic()
                try:
                    await asyncio.gather(*map(self._see, list(self._waiters)))
                except StoreUnavailableError as error:
                    if self._seldom.is_due("store"):
                        log.warning("%d requests are waited for, and the store is away: %s", len(self._waiters), error)
                    pause_s = _AWAY_S
                else:
                    pause_s = max(self._interval_s, 2 * (monotonic() - started))
        finally:
            self._task = None

    async def _see(self, request_id: str) -> None:
        request = await self._looks.ask(request_id)
        if request is None or request.state in FINAL:
            self._wake(request_id)

    def _wake(self, request_id: str) -> None:
        for waiter in self._waiters.pop(request_id, set()):
            if not waiter.done():
                waiter.set_result(None)
