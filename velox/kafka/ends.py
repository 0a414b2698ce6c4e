"""Where partitions end: asked of the broker in the background, also while paused."""

from collections.abc import Iterable
from concurrent.futures import Future
from typing import Any, Final

from confluent_kafka import IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]  # exported at run time only

from velox.errors import RewoundError
from velox.kafka.connection import connection
from velox.records import Partition
from velox.settings import ClientSettings

DENIED: Final = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    }
)
_ANSWER_S: Final = 10.0


def lag_client(settings: ClientSettings) -> AdminClient:
    """Make the client that asks; it connects when first used."""
    return AdminClient(connection(settings, "velox-lag"))


class EndOffsets:
    """Keeps the last answer; a consumer's own knowledge stands still while it does not fetch."""

    def __init__(
        self,
        admin: AdminClient,
        isolation: IsolationLevel = IsolationLevel.READ_UNCOMMITTED,
        *,
        may_go: bool = False,
    ) -> None:
        """Ask for the very end or, with ``READ_COMMITTED``, for the beginning of the first open transaction.

        With ``may_go`` a topic that is gone is nothing to raise: of a pattern's topics, others are left.
        """
        self.refusal: str | None = None
        """Why the broker will not tell; None while it does, or is only away."""
        self._admin = admin
        self._may_go = may_go
        self._isolation = isolation
        self._asked: dict[Partition, Future[Any]] = {}
        self._known: dict[Partition, int] = {}

    def known(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        """Return the offset after the last record of each partition, as far as known, and ask again; never blocks.

        Raises:
            RewoundError: the topic is gone and may not go, or was made anew. The consumer itself would notice nothing:
                it would wait, or go on in the new topic where it was in the old one.
        """
        wanted = set(partitions)
        for partition in [p for p, asked in self._asked.items() if asked.done()]:
            self._note(partition, self._asked.pop(partition))
        if wanted and not self._asked:
            self._ask(wanted)
        self._known = {p: offset for p, offset in self._known.items() if p in wanted}
        return dict(self._known)

    def _note(self, partition: Partition, answer: Future[Any]) -> None:
        failure = answer.exception()
        if isinstance(failure, KafkaException) and failure.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
            if self._may_go:
                self._known.pop(partition, None)
                return
            msg = f"{partition.topic} is gone: was it deleted? Start the consumer again"
            raise RewoundError(msg)
        self.refusal = None
        if failure is not None:
            denied = isinstance(failure, KafkaException) and failure.args[0].code() in DENIED
            self.refusal = str(failure.args[0].str()) if denied else None
            return
        end = answer.result().offset
        if end < 0:  # the driver has no answer, and does not call it a failure: the leader is away
            return
        if end < self._known.get(partition, 0):
            msg = f"{partition.topic}-{partition.number} ended at {self._known[partition]} and now ends at {end}: "
            raise RewoundError(f"{msg}was the topic created anew? Start the consumer again")
        self._known[partition] = end

    def _ask(self, partitions: Iterable[Partition]) -> None:
        end = OffsetSpec.latest()  # type: ignore[no-untyped-call]  # the driver leaves it untyped
        latest = {TopicPartition(*partition): end for partition in partitions}
        try:
            futures = self._admin.list_offsets(latest, isolation_level=self._isolation, request_timeout=_ANSWER_S)
        except KafkaException:  # no connection now; the next call asks again
            return
        self._asked = {Partition(at.topic, at.partition): future for at, future in futures.items()}
