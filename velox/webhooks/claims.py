"""Turns deliveries that are due into attempts, and what comes of them into rows."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from time import monotonic, time
from typing import Final, Protocol, TypeVar

from velox import failpoints, logs
from velox.core.addresses import target
from velox.core.deadline import Deadline
from velox.core.destinations import Destinations
from velox.core.ladder import Answer, Cause, follow
from velox.core.retries import backoff_s
from velox.core.seldom import Seldom
from velox.core.states import WebhookState
from velox.errors import ForbiddenAddressError, StoreUnavailableError
from velox.metrics.webhooks import WebhookMetrics
from velox.requests.rows import Claim, Due, Postponed, Request, Tried

log = logging.getLogger(__name__)
told = logs.logger(__name__)

FIRST_IDLE_S: Final = 0.05
MOST_IDLE_S: Final = 1.0
"""A delivery that becomes due waits for so long at most before it is seen."""
_COUNT_EVERY_S: Final = 5.0
_TELL_EVERY_S: Final = 60.0
_SHARE: Final = 0.75
"""Of the attempts made at the same time, one destination gets so many at most: a slow one leaves room for others."""
_LOOK_PAST_S: Final = 0.05
"""How often deliveries to a destination that has its share are put off to see what is behind them."""
_LOOK_S: Final = 0.2
_TOGETHER_S: Final = 0.01
"""Outcomes that come within so long of each other are noted together."""
Answered = TypeVar("Answered")
Post = Callable[[Claim], Awaitable[Answer]]


class Outbox(Protocol):
    """What of the store is needed here; see RequestStore. Its methods block, and raise StoreUnavailableError."""

    def claim(self, most: int, *, lease_s: float, now: float) -> Sequence[Claim]:
        """Lease deliveries that are due."""
        ...

    def tried(self, attempts: Sequence[Tried]) -> None:
        """Note what came of attempts."""
        ...

    def postpone(self, postponed: Sequence[Postponed]) -> None:
        """Give leased deliveries back without an attempt."""
        ...

    def due(self, now: float) -> Due:
        """Count what is due."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How deliveries are made."""

    ladder_s: Sequence[float]
    concurrency: int
    lease_s: float
    """Longer than an attempt can take: when it is over, another worker makes the attempt again."""
    rng: random.Random = field(default_factory=random.Random)


class Claims:
    """Claims deliveries as there is room for them, has them attempted side by side, and notes the outcomes together.

    Lives on one event loop. A delivery whose outcome cannot be noted is made again when its lease is over: at least
    once, always with the same id.
    """

    def __init__(self, outbox: Outbox, post: Post, terms: Terms, metrics: WebhookMetrics) -> None:
        """Claim from ``outbox``, attempt by ``post``."""
        self.cause: str | None = "has not asked the store yet"
        """Why nothing is delivered now; None when something would be."""
        self.turned_at = monotonic()
        """When the last turn began."""
        self._outbox = outbox
        self._post = post
        self._terms = terms
        self._metrics = metrics
        self._destinations = Destinations(most_each=max(1, int(terms.concurrency * _SHARE)))
        self._attempts: set[asyncio.Task[None]] = set()
        self._tried: list[Tried] = []
        self._postponed: list[Postponed] = []
        self._ended = 0
        """Attempts since the last turn."""
        self._crowded_until = 0.0
        self._news = asyncio.Event()
        self._seldom = Seldom(_TELL_EVERY_S)
        self._count_at = 0.0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store")
        """Its own: names are asked for on the loop's threads, and a resolver may hold all of them."""

    async def run(self, stop: asyncio.Event) -> None:
        """Turn until told to stop. While the store is down, wait, and say so."""
        idle_s, waits = FIRST_IDLE_S, backoff_s(cap_s=5.0)
        while not stop.is_set():
            try:
                has_more = await self.turn()
            except StoreUnavailableError as error:
                self.note_down(error)
                await self._pause(stop, next(waits), is_woken_by_news=False)
                continue
            if self.cause is not None:
                self._note_up()
                waits = backoff_s(cap_s=5.0)
            if not has_more:
                idle_s = FIRST_IDLE_S if self._attempts else min(MOST_IDLE_S, idle_s * 2)
                await self._pause(stop, idle_s, is_woken_by_news=True)

    async def turn(self) -> bool:
        """Note what is done, claim as much as there is room for, begin it; say whether more may be due right now.

        Raises:
            StoreUnavailableError: nothing is lost by it; turn again later.
        """
        self.turned_at = monotonic()
        self._news.clear()
        await self._note()
        if self.turned_at >= self._count_at:
            await self._count()
            self._count_at = self.turned_at + _COUNT_EVERY_S
        room = self._terms.concurrency - len(self._attempts)
        if self.turned_at < self._crowded_until:
            room = min(room, self._ended)
        self._ended = 0
        if not room:
            return False
        now = time()
        claims = await self._ask("claim", partial(self._outbox.claim, room, lease_s=self._terms.lease_s, now=now))
        crowded = sum(self._begin(claim) for claim in claims)
        if crowded:
            self._crowded_until = monotonic() + _LOOK_PAST_S
        return len(claims) == room and not crowded

    async def drain(self, deadline: Deadline, is_urgent: Callable[[], bool] = lambda: False) -> int:
        """Let attempts end, note what came of them; answer how many were broken off. Those are made again later."""
        while self._attempts and not deadline.has_passed() and not is_urgent():
            await asyncio.wait(self._attempts, timeout=min(_LOOK_S, deadline.left_s()))
        broken_off = [each for each in self._attempts if not each.done()]
        for each in broken_off:
            each.cancel()
        await asyncio.gather(*broken_off, return_exceptions=True)
        waits = backoff_s(first_s=0.05, cap_s=1.0)
        while True:
            try:
                await self._note()
            except StoreUnavailableError as error:
                left = len(self._tried)
                if deadline.has_passed() or is_urgent():
                    log.warning("%d deliveries could not be noted, and will be made again: %s", left, error)
                    return len(broken_off) + left
                await asyncio.sleep(min(next(waits), deadline.left_s()))
            else:
                return len(broken_off)

    def _begin(self, claim: Claim) -> bool:
        """Begin an attempt, or put it off; say whether that is because its destination has its share."""
        name = _destination(claim.request)
        held = self._destinations.begin(name, monotonic())
        if held is not None:
            self._postponed.append(_postponed(claim, held.until - monotonic()))
            return held.is_crowded
        attempt = asyncio.create_task(self._attempt(claim, name))
        self._attempts.add(attempt)
        attempt.add_done_callback(self._end)
        return False

    async def _attempt(self, claim: Claim, name: str) -> None:
        failpoints.reach("after_claim")
        started, at = monotonic(), time()
        answer: Answer | None = None
        try:
            answer = await self._post(claim)
        except asyncio.CancelledError:
            self._postponed.append(_postponed(claim, 0.0))
            raise
        except Exception as error:  # one delivery must not end all others
            log.exception("A webhook could not be attempted")
            answer = Answer(cause=Cause.UNREACHABLE, error=type(error).__name__)
        finally:
            if self._destinations.end(name, answer, monotonic()) and answer is not None:
                log.warning("%s gets no webhooks for now: %s", name, answer.error)
        failpoints.reach("after_post")
        seconds = monotonic() - started
        then = follow(claim.attempt, answer, self._terms.ladder_s, now=at + seconds, rng=self._terms.rng)
        identity = claim.request.id
        self._tried.append(
            Tried(identity, claim.attempt, at, then.state, then.due_at, answer.status, seconds, answer.error)
        )
        self._metrics.attempts.labels(then.state.value, answer.cause.value).inc()
        self._metrics.seconds.observe(seconds)
        if then.state in {WebhookState.GONE, WebhookState.EXHAUSTED}:
            told.warning(
                "Webhook to %s given up after %d attempts: %s", name, claim.attempt, answer.error, request_id=identity
            )
        elif answer.cause is Cause.REFUSED and self._seldom.is_due((Cause.REFUSED, name)):
            told.warning("Webhook to %s refused: %s", name, answer.error, request_id=identity)

    def _end(self, attempt: asyncio.Task[None]) -> None:
        self._attempts.discard(attempt)
        self._ended += 1
        self._news.set()

    async def _note(self) -> None:
        """Write down what came of attempts, and what is put off. What cannot be written now is kept."""
        if self._tried:
            tried, self._tried = self._tried, []
            await self._write("tried", self._outbox.tried, tried, self._tried)
        if self._postponed:
            postponed, self._postponed = self._postponed, []
            await self._write("postpone", self._outbox.postpone, postponed, self._postponed)

    async def _write(
        self, call: str, write: Callable[[list[Answered]], None], rows: list[Answered], kept: list[Answered]
    ) -> None:
        try:
            await self._ask(call, partial(write, rows))
        except StoreUnavailableError:
            kept[:0] = rows
            raise

    async def _count(self) -> None:
        now = time()
        due = await self._ask("due", partial(self._outbox.due, now))
        self._metrics.due.set(due.waiting)
        self._metrics.lag.set(0.0 if due.oldest_at is None else max(0.0, now - due.oldest_at))
        self._metrics.open_destinations.set(self._destinations.open(monotonic()))

    async def _ask(self, call: str, ask: Callable[[], Answered]) -> Answered:
        with self._metrics.store_seconds.labels(call).time():
            return await asyncio.get_running_loop().run_in_executor(self._thread, ask)

    async def _pause(self, stop: asyncio.Event, seconds: float, *, is_woken_by_news: bool) -> None:
        waits = [asyncio.create_task(each.wait()) for each in ([stop, self._news] if is_woken_by_news else [stop])]
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for each in waits:
            each.cancel()
            with suppress(asyncio.CancelledError):
                await each
        if self._news.is_set():
            await asyncio.sleep(_TOGETHER_S)

    def note_down(self, error: StoreUnavailableError) -> None:
        """Say that nothing is delivered, and why."""
        self.cause = str(error)
        self.turned_at = monotonic()
        self._metrics.store_up.set(0)
        if self._seldom.is_due(StoreUnavailableError):
            log.warning("Delivering nothing: %s", error)

    def _note_up(self) -> None:
        self.cause = None
        self._metrics.store_up.set(1)
        log.info("Delivering what is due")


def _postponed(claim: Claim, wait_s: float) -> Postponed:
    return Postponed(claim.request.id, claim.leased_until, time() + max(0.0, wait_s))


def _destination(request: Request) -> str:
    try:
        return target(request.webhook_url or "").origin
    except ForbiddenAddressError:  # as the attempt will find, and note
        return "an address that is none"
