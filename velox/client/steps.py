"""What the client does, without doing it: generators that yield calls and are sent their answers.

Both clients run the same ones, and so do tests, with a clock of theirs. A call that got no answer is told by throwing
`UnreachableError` into the generator.
"""

import random
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from http import HTTPStatus
from time import monotonic
from typing import Final, Self, TypeVar

from velox.client import calls, reading
from velox.client.calls import Call
from velox.client.errors import RequestFailedError, UnreachableError, UnreadableError, WaitTimeoutError
from velox.client.reading import Answer
from velox.client.values import Accepted, Model, Page, Question, Refused, Request
from velox.core.states import State

Read = TypeVar("Read")
Reader = Callable[[Answer], Read]
Steps = Generator[Call, Answer, Read]

WAIT_S: Final = 20.0
"""How long one call waits: less than what proxies between take for dead."""
_FIRST_S, _MOST_S = 0.2, 10.0
_BUSY: Final = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)


@dataclass(slots=True)
class Patience:
    """How long is tried again, and after which pauses: what the gateway asks for, or twice as long each time."""

    until: float
    """On the clock: nothing is tried again after that."""
    clock: Callable[[], float] = monotonic
    jitter: Callable[[], float] = random.random
    """0 to 1: clients that failed together are not to come back together."""
    attempt: int = 0

    @classmethod
    def lasting(cls, for_s: float) -> Self:
        """Begin now."""
        return cls(monotonic() + for_s)

    @property
    def left_s(self) -> float:
        """How much time there is."""
        return max(0.0, self.until - self.clock())

    def pause_s(self, asked_s: float | None = None) -> float | None:
        """Answer how long to wait before the next attempt; None when that is after the end."""
        pause_s = min(_MOST_S, _FIRST_S * 2**self.attempt) * (0.5 + self.jitter() / 2)
        self.attempt = min(self.attempt + 1, 16)
        pause_s = max(pause_s, asked_s or 0.0)
        return pause_s if pause_s <= self.left_s else None

    def succeeded(self) -> None:
        """Begin with short pauses again."""
        self.attempt = 0


def call(made: Call, patience: Patience, read: Reader[Read]) -> Steps[Read]:
    """Make a call, again and again while there is patience, and read its answer.

    Raises:
        GatewayError: it is refused, or still busy at the end.
        UnreachableError: there was no answer to the end, or to a call that must not be made twice.
        UnreadableError: the answer is none of a gateway.
    """
    pause_s: float | None = made.after_s
    while True:
        try:
            answer = yield replace(made, after_s=pause_s or 0.0)
        except UnreachableError:
            if not made.is_repeatable or (pause_s := patience.pause_s()) is None:
                raise
            continue
        if not answer.is_refusal:
            patience.succeeded()
            return read(answer)
        problem = reading.problem(answer)
        # A 503 may come after something was done, a 429 comes before.
        may_help = answer.status == HTTPStatus.TOO_MANY_REQUESTS or (answer.status in _BUSY and made.is_repeatable)
        if not may_help or (pause_s := patience.pause_s(problem.retry_after_s)) is None:
            raise problem


def request(answer: Answer) -> Request:
    """Read a request."""
    return reading.parsed(answer.body, reading.request)


def page(answer: Answer) -> Page:
    """Read a page of requests."""
    return reading.parsed(answer.body, reading.page)


def models(answer: Answer) -> list[Model]:
    """Read the models that are served."""
    return reading.parsed(answer.body, reading.models)


def submit(question: Question, idempotency_key: str | None, patience: Patience) -> Steps[Request]:
    """Ask a model. It has an id or a key, so that asking twice is asking once."""
    calls.check(question)
    made = question if idempotency_key is not None else calls.named(question)
    return (yield from call(calls.submit(made, idempotency_key), patience, request))


def wait(request_id: str, timeout_s: float, patience: Patience) -> Steps[Request]:
    """Wait until a request has ended; whatever fails meanwhile is tried again.

    Raises:
        WaitTimeoutError: it has not, in that time.
        GatewayError: there is none of this id, or the gateway is busy to the end.
    """
    pause_s: float | None = 0.0
    while pause_s is not None:
        asked_at, wait_s = patience.clock(), min(WAIT_S, patience.left_s)
        asked = replace(calls.look(request_id, wait_s), after_s=pause_s)
        found = yield from call(asked, patience, request)
        if found.has_ended:
            return found
        # A gateway that is about to stop, or may not wait so long, answers early.
        is_early = patience.clock() - asked_at < wait_s / 2
        pause_s = patience.pause_s() if is_early else (0.0 if patience.left_s > 0 else None)
    raise WaitTimeoutError(request_id, timeout_s)


def predict(question: Question, timeout_s: float, idempotency_key: str | None, patience: Patience) -> Steps[Request]:
    """Ask, and wait for the prediction.

    Raises:
        RequestFailedError: there will be none.
    """
    made = yield from submit(question, idempotency_key, patience)
    found = made if made.has_ended else (yield from wait(made.id, timeout_s, patience))
    if found.state is not State.COMPLETED:
        raise RequestFailedError(found)
    return found


def batch(questions: Sequence[Question], patience: Patience) -> Steps[list[Accepted | Refused]]:
    """Ask much at once, in as many calls as that takes; lines that were refused because of load are sent again.

    Raises:
        GatewayError: a call is refused as a whole. What was in those before it is accepted.
    """
    for question in questions:
        calls.check(question)
    made = [calls.named(question) for question in questions]
    ids = [question.id or "" for question in made]
    became: list[Accepted | Refused] = [Refused(each, 0, "not sent") for each in ids]
    due = list(range(len(made)))
    pause_s: float | None = 0.0
    while due and pause_s is not None:
        lines = [(number, calls.line(made[number])) for number in due]
        for part in calls.parts(lines):
            sent = replace(calls.batch([text for _, text in part]), after_s=pause_s or 0.0)
            pause_s = 0.0
            answers = yield from call(sent, patience, lambda answer: answer.body.splitlines())
            if len(answers) != len(part):
                raise UnreadableError(f"{len(answers)} answers to {len(part)} lines")
            for (number, _), said in zip(part, answers, strict=True):
                became[number] = _line(said, ids[number])
        due = [number for number in due if _is_busy(became[number])]
        pause_s = patience.pause_s() if due else None
    return became


def _line(said: bytes, identity: str) -> Accepted | Refused:
    return reading.parsed(said, lambda each: reading.line(each, identity))


def _is_busy(became: Accepted | Refused) -> bool:
    return isinstance(became, Refused) and became.status in _BUSY
