"""Follows a request over its stream of events, through broken connections and streams that end early: pure."""

from collections.abc import Iterator
from typing import Final

from velox.client import calls, reading
from velox.client.calls import Call
from velox.client.errors import BusyError, UnreachableError, WaitTimeoutError
from velox.client.reading import Answer
from velox.client.steps import Patience
from velox.client.values import Request
from velox.core.states import State

QUIET_S: Final = 45.0
"""A stream that says nothing for longer is broken: a gateway says every 15 s that it is there."""


class Watch:
    """Says what to connect to next, and which of what comes is news."""

    def __init__(self, request_id: str, timeout_s: float, patience: Patience) -> None:
        """Know nothing of the request yet."""
        self._id = request_id
        self._timeout_s = timeout_s
        self._patience = patience
        self._state: State | None = None
        self._pause_s = 0.0
        self._asked_s: float | None = None
        self._has_ended = False

    def connections(self) -> Iterator[Call]:
        """Yield the call that opens the stream, again each time it ends too early.

        Raises:
            WaitTimeoutError: the time is over, and the request has not ended.
        """
        while not self._has_ended:
            if self._patience.left_s <= self._pause_s:
                raise WaitTimeoutError(self._id, self._timeout_s)
            opens = calls.events(self._id)
            yield Call(opens.method, opens.path, headers=opens.headers, longer_s=QUIET_S, after_s=self._pause_s)
            if not self._has_ended:
                pause_s = self._patience.pause_s(self._asked_s)
                self._pause_s = self._patience.left_s if pause_s is None else pause_s
                self._asked_s = None

    def news(self, data: str) -> Request | None:
        """Read an event; None when it says what is known."""
        found = reading.parsed(data, reading.request)
        self._patience.succeeded()
        if found.state is self._state:
            return None
        self._state, self._has_ended = found.state, found.has_ended
        return found

    def refused(self, answer: Answer) -> None:
        """Take it that there is no stream now.

        Raises:
            GatewayError: nor will there be one.
        """
        problem = reading.problem(answer)
        if not isinstance(problem, BusyError) or (problem.retry_after_s or 0) > self._patience.left_s:
            raise problem
        self._asked_s = problem.retry_after_s

    def broke(self, error: UnreachableError) -> None:
        """Take it that a stream broke, or could not be opened.

        Raises:
            UnreachableError: there is no time for another.
        """
        if self._patience.left_s <= 0:
            raise error
