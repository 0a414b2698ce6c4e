"""The consumer's Kafka client: what is fetched, which partitions are owned, what is committed."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from velox import failpoints
from velox.core.offsets import Gap
from velox.errors import SettingsError, VeloxError
from velox.kafka.connection import connection, refusal_of
from velox.kafka.ends import CommittedOffsets, EndOffsets, lag_client
from velox.kafka.expiry import Expiry
from velox.records import Partition
from velox.settings import Settings

log = logging.getLogger(__name__)

_RETRY_AT_NEXT_COMMIT = frozenset(
    {
        KafkaError.REBALANCE_IN_PROGRESS,
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.UNKNOWN_MEMBER_ID,
        KafkaError.FENCED_MEMBER_EPOCH,
        KafkaError.STALE_MEMBER_EPOCH,
        KafkaError._NO_OFFSET,
    }
)
_REQUEST_MS = 15_000
"""A broker that hangs (not one that is gone, which shows at once) holds up a commit no longer than this."""
_COMMITTED_S = 2.0
"""A rebalance is not held up any longer by a question that serves only a warning."""
_PREFETCH_KIB = 32 * 1024


class Rebalanced(Protocol):
    """Who wants to know about partitions that come and go; called inside ``fetch`` and ``close``."""

    def assigned(self, partitions: Sequence[Partition], committed: Mapping[Partition, int]) -> None:
        """Partitions are about to be fetched from, those with a committed offset from there on."""

    def revoked(self, partitions: Sequence[Partition]) -> None:
        """Partitions go to another member after this call: the last chance to commit for them."""

    def lost(self, partitions: Sequence[Partition]) -> None:
        """Partitions have gone already: nothing may be committed for them."""


class KafkaClient:
    """One member of the consumer group. Not thread-safe: the thread that polls owns it.

    Only partitions that are owned at that moment are ever committed: the broker would accept others too,
    and rewind them for their new owner.
    """

    def __init__(self, settings: Settings, listener: Rebalanced) -> None:
        """Make the client; nothing is fetched before ``subscribe``."""
        self._topic, self._group = settings.kafka_topic, settings.kafka_consumer_group
        self._listener = listener
        self._owned: set[Partition] = set()
        self._gone: set[Partition] = set()
        self._paused = False
        self._sync_pause = False
        self._on_committed: Callable[[Mapping[Partition, int]], None] = lambda _offsets: None
        config = consumer_config(settings, on_commit=self._committed, on_error=self._broken)
        admin = lag_client(settings)
        self._ends = EndOffsets(admin)
        self._starts = CommittedOffsets(admin, settings.kafka_consumer_group)
        self._expiry = Expiry(admin)
        self._consumer = Consumer(config)

    def subscribe(self, on_committed: Callable[[Mapping[Partition, int]], None]) -> None:
        """Join the group; ``on_committed`` hears of the offsets the broker accepted."""
        self._on_committed = on_committed
        self._consumer.subscribe([self._topic], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost)

    def membership(self) -> Any:  # noqa: ANN401 - the driver's own, opaque
        """Say which member of which generation this is: what a transaction with offsets has to show."""
        return self._consumer.consumer_group_metadata()

    @property
    def owned(self) -> frozenset[Partition]:
        """The partitions this member owns now."""
        return frozenset(self._owned)

    def fetch(self, most: int, timeout_s: float) -> list[Message]:
        """Wait up to ``timeout_s`` for a first record, then take what else is already here, up to ``most``.

        ``poll`` for the first one, since ``consume`` runs no signal handlers and waits for a full batch.

        Raises:
            VeloxError: the error is fatal for this client; the process should end and be started again.
        """
        first = self._consumer.poll(timeout_s)
        if self._sync_pause:
            self._sync_pause = False
            self._apply_pause()
        if first is None:
            return []
        self._gone.clear()
        messages = [first, *self._consumer.consume(most - 1, 0)] if most > 1 else [first]
        if Partition(first.topic() or "", first.partition() or 0) in self._gone:
            # `consume` runs rebalances too, and drops what it took itself. Its next owner begins with this one.
            del messages[0]
        if any(message.error() is not None for message in messages):
            return [message for message in messages if self._is_record(message)]
        return messages

    def pause(self) -> None:
        """Stop fetching, keep polling."""
        self._paused = True
        self._apply_pause()

    def resume(self) -> None:
        """Fetch again."""
        self._paused = False
        self._apply_pause()

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Commit in the background; the result is heard of in a later ``fetch``."""
        owned = self._ours(offsets)
        if owned:
            failpoints.reach("before_commit")
            self._consumer.commit(offsets=owned, asynchronous=True)

    def commit_now(self, offsets: Mapping[Partition, int]) -> None:
        """Commit and wait, for a broker that hangs as long as a request may take.

        A refusal is logged: those records will be read again, and absorbed by their ids. On the calling thread, also
        within ``revoked``: until that callback returns, the driver lets no other thread commit.
        """
        owned = self._ours(offsets)
        if not owned:
            return
        try:
            self._committed(None, self._consumer.commit(offsets=owned, asynchronous=False) or [])
        except KafkaException as error:
            self._committed(error.args[0], owned)

    def lag(self) -> dict[Partition, int]:
        """Count the records after the last one fetched, per owned partition, as far as both ends are known.

        Nothing fetched yet, as while a sink is down: those after the group's committed offset.
        """
        # Asked also without a partition of its own: that the topic is gone may be why.
        known = self._ends.known(self._owned or {Partition(self._topic, 0)})
        ends = {partition: offset for partition, offset in known.items() if partition in self._owned}
        asked = self._consumer.position([TopicPartition(*partition) for partition in ends])
        positions = {Partition(at.topic, at.partition): at.offset for at in asked if at.offset >= 0}
        positions |= self._starts.known(ends.keys() - positions.keys())
        return {partition: max(0, ends[partition] - offset) for partition, offset in positions.items()}

    def expired(self, gaps: Sequence[Gap]) -> Mapping[Partition, int]:
        """Count the records that Kafka removed before they were fetched, as far as is known now; never blocks."""
        return self._expiry.count(gaps)

    def close(self) -> None:
        """Leave the group. Calls ``revoked``. May hang when the broker is dead: bound it from outside."""
        self._consumer.close()

    def _ours(self, offsets: Mapping[Partition, int]) -> list[TopicPartition]:
        return [TopicPartition(p.topic, p.number, offset) for p, offset in offsets.items() if p in self._owned]

    def _apply_pause(self) -> None:
        # Asked of the client, not of `_owned`: only what it has already assigned can be paused.
        assigned = self._consumer.assignment()
        (self._consumer.pause if self._paused else self._consumer.resume)(assigned)

    def _assigned(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        new = _plain(partitions)
        self._owned.update(new)
        # A pause outlives a rebalance, and the client assigns only after this callback: set it straight then.
        self._sync_pause = True
        self._listener.assigned(new, self._committed_at(partitions))

    def _committed_at(self, partitions: list[TopicPartition]) -> dict[Partition, int]:
        try:
            known = self._consumer.committed(partitions, timeout=_COMMITTED_S)
        except KafkaException:  # where reading goes on is then known with the first record
            return {}
        return {Partition(at.topic, at.partition): at.offset for at in known if at.offset >= 0}

    def _revoked(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        gone = _plain(partitions)
        self._listener.revoked(gone)
        self._give_up(gone)

    def _lost(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        gone = _plain(partitions)
        self._give_up(gone)
        self._listener.lost(gone)

    def _give_up(self, partitions: Iterable[Partition]) -> None:
        self._owned.difference_update(partitions)
        self._gone.update(partitions)

    def _committed(self, error: KafkaError | None, partitions: list[TopicPartition]) -> None:
        accepted: dict[Partition, int] = {}
        for at in partitions:
            refusal = error or at.error
            if refusal is None:
                accepted[Partition(at.topic, at.partition)] = at.offset
            elif refusal.code() not in _RETRY_AT_NEXT_COMMIT:
                log.warning("Commit of %s-%d at %d refused: %s", at.topic, at.partition, at.offset, refusal.str())
        self._on_committed(accepted)

    def _broken(self, error: KafkaError) -> None:
        # Runs inside poll(); an exception raised here leaves poll() as if it were poll's own.
        refusal = refusal_of(error)
        if refusal and error.code() != KafkaError._SSL:  # one broker's bad certificate must not end all consumers
            raise SettingsError(refusal)
        # One connection among several, or one of many tries; that none is left is told separately.
        level = logging.DEBUG if error.code() == KafkaError._TRANSPORT else logging.WARNING
        log.log(level, "Kafka: %s", refusal or error.str())

    def _is_record(self, message: Message) -> bool:
        error = message.error()
        if error is None:
            return True
        if error.code() == KafkaError._AUTO_OFFSET_RESET:
            msg = f"AUTO_OFFSET_RESET=error: {error.str()}; set earliest or latest, or reset the group's offsets"
            raise VeloxError(msg)
        if error.fatal() or error.code() == KafkaError._FATAL:
            msg = f"Kafka: {error.str()}; this member of the group cannot go on, start the consumer again"
            raise VeloxError(msg)
        if error.code() in {KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.GROUP_AUTHORIZATION_FAILED}:
            msg = (
                f"Kafka refuses {self._topic}: {error.str()}; let KAFKA_SASL_USERNAME or the certificate's owner read "
                f"this topic and KAFKA_CONSUMER_GROUP={self._group}"
            )
            raise VeloxError(msg)
        log.warning("Kafka: %s", error.str())
        return False


def consumer_config(
    settings: Settings, *, on_commit: Callable[..., None], on_error: Callable[..., None]
) -> dict[str, Any]:
    """Translate the settings into librdkafka's."""
    fetch_bytes = max(settings.max_message_bytes, 16 * 1024 * 1024)
    return {
        **connection(settings, "velox-consumer"),
        "group.id": settings.kafka_consumer_group,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": settings.auto_offset_reset,
        "allow.auto.create.topics": False,
        "max.poll.interval.ms": settings.max_poll_interval_ms,
        **_membership(settings),
        "socket.timeout.ms": _REQUEST_MS,
        # New partitions are found within seconds, not minutes.
        "topic.metadata.refresh.interval.ms": 10_000,
        "fetch.wait.max.ms": settings.fetch_wait_ms,
        "fetch.message.max.bytes": settings.max_message_bytes,
        "fetch.max.bytes": fetch_bytes,
        # A record above MAX_MESSAGE_BYTES still arrives, to be dead-lettered instead of blocking its partition.
        "receive.message.max.bytes": max(100_000_000, 2 * fetch_bytes),
        # The prefetch counts against the memory of this process; without the short back-off, bounding it starves it.
        "queued.max.messages.kbytes": _PREFETCH_KIB,
        "fetch.queue.backoff.ms": 5,
        "on_commit": on_commit,
        "error_cb": on_error,
    }


def _membership(settings: Settings) -> dict[str, Any]:
    named = {"group.instance.id": settings.group_instance_id} if settings.group_instance_id != "none" else {}
    if settings.group_protocol == "consumer":  # its time-outs are the broker's; the driver refuses our own
        return {"group.protocol": "consumer", **named}
    return {
        "partition.assignment.strategy": settings.group_protocol,
        "session.timeout.ms": settings.session_timeout_ms,
        "heartbeat.interval.ms": settings.session_timeout_ms // 4,
        **named,
    }


def _plain(partitions: Iterable[TopicPartition]) -> list[Partition]:
    return [Partition(p.topic, p.partition) for p in partitions]
