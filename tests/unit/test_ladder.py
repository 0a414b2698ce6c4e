"""What follows an attempt to deliver a webhook."""

import random

import pytest

from velox.core.ladder import BUSY, MAX_RETRY_AFTER_S, Answer, Cause, Next, follow, retry_after_s
from velox.core.states import WebhookState

LADDER = (0.0, 5.0, 300.0)
NOW = 1_700_000_000.0


def draws(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311 - spreads retries, guards no secret


def after(attempt: int, answer: Answer) -> Next:
    return follow(attempt, answer, LADDER, now=NOW, rng=draws(1))


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_only_2xx_has_delivered(status: int) -> None:
    assert after(1, Answer(status)) == Next(WebhookState.DELIVERED)


@pytest.mark.parametrize("status", [301, 302, 307, 308, 400, 401, 404, 409, 500, 599, 304])
def test_every_other_answer_is_tried_again(status: int) -> None:
    assert after(1, Answer(status, Cause.STATUS)).state is WebhookState.DUE


def test_410_is_the_end() -> None:
    assert after(1, Answer(410, Cause.STATUS)) == Next(WebhookState.GONE)


@pytest.mark.parametrize("cause", [Cause.TIMEOUT, Cause.UNREACHABLE, Cause.REFUSED])
def test_no_answer_is_tried_again(cause: Cause) -> None:
    assert after(1, Answer(cause=cause)).state is WebhookState.DUE


def test_the_waits_are_those_of_the_ladder_a_fifth_more_or_less() -> None:
    for attempt, rung in ((1, 5.0), (2, 300.0)):
        waits = {
            (follow(attempt, Answer(500), LADDER, now=NOW, rng=draws(seed)).due_at or 0) - NOW for seed in range(200)
        }
        assert rung * 0.8 <= min(waits) < rung * 0.82
        assert rung * 1.18 < max(waits) <= rung * 1.2


def test_after_the_last_rung_it_is_given_up() -> None:
    assert after(3, Answer(500)) == Next(WebhookState.EXHAUSTED)
    assert after(3, Answer(204)) == Next(WebhookState.DELIVERED)
    assert after(4, Answer(cause=Cause.TIMEOUT)) == Next(WebhookState.EXHAUSTED)


@pytest.mark.parametrize("status", sorted(BUSY))
def test_who_is_busy_is_left_alone_for_as_long_as_it_asks(status: int) -> None:
    assert after(1, Answer(status, Cause.STATUS, retry_after_s=120.0)).due_at == NOW + 120
    short = after(2, Answer(status, Cause.STATUS, retry_after_s=1.0)).due_at
    assert short is not None
    assert short >= NOW + 300 * 0.8


def test_who_is_not_busy_cannot_ask_for_time() -> None:
    due_at = after(1, Answer(500, Cause.STATUS, retry_after_s=3600.0)).due_at
    assert due_at is not None
    assert due_at <= NOW + 6


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120.0),
        (" 0 ", 0.0),
        ("Tue, 14 Nov 2023 22:14:20 GMT", 60.0),
        ("Tue, 14 Nov 2023 22:14:20", 60.0),
        ("Tue, 14 Nov 2023 22:00:00 GMT", 0.0),
        ("999999999999999999999", MAX_RETRY_AFTER_S),
        ("Fri, 31 Dec 9999 23:59:59 GMT", MAX_RETRY_AFTER_S),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("", None),
        ("٣", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(text: str, seconds: float | None) -> None:
    assert retry_after_s(text, NOW) == seconds
