"""The client that blocks until there is an answer."""

import time
from collections.abc import Iterable, Iterator, Sequence
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


class Client:
    """Asks a gateway. Threads may share one. Close it, or use it in a ``with`` statement.

    What cannot be done at present (429, 503, no connection) is tried again, after the time that the gateway asks for,
    until ``retry_for_s`` is over. A question has an id, so it is one request however often it is sent.

    All methods raise `velox.client.ClientError`; `velox.client.errors` lists its kinds.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        timeout_s: float = 30.0,
        retry_for_s: float = 30.0,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        """Prepare; nothing is connected yet.

        Args:
            url: of the gateway, without ``/v1``.
            api_key: where the gateway asks for one.
            timeout_s: for connecting, for sending, and for the next bytes of an answer.
            retry_for_s: after this time no call is tried again; 0 = each is made once.
            transport: what makes the connections, such as httpx2's MockTransport in a test.

        Raises:
            ValueError: the URL is none.
        """
        self._timeout_s = timeout_s
        self._retry_for_s = retry_for_s
        self._http = httpx2.Client(transport=transport, **connection.options(url, api_key))

    def submit(self, model: str, *, idempotency_key: str | None = None, **options: Unpack[Options]) -> Request:
        """Ask a model; answered as soon as the question is safe.

        Args:
            model: its name.
            idempotency_key: the same key with the same question is the same request, whatever became of the first.
            **options: exactly one of ``text`` and ``image`` (the bytes of a file), and any other field of `Question`.

        Raises:
            ValueError: there is no text and no image, or both.
        """
        question = Question(model=model, **options)
        return self._run(steps.submit(question, idempotency_key, self._patience()))

    def submit_batch(self, questions: Iterable[Question]) -> Sequence[Accepted | Refused]:
        """Ask much at once; answers what became of each question, in their order.

        More than fit into one call are sent in several. What is accepted stays accepted whatever becomes of the others.
        """
        return self._run(steps.batch(list(questions), self._patience()))

    def get(self, request_id: str) -> Request:
        """Answer a request as it is now."""
        return self._call(calls.look(request_id), steps.request)

    def wait(self, request_id: str, timeout_s: float = 60.0) -> Request:
        """Answer a request once it has ended: completed, failed or cancelled.

        Raises:
            WaitTimeoutError: it had not ended within ``timeout_s``. A gateway that does not answer at all is given the
                client's own timeout on top of it.
        """
        return self._run(steps.wait(request_id, timeout_s, self._patience(timeout_s)))

    def predict(
        self, model: str, *, timeout_s: float = 60.0, idempotency_key: str | None = None, **options: Unpack[Options]
    ) -> Request:
        """Ask a model, and wait for its prediction; the arguments are those of `submit`.

        Raises:
            RequestFailedError: it has failed or was cancelled.
            WaitTimeoutError: there was none within ``timeout_s``. The request goes on; the error has its id.
            ValueError: there is no text and no image, or both.
        """
        question = Question(model=model, **options)
        return self._run(steps.predict(question, timeout_s, idempotency_key, self._patience(timeout_s)))

    def stream(self, request_id: str, timeout_s: float = 300.0) -> Iterator[Request]:
        """Yield a request as it is now, and again as it has ended; connects again where a stream breaks.

        Raises:
            WaitTimeoutError: it had not ended within ``timeout_s``, which is looked at when the gateway ends a stream,
                after its WAIT_MAX_S.
        """
        watch = Watch(request_id, timeout_s, self._patience(timeout_s))
        for call in watch.connections():
            time.sleep(call.after_s)
            try:
                with connection.translated(self._http.base_url):
                    yield from self._news(call, watch)
            except UnreachableError as error:
                watch.broke(error)

    def list(
        self, *, model: str | None = None, state: State | None = None, after: str | None = None, limit: int = 50
    ) -> Page:
        """List requests, newest first, 200 at most; ``after`` is what the page before has."""
        return self._call(calls.search(model, state, after, limit), steps.page)

    def cancel(self, request_id: str) -> Request:
        """Cancel a request that has not ended, or remove one that has; answers it as it was before.

        The result of a cancelled request is dropped, though it may be computed. This is never tried again on its own
        when nobody knows whether it was done.
        """
        return self._call(calls.cancel(request_id), steps.request)

    def models(self) -> Sequence[Model]:
        """Name the models, and say how they are."""
        return self._call(calls.models(), steps.models)

    def close(self) -> None:
        """Close the connections; safe twice."""
        self._http.close()

    def __enter__(self) -> Self:
        """Answer itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    def _patience(self, for_s: float | None = None) -> Patience:
        return Patience.lasting(self._retry_for_s if for_s is None else for_s)

    def _call(self, call: Call, read: steps.Reader[Read]) -> Read:
        return self._run(steps.call(call, self._patience(), read))

    def _run(self, made: Steps[Read]) -> Read:
        try:
            call = next(made)
            while True:
                time.sleep(call.after_s)
                try:
                    answer = self._made(call)
                except UnreachableError as error:
                    call = made.throw(error)
                else:
                    call = made.send(answer)
        except StopIteration as end:
            result: Read = end.value
            return result

    def _made(self, call: Call) -> Answer:
        with connection.translated(self._http.base_url):
            return connection.answer(self._http.request(**connection.request(call, self._timeout_s)))

    def _news(self, call: Call, watch: Watch) -> Iterator[Request]:
        with self._http.stream(**connection.request(call, self._timeout_s)) as response:
            if response.status_code != httpx2.codes.OK:
                response.read()
                watch.refused(connection.answer(response))
                return
            for event in httpx2.EventSource(response):
                if (news := watch.news(event.data)) is not None:
                    yield news
