"""What many tasks ask at once is one call."""

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from velox.errors import StoreUnavailableError
from velox.requests.grouping import Grouping


class Calls:
    """Doubles numbers, when it may."""

    def __init__(self) -> None:
        self.made: list[list[int]] = []
        self.may_end = threading.Event()
        self.may_end.set()
        self.failure: Exception | None = None

    def double(self, numbers: list[int]) -> Sequence[int]:
        self.made.append(numbers)
        assert self.may_end.wait(30)
        if self.failure is not None:
            raise self.failure
        return [2 * number for number in numbers]


@pytest.fixture
def calls() -> Calls:
    return Calls()


async def asked_while_busy(calls: Calls, grouping: Grouping[int, int], count: int) -> list[int | BaseException]:
    """Ask once, and ``count`` times more while that is under way."""
    calls.may_end.clear()
    first = asyncio.ensure_future(grouping.ask(0))
    while not calls.made:
        await asyncio.sleep(0)
    others = [asyncio.ensure_future(grouping.ask(number)) for number in range(1, count + 1)]
    await asyncio.sleep(0)
    calls.may_end.set()
    return await asyncio.gather(first, *others, return_exceptions=True)


def test_what_is_asked_while_a_call_is_under_way_is_the_next_call(calls: Calls) -> None:
    with ThreadPoolExecutor(1) as executor:
        answers = asyncio.run(asked_while_busy(calls, Grouping(calls.double, executor=executor), 50))
    assert answers == [2 * number for number in range(51)]
    assert calls.made == [[0], list(range(1, 51))]


def test_a_call_is_about_no_more_than_it_may(calls: Calls) -> None:
    with ThreadPoolExecutor(1) as executor:
        grouping = Grouping(calls.double, executor=executor, most_together=20)
        answers = asyncio.run(asked_while_busy(calls, grouping, 50))
    assert answers == [2 * number for number in range(51)]
    assert [len(made) for made in calls.made] == [1, 20, 20, 10]


def test_a_call_that_fails_fails_for_all_that_it_is_about_and_for_nobody_else(calls: Calls) -> None:
    async def twice(grouping: Grouping[int, int]) -> list[int | BaseException]:
        calls.failure = StoreUnavailableError("away")
        failed = await asyncio.gather(grouping.ask(1), grouping.ask(2), return_exceptions=True)
        calls.failure = None
        return [*failed, await grouping.ask(3)]

    with ThreadPoolExecutor(1) as executor:
        first, second, third = asyncio.run(twice(Grouping(calls.double, executor=executor)))
    assert isinstance(first, StoreUnavailableError)
    assert isinstance(second, StoreUnavailableError)
    assert third == 6


def test_who_no_longer_waits_takes_nothing_from_the_others(calls: Calls) -> None:
    async def once(grouping: Grouping[int, int]) -> int:
        calls.may_end.clear()
        gone, staying = asyncio.ensure_future(grouping.ask(1)), asyncio.ensure_future(grouping.ask(2))
        while not calls.made:
            await asyncio.sleep(0)
        gone.cancel()
        calls.may_end.set()
        return await staying

    with ThreadPoolExecutor(1) as executor:
        assert asyncio.run(once(Grouping(calls.double, executor=executor))) == 4


def test_too_many_who_wait_are_told_so(calls: Calls) -> None:
    with ThreadPoolExecutor(1) as executor:
        grouping = Grouping(calls.double, executor=executor, most_waiting=10)
        answers = asyncio.run(asked_while_busy(calls, grouping, 12))
    refused = [answer for answer in answers if isinstance(answer, StoreUnavailableError)]
    assert len(refused) == 2
    assert "wait for the store already" in str(refused[0])
