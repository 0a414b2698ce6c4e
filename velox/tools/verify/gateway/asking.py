"""Asks the gateway for the numbered texts, as its clients do, and knows what it has accepted."""

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Final

from velox.client import Client, ClientError
from velox.core.deadline import Deadline
from velox.core.schedule import Schedule
from velox.errors import BrokerUnavailableError
from velox.records import Partition
from velox.tools.verify.gateway.questions import Questions
from velox.tools.verify.places import Places
from velox.tools.verify.premises import REQUESTS_MODEL

RETRY_S: Final = 120.0
"""A client gives up what has not been accepted by then."""
_CLIENTS: Final = 32
_AHEAD: Final = 2 * _CLIENTS
_SLICE_S: Final = 0.05
_LOOK_S: Final = 0.1

Ends = Callable[[], dict[Partition, int]]
"""Asks for the offset after the last record, per partition.

Raises:
    BrokerUnavailableError: nobody says.
"""


class Asking:
    """One run's requests, in order of their numbers, many at a time. Used by one thread; the clients have their own.

    It has the face of the load that goes to Kafka directly; what it counts as acknowledged is what was accepted.
    """

    def __init__(self, url: str, questions: Questions, ends: Ends, *, rate: float, webhook_url: str | None) -> None:
        """Ask at this address; results go to ``webhook_url`` too, if there is one."""
        self.records = questions
        self.published = 0
        self.acknowledged = Places()
        self.ends: dict[Partition, int] = {}
        """The offset after the last record, per partition."""
        self.refused: dict[int, str] = {}
        """What the gateway, or the client, said last of each request that it did not accept."""
        logging.getLogger("httpx2").setLevel(logging.WARNING)  # it would tell of each request
        self._webhook_url = webhook_url
        self._ask_ends = ends
        self._are_ends_old = False
        self._look = Deadline(0)
        self._schedule = Schedule(1 / rate if rate else 0)
        self._client = Client(url, timeout_s=10, retry_for_s=RETRY_S)
        self._threads = ThreadPoolExecutor(_CLIENTS, thread_name_prefix="client")
        self._answers: SimpleQueue[tuple[int, str | None]] = SimpleQueue()

    @property
    def publisher(self) -> "Asking":
        """Answer what has to be polled: itself."""
        return self

    @property
    def waiting(self) -> int:
        """Count the requests without an answer; one more while nobody has said where the topic ends after the last."""
        return self._on_their_way + self._are_ends_old

    @property
    def delivered(self) -> int:
        """Count those accepted."""
        return len(self.acknowledged)

    @property
    def failed(self) -> int:
        """Count those refused."""
        return len(self.refused)

    @property
    def _on_their_way(self) -> int:
        return self.published - self.delivered - self.failed

    def publish(self, until: int) -> None:
        """Send what is due, for a short time, up to and without the number ``until``."""
        end_at = monotonic() + _SLICE_S
        while self.published < until and self._on_their_way < _AHEAD and monotonic() < end_at:
            if self._schedule.due_in_s():
                break
            number = self.published
            self.published += 1
            self._threads.submit(self._ask, number, self.records.ask(number))
            self._schedule.advance()

    def poll(self, timeout_s: float) -> None:
        """Wait for an answer, take all that are here, and ask now and then where the topic ends."""
        with suppress(Empty):
            self._take(self._answers.get(timeout=timeout_s))
            while True:
                self._take(self._answers.get_nowait())
        if self._are_ends_old and self._look.has_passed():
            self._look = Deadline(_LOOK_S)
            with suppress(BrokerUnavailableError):
                self.ends = self._ask_ends()
                self._are_ends_old = bool(self._on_their_way)

    def close(self) -> None:
        """End the clients; what has not been answered is given up."""
        self._threads.shutdown(cancel_futures=True, wait=False)
        self._client.close()

    def _ask(self, number: int, text: str) -> None:
        """Ask until it is accepted: with the same id each time, which makes it one request."""
        try:
            self._client.submit(REQUESTS_MODEL, text=text, id=self.records.id(number), webhook_url=self._webhook_url)
        except (ClientError, RuntimeError) as error:  # of a client that is closed
            self._answers.put((number, str(error)))
        else:
            self._answers.put((number, None))

    def _take(self, answer: tuple[int, str | None]) -> None:
        number, refusal = answer
        self._are_ends_old = True
        if refusal is None:
            self.acknowledged.accept(number)
        else:
            self.refused[number] = refusal
