"""From a client's question to a record in Kafka: enter the row, produce, wait for the broker's answer."""

import asyncio
import hashlib
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from http import HTTPStatus
from time import perf_counter
from typing import Final

from velox import failpoints
from velox.core.envelope import CHECKSUM_HEADER, checksum
from velox.core.ids import time_ordered_uuid
from velox.core.states import State
from velox.errors import BadRecordError, BrokerUnavailableError, StoreUnavailableError, VeloxError
from velox.gateway import payloads, tracing
from velox.gateway.models import ServedModel
from velox.gateway.pressure import Pressure
from velox.gateway.problems import Problem, unprocessable
from velox.gateway.watching import timed
from velox.kafka.asking import Asker
from velox.logs import bound
from velox.metrics.gateway import GatewayMetrics
from velox.records import DEADLINE_HEADER, ID_HEADER, VERSION_HEADER, Headers
from velox.requests.grouping import Grouping
from velox.requests.rows import NOBODY, Entered, NewRequest, Request, WebhookForm
from velox.requests.store import RequestStore

log = logging.getLogger(__name__)

NOT_ACCEPTED: Final = "not_accepted"
"""Why a request failed whose record Kafka did not take."""
_RETRY_AFTER_S: Final = 10
"""For a model that has to be mended first."""
_TOGETHER: Final = 1000
"""Rows that are entered at once: a whole batch of a client."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a client asks, checked."""

    model: ServedModel
    payload: bytes
    owner: str = NOBODY
    id: str = ""
    """The client's own; empty = one is made."""
    version: str = ""
    """Of the model; empty = whichever answers."""
    deadline: float | None = None
    """Unix seconds after which nobody needs the answer."""
    idempotency: str | None = None
    webhook_url: str | None = None
    webhook_form: WebhookForm = "v1"

    def fingerprint(self) -> str:
        """Sum it up: the same question has the same. A deadline does not make it another."""
        parts = (self.model.name, self.version, self.webhook_url or "", self.webhook_form)
        digest = hashlib.sha256("\0".join(parts).encode())
        digest.update(b"\0" + self.payload)
        return digest.hexdigest()


class Submitting:
    """Accepts questions. For one event loop; the store is asked on threads of the executor."""

    def __init__(
        self,
        store: RequestStore,
        asker: Asker,
        pressure: Pressure,
        metrics: GatewayMetrics,
        *,
        executor: Executor,
        result_ttl_s: float,
    ) -> None:
        """Put it together; nothing is asked yet."""
        self._store = store
        self._asker = asker
        self._pressure = pressure
        self._metrics = metrics
        self._executor = executor
        self._ttl_s = result_ttl_s
        enter: Callable[[list[NewRequest]], Sequence[Entered]] = timed(metrics, "enter", store.enter)
        self._rows = Grouping(enter, executor=executor, most_together=_TOGETHER)
        self._refusals = Grouping(self._refuse, executor=executor, most_together=_TOGETHER)

    async def submit(self, question: Question) -> Request:
        """Enter a question and have Kafka take it; answer its row.

        The same question again, by its id or its idempotency key, is answered as the first was: when there is no
        result yet, its record is sent again, under the same id.

        Raises:
            Problem: 429: too many are pending; 422: the id or the key belongs to another question; 503: the model
                cannot be loaded where it runs.
            BadRecordError: the record is too large for Kafka.
            BrokerUnavailableError: Kafka has not taken it; its row is failed.
            StoreUnavailableError: nothing was accepted.
        """
        if question.model.is_failing:
            why = f"{question.model.name} cannot be loaded at present, and /v1/models says why; nothing was accepted"
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, why, retry_after_s=_RETRY_AFTER_S)
        self._pressure.admit(len(question.payload))
        now = time.time()
        request_id = question.id or str(time_ordered_uuid())
        new = NewRequest(
            id=request_id,
            model=question.model.name,
            owner=question.owner,
            version=question.version,
            fingerprint=question.fingerprint(),
            created_at=now,
            expires_at=now + self._ttl_s,
            deadline=question.deadline,
            idempotency=question.idempotency,
            webhook_url=question.webhook_url,
            webhook_form=question.webhook_form,
            trace=tracing.told() if question.webhook_url else "",
        )
        with bound(request_id=request_id):
            started = perf_counter()
            what, row = await self._rows.ask(new)
            self._metrics.accept.labels("enter").observe(perf_counter() - started)
            if what == "conflict":
                raise _conflict(question, request_id)
            failpoints.reach("after_enter")
            if row.state is State.PENDING:
                await self._produce(question, row)
                failpoints.reach("after_ack")
            return row

    async def submit_all(self, questions: Sequence[Question]) -> list[Request | VeloxError | Problem]:
        """Submit many at once; answer, in their order, the row of each or what became of it instead."""
        answers = await asyncio.gather(*map(self.submit, questions), return_exceptions=True)
        found: list[Request | VeloxError | Problem] = []
        for answer in answers:
            if not isinstance(answer, Request | VeloxError | Problem):
                raise answer
            found.append(answer)
        return found

    async def _produce(self, question: Question, row: Request) -> None:
        value = payloads.value(question.model, row.id, question.payload, row.created_at)
        started = perf_counter()
        try:
            with tracing.publishing(question.model.topic, row.id):
                await self._ask(question.model.topic, row, value)
        except (BrokerUnavailableError, BadRecordError) as error:
            self._metrics.requests.labels(question.model.name, NOT_ACCEPTED).inc()
            await self._refused(row.id, str(error))
            raise
        self._metrics.accept.labels("produce").observe(perf_counter() - started)
        self._metrics.requests.labels(question.model.name, "accepted").inc()

    async def _ask(self, topic: str, row: Request, value: bytes) -> None:
        loop = asyncio.get_running_loop()
        acknowledged: asyncio.Future[None] = loop.create_future()

        def settle(error: BrokerUnavailableError | None) -> None:
            if acknowledged.done():
                return
            if error is None:
                acknowledged.set_result(None)
            else:
                acknowledged.set_exception(error)

        def answered(error: BrokerUnavailableError | None) -> None:
            loop.call_soon_threadsafe(settle, error)

        headers = _headers(row, value)
        self._asker.ask(topic, key=row.id.encode(), value=value, headers=headers, answered=answered)
        await acknowledged

    async def _refused(self, request_id: str, why: str) -> None:
        log.warning("Kafka did not take the record of request %s: %s", request_id, why)
        try:
            await self._refusals.ask((request_id, why))
        except StoreUnavailableError as error:  # the row stays pending, and goes with its time
            log.warning("Request %s stays pending though nothing will answer it: %s", request_id, error)

    def _refuse(self, refused: Sequence[tuple[str, str]]) -> Sequence[None]:
        by_reason: dict[str, list[str]] = {}
        for request_id, why in refused:
            by_reason.setdefault(why, []).append(request_id)
        for why, ids in by_reason.items():
            self._store.refuse(ids, NOT_ACCEPTED, why, time.time())
        return [None] * len(refused)


def _headers(row: Request, value: bytes) -> Headers:
    headers = [(ID_HEADER, row.id.encode()), (CHECKSUM_HEADER, checksum(value))]
    if row.deadline is not None:
        headers.append((DEADLINE_HEADER, b"%d" % (row.deadline * 1000)))
    if row.version:
        headers.append((VERSION_HEADER, row.version.encode()))
    return [*headers, *tracing.current()]


def _conflict(question: Question, request_id: str) -> Problem:
    if question.idempotency is not None:
        return unprocessable("this Idempotency-Key, or this id, was used for another question; take a new one")
    return unprocessable(
        f"the id {request_id} was used for another question; take a new one, or send none", "request_id"
    )
