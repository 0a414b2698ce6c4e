"""The client for asyncio: what `Client` does, to be awaited."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from types import TracebackType
from typing import Self, Unpack

import httpx2

from velox.client import calls, connection, steps
from velox.client.calls import Call
from velox.client.errors import UnreachableError
from velox.client.reading import Answer
from velox.client.steps import Patience, Read, Steps
from velox.client.values import Accepted, Model, Options, Page, Question, Refused, Request
from velox.client.watching import Watch
from velox.core.states import State


class AsyncClient:
    """Asks a gateway, from one event loop. Close it, or use it in an ``async with`` statement.

    Its methods are those of `Client`, with the same arguments, answers and errors.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        timeout_s: float = 30.0,
        retry_for_s: float = 30.0,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        """Prepare; nothing is connected yet. The arguments are those of `Client`.

        Raises:
            ValueError: the URL is none.
        """
        self._timeout_s = timeout_s
        self._retry_for_s = retry_for_s
        self._http = httpx2.AsyncClient(transport=transport, **connection.options(url, api_key))

    async def submit(self, model: str, *, idempotency_key: str | None = None, **options: Unpack[Options]) -> Request:
        """Ask a model; see `Client.submit`."""
        question = Question(model=model, **options)
        return await self._run(steps.submit(question, idempotency_key, self._patience()))

    async def submit_batch(self, questions: Iterable[Question]) -> Sequence[Accepted | Refused]:
        """Ask much at once; see `Client.submit_batch`."""
        return await self._run(steps.batch(list(questions), self._patience()))

    async def get(self, request_id: str) -> Request:
        """Answer a request as it is now."""
        return await self._call(calls.look(request_id), steps.request)

    async def wait(self, request_id: str, timeout_s: float = 60.0) -> Request:
        """Answer a request once it has ended; see `Client.wait`."""
        return await self._run(steps.wait(request_id, timeout_s, self._patience(timeout_s)))

    async def predict(
        self, model: str, *, timeout_s: float = 60.0, idempotency_key: str | None = None, **options: Unpack[Options]
    ) -> Request:
        """Ask a model, and wait for its prediction; see `Client.predict`."""
        question = Question(model=model, **options)
        return await self._run(steps.predict(question, timeout_s, idempotency_key, self._patience(timeout_s)))

    async def stream(self, request_id: str, timeout_s: float = 300.0) -> AsyncIterator[Request]:
        """Yield a request as it is now, and again as it has ended; see `Client.stream`."""
        watch = Watch(request_id, timeout_s, self._patience(timeout_s))
        for call in watch.connections():
            await asyncio.sleep(call.after_s)
            try:
                with connection.translated(self._http.base_url):
                    async for news in self._news(call, watch):
                        yield news
            except UnreachableError as error:
                watch.broke(error)

    async def list(
        self, *, model: str | None = None, state: State | None = None, after: str | None = None, limit: int = 50
    ) -> Page:
        """List requests, newest first; see `Client.list`."""
        return await self._call(calls.search(model, state, after, limit), steps.page)

    async def cancel(self, request_id: str) -> Request:
        """Cancel a request, or remove it; see `Client.cancel`."""
        return await self._call(calls.cancel(request_id), steps.request)

    async def models(self) -> Sequence[Model]:
        """Name the models, and say how they are."""
        return await self._call(calls.models(), steps.models)

    async def close(self) -> None:
        """Close the connections; safe twice."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        """Answer itself."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        await self.close()

    def _patience(self, for_s: float | None = None) -> Patience:
        return Patience.lasting(self._retry_for_s if for_s is None else for_s)

    async def _call(self, call: Call, read: steps.Reader[Read]) -> Read:
        return await self._run(steps.call(call, self._patience(), read))

    async def _run(self, made: Steps[Read]) -> Read:
        try:
            call = next(made)
            while True:
                await asyncio.sleep(call.after_s)
                try:
                    answer = await self._made(call)
                except UnreachableError as error:
                    call = made.throw(error)
                else:
                    call = made.send(answer)
        except StopIteration as end:
            result: Read = end.value
            return result

    async def _made(self, call: Call) -> Answer:
        with connection.translated(self._http.base_url):
            return connection.answer(await self._http.request(**connection.request(call, self._timeout_s)))

    async def _news(self, call: Call, watch: Watch) -> AsyncIterator[Request]:
        async with self._http.stream(**connection.request(call, self._timeout_s)) as response:
            if response.status_code != httpx2.codes.OK:
                await response.aread()
                watch.refused(connection.answer(response))
                return
            async for event in httpx2.EventSource(response):
                if (news := watch.news(event.data)) is not None:
                    yield news
