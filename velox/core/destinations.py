"""Which destinations of webhooks get none for now: those that are down, ask to wait, or have many under way."""

from collections import OrderedDict
from typing import Final, NamedTuple

from velox.core.ladder import BUSY, Answer

FAILURES: Final = 5
"""So many attempts in a row that do not get through, and a destination is left alone."""
FIRST_S: Final = 1.0
MOST_S: Final = 300.0
"""The longest that one is left alone for without having asked for it."""
CROWDED_S: Final = 0.25
"""After so long there may be room again for one more to the same destination."""
MOST_KNOWN: Final = 10_000
"""Of more, those are forgotten that have been heard of least lately."""


class Held(NamedTuple):
    """Why an attempt cannot begin now."""

    until: float
    """When to ask again."""
    is_crowded: bool
    """Nothing is wrong with its destination, but that it has many attempts under way."""


class _Destination:
    """What is known of one."""

    __slots__ = ("failures", "is_trying", "open_until", "under_way", "wait_s")

    def __init__(self) -> None:
        self.failures = 0
        self.open_until = 0.0
        self.wait_s = FIRST_S
        self.under_way = 0
        self.is_trying = False
        """Its circuit has just closed: one attempt finds out whether it may stay so."""


class Destinations:
    """The circuit of each destination, in memory. Times are seconds of any one clock. Pure; not thread-safe.

    A circuit opens when a destination answers that it is busy, or when ``FAILURES`` attempts in a row do not get
    through. When its time is over, one attempt is let through; it closes the circuit or opens it for twice as long.
    """

    def __init__(self, *, most_each: int) -> None:
        """Let at most ``most_each`` attempts be under way to one destination, so that a slow one leaves room."""
        self._most_each = most_each
        self._known: OrderedDict[str, _Destination] = OrderedDict()

    def begin(self, name: str, now: float) -> Held | None:
        """Begin an attempt, which has to end by ``end``; else answer why not."""
        each = self._find(name)
        if now < each.open_until:
            return Held(each.open_until, is_crowded=False)
        if each.is_trying:
            return Held(now + FIRST_S, is_crowded=False)
        if each.under_way >= self._most_each:
            return Held(now + CROWDED_S, is_crowded=True)
        each.is_trying = each.open_until > 0
        each.under_way += 1
        return None

    def end(self, name: str, answer: Answer | None, now: float) -> bool:
        """End an attempt with its answer, None when it was broken off; say whether the circuit opens by it."""
        each = self._find(name)
        each.under_way -= 1
        was_trying, each.is_trying = each.is_trying, False
        if answer is None:
            return False
        if not answer.is_outage:
            each.failures, each.wait_s, each.open_until = 0, FIRST_S, 0.0
            return False
        each.failures += 1
        if not (answer.status in BUSY or was_trying or each.failures >= FAILURES):
            return False
        is_new = now >= each.open_until
        if is_new:
            each.open_until = now + each.wait_s
            each.wait_s = min(MOST_S, each.wait_s * 2)
        each.open_until = max(each.open_until, now + (answer.retry_after_s or 0.0))
        return is_new

    def open(self, now: float) -> int:
        """Count the destinations that get none now."""
        return sum(now < each.open_until for each in self._known.values())

    def _find(self, name: str) -> _Destination:
        each = self._known.get(name)
        if each is None:
            each = self._known[name] = _Destination()
        self._known.move_to_end(name)
        if len(self._known) > MOST_KNOWN:
            oldest = next((known for known, found in self._known.items() if not found.under_way), None)
            if oldest is not None and oldest != name:
                del self._known[oldest]
        return each
