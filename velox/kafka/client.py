"""The consumer's Kafka client: what is fetched, which partitions are owned, what is committed."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from velox.core.offsets import Gap
from velox.kafka.beginnings import Beginnings
from velox.kafka.commits import Accepted, Commits
from velox.kafka.damage import DAMAGED
from velox.kafka.ends import EndOffsets, lag_client
from velox.kafka.expiry import Expiry
from velox.kafka.heeding import Heeding
from velox.kafka.matching import Matching
from velox.kafka.membership import consumer_config
from velox.kafka.standing import Standing
from velox.records import Partition
from velox.settings import MemberSettings


class Rebalanced(Protocol):
    """Who wants to know about partitions that come and go; called inside ``fetch`` and ``close``."""

    def assigned(self, starts: Mapping[Partition, int]) -> None:
        """Partitions are fetched from now on, each from this offset, which the group has committed."""

    def revoked(self, partitions: Sequence[Partition]) -> None:
        """Partitions go to another member after this call: the last chance to commit for them."""

    def lost(self, partitions: Sequence[Partition]) -> None:
        """Partitions have gone already: nothing may be committed for them."""

    def refused(self, error: str) -> None:
        """A commit was refused; it is offered again. ``error`` is one of the driver's names."""


class KafkaClient:
    """One member of the consumer group. Not thread-safe: the thread that polls owns it.

    A partition that comes is paused until its beginning is committed, or a crash before the first commit would begin
    elsewhere, and lose or repeat what lies between. Where KAFKA_TOPIC is a pattern, topics come and go like partitions.
    """

    def __init__(self, settings: MemberSettings) -> None:
        """Make the client; nothing is fetched before ``subscribe``."""
        self._subscription = settings.subscription
        self._listener: Rebalanced
        self._heeding = Heeding(settings)
        self._owned: set[Partition] = set()
        self._met: set[str] = set()
        """Topics in which any partition was owned."""
        self._gone: set[Partition] = set()
        self._new: set[Partition] = set()
        """Owned, and their beginning is not committed yet."""
        self._starts: dict[Partition, int] = {}
        """From where on those are fetched that have begun, while the driver does not say."""
        self._paused = False
        self._commits = Commits(self._owned, self._heeding)
        config = consumer_config(settings, on_commit=self._commits.answered, on_error=self._heeding.client)
        admin = lag_client(settings)
        is_pattern = self._subscription.pattern is not None
        self._matching = Matching(self._subscription, admin) if is_pattern else None
        self._ends = EndOffsets(admin, may_go=is_pattern)
        self._expiry = Expiry(admin)
        self._beginnings = Beginnings(settings)
        self._standing = Standing(settings, admin)
        self._consumer = Consumer(config)

    def listen(self, timeout_s: float = 0) -> None:
        """Hear why there is no connection, before there is anything to fetch.

        Raises:
            VeloxError: the brokers refuse us.
        """
        message = self._consumer.poll(timeout_s)
        if message is not None and (error := message.error()) is not None:
            self._heeding.record(error)

    def subscribe(
        self,
        listener: Rebalanced,
        on_committed: Accepted,
        *,
        is_stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        """Join the group; ``on_committed`` hears of the offsets the broker accepted."""
        self._listener = listener
        self._commits.accepted, self._commits.refused = on_committed, listener.refused
        there = self._beginnings.survey(self._consumer, listen=self.listen, is_stopping=is_stopping)
        if self._matching:
            self._matching.start(there)
        self._subscribe(there if self._matching else self._subscription.names)

    def _subscribe(self, topics: Sequence[str]) -> None:
        if topics:
            hears = {"on_assign": self._assigned, "on_revoke": self._revoked, "on_lost": self._lost}
            self._consumer.subscribe(list(topics), **hears)
        else:
            self._consumer.unsubscribe()

    def membership(self) -> Any:  # noqa: ANN401 - the driver's own, opaque
        """Say which member of which generation this is: what a transaction with offsets has to show."""
        return self._consumer.consumer_group_metadata()

    @property
    def owned(self) -> frozenset[Partition]:
        """The partitions this member owns now."""
        return frozenset(self._owned)

    @property
    def problem(self) -> str | None:
        """Say what keeps this member from its group, as far as the driver tells; None when nothing is known."""
        if self._matching and not self._matching.topics:
            return self._heeding.problem or f"no topic matches {self._subscription}"
        return self._heeding.problem

    @property
    def damaged(self) -> Mapping[Partition, int]:
        """The partitions that cannot be read on, and from which offset on."""
        return self._standing.damaged

    def fetch(self, most: int, timeout_s: float) -> list[Message]:
        """Wait up to ``timeout_s`` for a first record, then take what else is already here, up to ``most``.

        ``poll`` for the first one, since ``consume`` runs no signal handlers and waits for a full batch.

        Raises:
            VeloxError: the error is fatal for this client; the process should end and be started again.
        """
        first = self._consumer.poll(timeout_s)
        if self._new:
            if first is not None and not self._is_record(first):
                first = None  # it came before its partition was paused, and comes again from the beginning on
            self._begin()
        if first is None:
            return []
        self._gone.clear()
        messages = [first, *self._consumer.consume(most - 1, 0)] if most > 1 else [first]
        if Partition(first.topic() or "", first.partition() or 0) in self._gone:
            # `consume` runs rebalances too, and drops what it took itself. Its next owner begins with this one.
            del messages[0]
        if self._new or any(message.error() is not None for message in messages):
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
        self._commits.begin(self._consumer, offsets)

    def commit_now(self, offsets: Mapping[Partition, int]) -> None:
        """Commit and wait, for a broker that hangs as long as a request may take.

        A refusal is logged: those records will be read again, and absorbed by their ids. On the calling thread, also
        within ``revoked``: until that callback returns, the driver lets no other thread commit.
        """
        self._commits.wait(self._consumer, offsets)

    def positions(self) -> dict[Partition, int]:
        """Answer from where on each owned partition will be fetched, behind Kafka's own marks."""
        asked = self._consumer.position([TopicPartition(*partition) for partition in self._starts])
        known = {Partition(at.topic, at.partition): at.offset for at in asked if at.offset >= 0}
        return self._starts | known

    def look(self, positions: Mapping[Partition, int], *, is_reading: bool) -> dict[Partition, int]:
        """Count the records from the positions on, per partition, as far as its end is known; once a second.

        ``is_reading`` says whether anything was fetched since the last call: what stands still then has a reason.
        """
        if self._matching and self._matching.has_changed():
            self._subscribe(self._matching.topics)
        ends = self._ends.known(self._owned | self._others())
        if self._ends.refusal is not None:
            self._heeding.lag(self._ends.refusal)
        lag = {p: max(0, ends[p] - position) for p, position in positions.items() if p in ends}
        self._standing.look(positions, lag, is_reading=is_reading)
        return lag

    def _others(self) -> set[Partition]:
        """Choose partitions of topics in which nothing is owned now: that such a topic is gone may be why.

        Of several, those in which something was owned before: one that was just created is not known everywhere yet.
        """
        self._met.update(partition.topic for partition in self._owned)
        topics = (
            self._subscription.names if self._subscription.is_one else self._met.intersection(self._subscription.names)
        )
        return {Partition(topic, 0) for topic in topics} - {Partition(p.topic, 0) for p in self._owned}

    def skip(self) -> dict[Partition, int]:
        """Go past what cannot be read, as far as that is known and wanted; count the records lost with it."""
        lost = {}
        for partition, (start, end) in self._standing.take_found().items():
            self._consumer.seek(TopicPartition(*partition, end))
            self._starts[partition] = end  # the driver has no position before something comes from there
            lost[partition] = end - start
        return lost

    def expired(self, gaps: Sequence[Gap]) -> Mapping[Partition, int]:
        """Count the records that Kafka removed before they were fetched, as far as is known now; never blocks."""
        return self._expiry.count(gaps)

    def close(self) -> None:
        """Leave the group. Calls ``revoked``. May hang when the broker is dead: bound it from outside."""
        self._consumer.close()

    def _apply_pause(self) -> None:
        # Asked of the client, not of `_owned`: only what it has assigned can be paused.
        assigned = self._consumer.assignment()
        flowing = [at for at in assigned if not self._paused and Partition(at.topic, at.partition) not in self._new]
        still = [at for at in assigned if at not in flowing]
        if still:
            self._consumer.pause(still)
        if flowing:
            self._consumer.resume(flowing)

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._heeding.joined()
        self._owned.update(_plain(partitions))
        self._new.update(_plain(partitions))
        self._beginnings.accept(consumer, partitions)
        self._apply_pause()
        if not partitions:
            self._listener.assigned({})

    def _begin(self) -> None:
        """Have the beginning of each new partition committed, then read from there; try again later if it is not."""
        try:
            starts, chosen = self._beginnings.find(self._consumer, [TopicPartition(*at) for at in sorted(self._new)])
            if chosen:
                begun = [TopicPartition(*at, offset) for at, offset in chosen.items()]
                accepted = self._consumer.commit(offsets=begun, asynchronous=False) or []
                starts |= {Partition(at.topic, at.partition): at.offset for at in accepted if at.error is None}
            for partition, offset in starts.items():
                self._consumer.seek(TopicPartition(*partition, offset))
        except KafkaException as error:
            self._heeding.beginning(error.args[0])
            return
        # A rebalance does not run within these calls: what was new still is.
        self._new.difference_update(starts)
        self._starts |= starts
        self._apply_pause()
        if starts:
            self._listener.assigned(starts)

    def _revoked(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        gone = _plain(partitions)
        self._listener.revoked(gone)
        self._give_up(gone)

    def _lost(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        gone = _plain(partitions)
        self._give_up(gone)
        self._listener.lost(gone)

    def _give_up(self, partitions: Sequence[Partition]) -> None:
        self._owned.difference_update(partitions)
        self._gone.update(partitions)
        self._standing.forget(partitions)
        self._beginnings.forget(partitions)
        self._new.difference_update(partitions)
        for partition in partitions:
            self._starts.pop(partition, None)

    def _is_record(self, message: Message) -> bool:
        error = message.error()
        partition = Partition(message.topic() or "", message.partition() or 0)
        if error is None:
            return partition not in self._new
        if error.code() in DAMAGED and partition in self._starts:
            self._standing.refused(partition, message.offset() or 0, error.str())
        else:
            self._heeding.record(error)
        return False


def _plain(partitions: Iterable[TopicPartition]) -> list[Partition]:
    return [Partition(p.topic, p.partition) for p in partitions]
