"""What clients find when all is done: the row of each request that was accepted, and what was delivered. Pure."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Final

from velox.core.states import FINAL, State
from velox.requests import Request
from velox.tools.verify.gateway.questions import Questions
from velox.tools.verify.gateway.receiver import Taken
from velox.tools.verify.ledger import many, some
from velox.tools.verify.numbered import STORED
from velox.tools.verify.places import Places

Look = Callable[[Sequence[str]], Mapping[str, Request]]
"""Finds requests by their ids."""
_AT_ONCE: Final = 500


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
    questions: Questions, accepted: Places, published: int, taken: Mapping[str, Sequence[Taken]]
) -> list[str]:
    """Say which results were not delivered, or once otherwise than they are, or under ids that are not their own."""
    missing, otherwise, several = [], [], []
    requests_of: defaultdict[str, set[str]] = defaultdict(set)
    for identity, deliveries in taken.items():
        for each in deliveries:
            requests_of[each.webhook_id].add(identity)
    for number in (n for n in range(published) if n in accepted):
        identity, due = questions.id(number), expected(questions, number)
        deliveries = taken.get(identity, ())
        ids = {each.webhook_id for each in deliveries}
        if not deliveries:
            missing.append(identity)
        if wrong := [each.said for each in deliveries if each.said != due]:
            otherwise.append(f"{identity} ({wrong[0]}, not {due})")
        if len(ids) > 1 or any(len(requests_of[each]) > 1 for each in ids):
            several.append(identity)
    return [
        *_said(missing, "not delivered"),
        *_said(otherwise, "delivered wrongly"),
        *_said(several, "delivered under several webhook-ids, or under that of another"),
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
    return [f"{many(len(ids), 'request')} {what}: {some(ids)}"] if ids else []
