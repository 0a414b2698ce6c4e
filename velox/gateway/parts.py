"""What the routes need of the gateway, and how they get it."""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Annotated, TypeVar

from fastapi import Depends, Request

from velox.core.tracing import Spans
from velox.gateway.models import Catalogue, ServedModel
from velox.gateway.problems import unprocessable
from velox.gateway.standing import Standing
from velox.gateway.submitting import Submitting
from velox.gateway.waiting import Waiting
from velox.metrics.gateway import GatewayMetrics
from velox.records import is_safe_id
from velox.requests import rows
from velox.requests.store import RequestStore
from velox.settings.readers import ApiSettings

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """The parts, connected."""

    settings: ApiSettings
    store: RequestStore
    executor: Executor
    models: Catalogue
    submitting: Submitting
    waiting: Waiting
    standing: Standing
    metrics: GatewayMetrics
    spans: Spans | None
    """None where nobody wants spans."""

    def model(self, name: str) -> ServedModel:
        """Find a model.

        Raises:
            Problem: 422: there is none of this name.
        """
        if (found := self.models.get(name)) is None:
            raise unprocessable(f"no model {name[:100]!r}: there are {', '.join(self.models)}", "model")
        return found

    async def on_store(self, call: Callable[[], Answer]) -> Answer:
        """Have a call of the store made on a thread."""
        return await asyncio.get_running_loop().run_in_executor(self.executor, call)

    async def owned(self, request_id: str, owner: str, timeout_s: float = 0) -> rows.Request | None:
        """Answer a request once it is final, or as it is when the time is over; None when it is not this owner's.

        Raises:
            StoreUnavailableError: nobody knows.
        """
        if not is_safe_id(request_id):
            return None
        request = await self.waiting.wait(request_id, timeout_s)
        return request if request is not None and request.owner == owner else None


async def _gateway(request: Request) -> Gateway:
    found: Gateway = request.app.state.gateway
    return found


Here = Annotated[Gateway, Depends(_gateway)]


async def until_disconnected(request: Request, answer: Awaitable[Answer]) -> Answer | None:
    """Wait for an answer as long as the client does; None when it went away. The request's body has to be read."""
    task = asyncio.ensure_future(answer)
    gone = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else None
    finally:
        task.cancel()
        if not gone.cancel():
            gone.exception()  # a body that nobody asked for, and that did not come, is no error of ours


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
