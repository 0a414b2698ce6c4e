"""The topics that a pattern matches, looked for again and again: new ones are found within seconds."""

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from velox.core.seldom import Seldom
from velox.core.subscription import Subscription

log = logging.getLogger(__name__)

LOOK_EVERY_S: Final = 2.0
_ANSWER_S: Final = 10.0
_TELL_EVERY_S: Final = 60.0
_NAMED: Final = 5


class Matching:
    r"""Asks for all topics in the background. Used by one thread, the one that polls Kafka.

    The driver has patterns of its own, but reads them otherwise than Python does (it takes no ``\d``); here a pattern
    means the same to the consumer as to every command.
    """

    def __init__(
        self, subscription: Subscription, admin: AdminClient, *, clock: Callable[[], float] = monotonic
    ) -> None:
        """Know of no topics yet."""
        self.topics: tuple[str, ...] = ()
        """Those that matched the last time."""
        self._subscription = subscription
        self._admin = admin
        self._clock = clock
        self._asked_at: float | None = None
        self._is_asking = False
        self._found: deque[tuple[str, ...]] = deque()
        self._seldom = Seldom(_TELL_EVERY_S, clock=clock)

    def start(self, topics: tuple[str, ...]) -> None:
        """Take those that there are when the consumer starts."""
        self.topics = topics
        log.info("KAFKA_TOPIC=%s matches %s", self._subscription, _some(topics))

    def has_changed(self) -> bool:
        """Say whether ``topics`` are others than at the last call, and ask again when it is time to; never blocks."""
        before = self.topics
        while self._found:
            self.topics = self._found.popleft()
        now = self._clock()
        if not self._is_asking and (self._asked_at is None or now - self._asked_at >= LOOK_EVERY_S):
            self._is_asking, self._asked_at = True, now
            threading.Thread(target=self._ask, name="topics", daemon=True).start()
        if not self.topics and self._seldom.is_due("none"):
            log.warning("No topic matches KAFKA_TOPIC=%s; one is read as soon as it is there", self._subscription)
        if self.topics == before:
            return False
        self._tell(before)
        return True

    def _tell(self, before: tuple[str, ...]) -> None:
        there, were = set(self.topics), set(before)
        if new := [topic for topic in self.topics if topic not in were]:
            log.info("KAFKA_TOPIC=%s matches %s too", self._subscription, _some(new))
        if gone := [topic for topic in before if topic not in there]:
            log.warning("KAFKA_TOPIC=%s: %s gone from Kafka", self._subscription, _some(gone))

    def _ask(self) -> None:
        try:
            self._found.append(self._subscription.among(self._admin.list_topics(timeout=_ANSWER_S).topics))
        except KafkaException as error:
            log.debug("Kafka does not say which topics there are: %s", error.args[0].str())
        finally:
            self._is_asking = False


def _some(topics: Sequence[str]) -> str:
    more = f" and {len(topics) - _NAMED} more" if len(topics) > _NAMED else ""
    return (", ".join(topics[:_NAMED]) or "no topic") + more
