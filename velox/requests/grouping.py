"""Many tasks ask, one call answers them together: how an event loop uses a store whose calls block."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import Final, Generic, TypeVar

from velox.errors import StoreUnavailableError

Item = TypeVar("Item")
Answer = TypeVar("Answer")

_MOST_TOGETHER: Final = 500
_MOST_WAITING: Final = 20_000


class Grouping(Generic[Item, Answer]):
    """Collects what tasks ask while a call is under way, and answers all of it with the next one.

    So a store that takes long for a call is asked for more at once, and nobody waits for a clock. For one event loop;
    one call at a time, on a thread of the executor.
    """

    def __init__(
        self,
        call: Callable[[list[Item]], Sequence[Answer]],
        *,
        executor: Executor,
        most_together: int = _MOST_TOGETHER,
        most_waiting: int = _MOST_WAITING,
    ) -> None:
        """Keep what is called: with a list of items, it returns an answer for each, in their order; it may raise."""
        self._call = call
        self._executor = executor
        self._most_together = most_together
        self._most_waiting = most_waiting
        self._waiting: list[tuple[Item, asyncio.Future[Answer]]] = []
        self._task: asyncio.Task[None] | None = None

    async def ask(self, item: Item) -> Answer:
        """Wait for the answer to one item.

        Raises:
            StoreUnavailableError: too many wait already.
            Exception: whatever the call raises, for all that it was to answer.
        """
        if len(self._waiting) >= self._most_waiting:
            msg = f"{len(self._waiting)} wait for the store already; it is too slow, or away"
            raise StoreUnavailableError(msg)
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answer] = loop.create_future()
        self._waiting.append((item, future))
        if self._task is None:
            self._task = loop.create_task(self._answer_all())
        return await future

    async def _answer_all(self) -> None:
        try:
            while self._waiting:
                most = self._most_together
                group, self._waiting = self._waiting[:most], self._waiting[most:]
                await self._answer(group)
        finally:
            self._task = None

    async def _answer(self, group: list[tuple[Item, asyncio.Future[Answer]]]) -> None:
        loop = asyncio.get_running_loop()
        try:
            answers = await loop.run_in_executor(self._executor, self._call, [item for item, _ in group])
        except Exception as error:  # noqa: BLE001 - whoever asked gets it, and nobody else would
            for _, future in group:
                if not future.done():
                    future.set_exception(error)
            return
        for (_, future), answer in zip(group, answers, strict=True):
            if not future.done():  # its task may have been cancelled
                future.set_result(answer)
