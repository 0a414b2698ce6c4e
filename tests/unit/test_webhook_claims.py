"""What is due is attempted side by side, and what came of it is noted; whoever fails, nothing is forgotten."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from tests.requests import MemoryOutbox, make_request
from velox.core.deadline import Deadline
from velox.core.destinations import FAILURES
from velox.core.ladder import Answer, Cause
from velox.core.states import WebhookState
from velox.errors import StoreUnavailableError
from velox.metrics.webhooks import WebhookMetrics
from velox.requests import Claim, Request
from velox.webhooks.claims import Claims, Post, Terms

DOWN = Answer(cause=Cause.UNREACHABLE, error="refused")


class Receiver:
    """Answers by host; an attempt ends when the test lets it."""

    def __init__(self, **answers: Answer) -> None:
        self.answers = answers
        self.posted: list[str] = []
        self.open = asyncio.Event()
        self.open.set()

    async def __call__(self, claim: Claim) -> Answer:
        request = claim.request
        self.posted.append(request.id)
        await self.open.wait()
        host = (request.webhook_url or "").split("/")[2].partition(".")[0]
        return self.answers.get(host, Answer(204))


def to(host: str, identity: str, **changes: object) -> Request:
    return make_request(identity, webhook_url=f"http://{host}.example/hook", **changes)


def claims_of(
    outbox: MemoryOutbox, post: Post, *, concurrency: int = 8, ladder_s: tuple[float, ...] = (0, 5)
) -> Claims:
    terms = Terms(ladder_s=ladder_s, concurrency=concurrency, lease_s=30)
    return Claims(outbox, post, terms, WebhookMetrics())


def check(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(scenario())


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not is_so():
            await asyncio.sleep(0.005)


async def settle(claims: Claims) -> None:
    """Turn until nothing is under way, and all is noted."""
    await claims.turn()
    assert await claims.drain(Deadline(30)) == 0


def test_what_is_due_is_delivered_and_noted() -> None:
    async def scenario() -> None:
        outbox = MemoryOutbox(to("a", "r1"), to("b", "r2"), to("c", "r3", webhook_due_at=9e9))
        receiver = Receiver()
        await settle(claims_of(outbox, receiver))
        assert sorted(receiver.posted) == ["r1", "r2"]
        assert {each.id: each.state for each in outbox.log} == dict.fromkeys(("r1", "r2"), WebhookState.DELIVERED)
        assert [(each.attempt, each.status) for each in outbox.log] == [(1, 204), (1, 204)]
        assert outbox.rows["r1"].webhook_state is WebhookState.DELIVERED

    check(scenario)


def test_outcomes_that_come_together_are_noted_in_one_call() -> None:
    async def scenario() -> None:
        outbox = MemoryOutbox(*(to(f"h{n}", f"r{n}") for n in range(8)))
        await settle(claims_of(outbox, Receiver()))
        assert len(outbox.log) == 8
        assert outbox.calls.count("tried") == 1

    check(scenario)


def test_a_failure_is_due_again_and_the_last_one_is_the_end(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        outbox = MemoryOutbox(to("bad", "r1"), to("bad2", "r2", webhook_attempts=1), to("gone", "r3"))
        bad = Answer(500, Cause.STATUS, error="answered 500")
        await settle(claims_of(outbox, Receiver(bad=bad, bad2=bad, gone=Answer(410, Cause.STATUS))))
        states = {each.id: each.state for each in outbox.log}
        assert states == {"r1": WebhookState.DUE, "r2": WebhookState.EXHAUSTED, "r3": WebhookState.GONE}
        first = next(each for each in outbox.log if each.id == "r1")
        assert first.due_at is not None
        assert 4 <= first.due_at - first.at - first.seconds <= 6
        assert first.error == "answered 500"

    with caplog.at_level(logging.WARNING):
        check(scenario)
    assert sum("given up" in record.getMessage() for record in caplog.records) == 2


def test_no_more_are_claimed_than_there_is_room_for() -> None:
    async def scenario() -> None:
        outbox = MemoryOutbox(*(to(f"h{n}", f"r{n}") for n in range(12)))
        receiver = Receiver()
        receiver.open.clear()
        claims = claims_of(outbox, receiver, concurrency=8)
        assert await claims.turn()
        assert not await claims.turn()
        await until(lambda: len(receiver.posted) == 8)
        receiver.open.set()
        await until(lambda: not claims._attempts)
        await settle(claims)
        assert len(receiver.posted) == 12
        assert len(outbox.log) == 12

    check(scenario)


def test_a_slow_destination_leaves_room_for_others() -> None:
    async def scenario() -> None:
        outbox = MemoryOutbox(*(to("slow", f"s{n}") for n in range(20)), to("fast", "f"))
        receiver, stop = Receiver(), asyncio.Event()
        receiver.open.clear()
        claims = claims_of(outbox, receiver, concurrency=8)
        running = asyncio.create_task(claims.run(stop))
        await until(lambda: "f" in receiver.posted)
        assert sorted(receiver.posted) == ["f", *(f"s{n}" for n in range(6))]
        assert outbox.calls.count("postpone") > 0
        assert all(outbox.rows[f"s{n}"].webhook_attempts == 0 for n in range(6, 20))
        receiver.open.set()
        await until(lambda: len(outbox.log) == 21)
        stop.set()
        await running

    check(scenario)


def test_a_destination_that_has_its_share_does_not_keep_the_store_busy() -> None:
    async def scenario() -> None:
        outbox = MemoryOutbox(*(to("slow", f"s{n}") for n in range(20)))
        receiver = Receiver()
        receiver.open.clear()
        claims = claims_of(outbox, receiver, concurrency=8)
        assert not await claims.turn()
        claimed = outbox.calls.count("claim")
        assert not await claims.turn()
        assert outbox.calls.count("claim") == claimed, "nothing has ended, and it has just looked"
        receiver.open.set()
        await settle(claims)

    check(scenario)


def test_a_destination_that_is_down_costs_the_others_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        outbox = MemoryOutbox(*(to("down", f"d{n}") for n in range(FAILURES)))
        claims = claims_of(outbox, Receiver(down=DOWN), concurrency=40)
        await settle(claims)
        outbox.rows |= {each.id: each for each in (to("down", "late"), to("up", "other"))}
        await settle(claims)
        assert [each.id for each in outbox.log if each.attempt == 1][-1] == "other"
        assert "late" not in {each.id for each in outbox.log}
        late = outbox.rows["late"]
        assert late.webhook_attempts == 0
        assert late.webhook_state is WebhookState.DUE

    with caplog.at_level(logging.WARNING):
        check(scenario)
    assert [record.getMessage() for record in caplog.records if "gets no webhooks" in record.getMessage()] == [
        "http://down.example gets no webhooks for now: refused"
    ]


def test_while_the_store_is_down_outcomes_are_kept_and_noted_when_it_is_back() -> None:
    async def scenario() -> None:
        outbox = MemoryOutbox(to("a", "r1"))
        claims = claims_of(outbox, Receiver())
        await claims.turn()
        await until(lambda: not claims._attempts)
        outbox.is_down = True
        for _ in range(2):
            with pytest.raises(StoreUnavailableError):
                await claims.turn()
        outbox.is_down = False
        await claims.turn()
        assert [each.state for each in outbox.log] == [WebhookState.DELIVERED]

    check(scenario)


def test_it_says_that_the_store_is_down_and_goes_on_when_it_is_back() -> None:
    async def scenario() -> None:
        outbox, stop = MemoryOutbox(to("a", "r1")), asyncio.Event()
        outbox.is_down = True
        claims = claims_of(outbox, Receiver())
        running = asyncio.create_task(claims.run(stop))
        await until(lambda: claims.cause == "the store is down")
        outbox.is_down = False
        await until(lambda: claims.cause is None and len(outbox.log) == 1)
        stop.set()
        await running

    check(scenario)


def test_a_bug_in_one_attempt_ends_no_other() -> None:
    async def scenario() -> None:
        async def post(claim: Claim) -> Answer:
            if claim.request.id == "r1":
                raise RuntimeError("a bug")
            return Answer(200)

        outbox = MemoryOutbox(to("a", "r1"), to("b", "r2"))
        await settle(claims_of(outbox, post))
        assert {each.id: each.state for each in outbox.log} == {
            "r1": WebhookState.DUE,
            "r2": WebhookState.DELIVERED,
        }

    check(scenario)


def test_draining_lets_attempts_end_and_gives_back_those_that_take_too_long() -> None:
    async def scenario() -> None:
        outbox = MemoryOutbox(to("slow", "r1"), to("slow2", "r2"))
        receiver = Receiver()
        receiver.open.clear()
        claims = claims_of(outbox, receiver)
        await claims.turn()
        await until(lambda: len(receiver.posted) == 2)
        assert await claims.drain(Deadline(0.01)) == 2
        assert outbox.log == []
        # Both are due at once for the next worker, by the same number.
        assert [claim.attempt for claim in outbox.claim(9, lease_s=1, now=9e9)] == [1, 1]

    check(scenario)


def test_a_second_request_to_stop_ends_the_drain_at_once() -> None:
    async def scenario() -> None:
        receiver = Receiver()
        receiver.open.clear()
        claims = claims_of(MemoryOutbox(to("slow", "r1")), receiver)
        await claims.turn()
        assert await claims.drain(Deadline(600), lambda: True) == 1

    check(scenario)


def test_draining_waits_for_the_store_no_longer_than_it_may() -> None:
    async def scenario() -> None:
        outbox = MemoryOutbox(to("a", "r1"))
        claims = claims_of(outbox, Receiver())
        await claims.turn()
        outbox.is_down = True
        assert await claims.drain(Deadline(0.01)) == 1

    check(scenario)


def test_what_happens_is_counted() -> None:
    async def scenario() -> None:
        outbox = MemoryOutbox(to("a", "r1"), to("bad", "r2"), to("late", "r3", webhook_due_at=9e9))
        claims = claims_of(outbox, Receiver(bad=DOWN))
        await claims.turn()
        metrics = claims._metrics
        assert metrics.total("velox_webhooks_due") == 2
        assert metrics.total("velox_webhook_lag_seconds") > 0
        await claims.drain(Deadline(30))
        assert metrics.total("velox_webhook_attempts_total", outcome="delivered", cause="none") == 1
        assert metrics.total("velox_webhook_attempts_total", outcome="due", cause="unreachable") == 1
        assert metrics.total("velox_webhook_seconds_count") == 2

    check(scenario)
