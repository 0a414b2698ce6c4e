"""What clients find when all is done: the row of each request that was accepted, and what was delivered. Pure."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Final

from velox.core.states import FINAL, State
from velox.requests import Request
from velox.tools.verify.gateway.questions import Questions
from velox.tools.verify.numbered import STORED
from velox.tools.verify.places import Places

Look = Callable[[Sequence[str]], Mapping[str, Request]]
"""Finds requests by their ids."""
_AT_ONCE: Final = 500
_NAMED: Final = 5


def problems_of_rows(questions: Questions, accepted: Places, published: int, look: Look) -> list[str]:
    """Say which of the accepted requests nobody knows any more, which have not ended, and which ended wrongly."""
    unknown, unfinished, otherwise = [], [], []
    for numbers in _portions(n for n in range(published) if n in accepted):
        rows = look([questions.id(number) for number in numbers])
        for number in numbers:
            identity = questions.id(number)
            row = rows.get(identity)
            if row is None:
                unknown.append(identity)
            elif row.state not in FINAL:
                unfinished.append(identity)
            elif became(row) != expected(questions, number):
                otherwise.append(f"{identity} ({became(row)}, not {expected(questions, number)})")
    return [
        *_said(unknown, "accepted and unknown"),
        *_said(unfinished, "accepted and without an end"),
        *_said(otherwise, "ended wrongly"),
    ]


def problems_of_webhooks(
    questions: Questions, accepted: Places, published: int, said: Mapping[str, str], taken: Counter[str]
) -> list[str]:
    """Say which results were not delivered, or otherwise than they are, or under several ids."""
    numbers = [number for number in range(published) if number in accepted]
    missing = [questions.id(number) for number in numbers if questions.id(number) not in said]
    otherwise = [
        f"{identity} ({said[identity]}, not {expected(questions, number)})"
        for number in numbers
        if (identity := questions.id(number)) in said and said[identity] != expected(questions, number)
    ]
    extra = len(taken) - len(said)
    return [
        *_said(missing, "not delivered"),
        *_said(otherwise, "delivered wrongly"),
        *([f"{extra} results were delivered under more than one webhook-id"] if extra else []),
    ]


def expected(questions: Questions, number: int) -> str:
    """Say how a request has to end: with its label, or the reason of its failure."""
    due = questions.due(number)
    return str(questions.label(number)) if due == STORED else due


def became(row: Request) -> str:
    """Say how a request ended, in the same words."""
    return row.label or "" if row.state is State.COMPLETED else row.error_reason or row.state.value


def _portions(numbers: Iterator[int]) -> Iterator[list[int]]:
    while some := list(islice(numbers, _AT_ONCE)):
        yield some


def _said(ids: Sequence[str], what: str) -> list[str]:
    if not ids:
        return []
    more = f" and {len(ids) - _NAMED} more" if len(ids) > _NAMED else ""
    return [f"{len(ids)} {'request' if len(ids) == 1 else 'requests'} {what}: {', '.join(ids[:_NAMED])}{more}"]
