"""What a cluster, a topic and a group are like; only reads, changes nothing."""

import socket
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Final

from confluent_kafka import ConsumerGroupState, IsolationLevel, KafkaException, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # exported at run time only
    ConfigResource,
    OffsetSpec,
    ResourceType,
    TopicMetadata,
)

from velox.errors import BrokerUnavailableError
from velox.kafka.connection import Admin
from velox.kafka.lag import Extent, Observer
from velox.records import Partition
from velox.settings import MemberSettings

_TIMEOUT_S: Final = 3.0
_CONNECT_S: Final = 2.0
_NO_TIMESTAMP: Final = -1


@dataclass(frozen=True, slots=True)
class Cluster:
    """The brokers, and how quickly they answered."""

    brokers: int
    answer_s: float
    out_of_reach: tuple[str, ...] = ()
    """Addresses that the cluster gives for its brokers, and that nothing answers at from here."""
    config: Mapping[str, str] = field(default_factory=dict)
    """Of one broker; empty when we may not see it."""


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic that exists."""

    name: str
    partitions: int
    leaderless: int
    replicas: int
    """Of the partition that has the fewest."""
    config: Mapping[str, str] = field(default_factory=dict)
    """Empty when we may not see it."""


@dataclass(frozen=True, slots=True)
class Group:
    """A consumer group."""

    members: int
    strategy: str = ""
    """How its members share partitions, by the driver's name; empty without members."""


@dataclass(frozen=True, slots=True)
class Backlog:
    """What a group has not read yet of its topics."""

    records: int
    """That it may read now."""
    hidden: int
    """Records that nobody may read who reads only what is committed: a transaction before them is open."""
    lost: int
    """Records that were removed before the group had read them."""
    newest_s: float | None
    """Unix seconds of the latest timestamp in them."""
    oldest_unread_s: float | None
    """Unix seconds of the first record that waits."""


class Inspector:
    """Asks a cluster about itself. Not thread-safe."""

    def __init__(self, settings: MemberSettings) -> None:
        """Make the client; it connects when first asked."""
        self._settings = settings
        self._admin = Admin(settings)

    def cluster(self) -> Cluster:
        """Look at the brokers.

        Raises:
            BrokerUnavailableError: none answers.
            SettingsError: they refuse us; the message names the setting to correct.
        """
        try:
            started = time.monotonic()
            brokers = list(self._admin.client.list_topics(timeout=_TIMEOUT_S).brokers.values())
            answer_s = time.monotonic() - started
        except KafkaException as error:
            why = self._admin.explain(error.args[0])
            msg = f"{self._settings.kafka_bootstrap_server}: {why}; start it, or correct KAFKA_BOOTSTRAP_SERVER"
            raise BrokerUnavailableError(msg) from error
        addresses = [(str(broker.host), int(broker.port or 0)) for broker in brokers]
        return Cluster(
            len(brokers),
            answer_s,
            out_of_reach=tuple(f"{host}:{port}" for host, port in addresses if not _answers(host, port)),
            config=self._config(ResourceType.BROKER, str(brokers[0].id)),
        )

    def matching(self) -> tuple[str, ...]:
        """Name the topics that KAFKA_TOPIC means, of those that are there.

        Raises:
            BrokerUnavailableError: no answer.
        """
        return self._settings.subscription.among(self._topics())

    def topic(self, name: str) -> Topic | None:
        """Look at a topic; None when it is not there, or not ours to see.

        Raises:
            BrokerUnavailableError: no answer.
        """
        found = self._topics().get(name)
        if found is None:
            return None
        partitions = list(found.partitions.values())
        return Topic(
            name,
            partitions=len(partitions),
            leaderless=sum(partition.leader < 0 for partition in partitions),
            replicas=min((len(partition.replicas) for partition in partitions), default=0),
            config=self._config(ResourceType.TOPIC, name),
        )

    def namesake(self, name: str) -> str | None:
        """Name the topic because of which Kafka would not create this one: a dot and _ are the same in its metrics.

        Raises:
            BrokerUnavailableError: no answer.
        """
        return next((other for other in sorted(self._topics()) if _in_metrics(other) == _in_metrics(name)), None)

    def group(self) -> Group | None:
        """Look at the group as it is now; None when we may not know.

        Raises:
            BrokerUnavailableError: no answer.
        """
        group = self._settings.kafka_consumer_group
        asked = self._admin.client.describe_consumer_groups([group], request_timeout=_TIMEOUT_S)[group]
        described = _answer(asked)
        if described is None:
            return None
        if described.state == ConsumerGroupState.DEAD or not described.members:
            return Group(0)
        return Group(len(described.members), described.partition_assignor or "")

    def backlog(self, topics: Sequence[str]) -> Backlog:
        """Compare what the group has committed with what these topics hold.

        Raises:
            BrokerUnavailableError: no answer, or the group may not be seen.
        """
        observer = Observer(self._settings)
        try:
            extents = observer.extents(*topics)
            committed = observer.committed(list(extents))
            # Where nothing is committed, reading begins as AUTO_OFFSET_RESET says: that is no loss.
            starts = {p: max(committed.get(p, extent.low), extent.low) for p, extent in extents.items()}
            waiting = {p: start for p, start in starts.items() if start < extents[p].high}
            return Backlog(
                records=sum(extents[p].high - start for p, start in starts.items()),
                hidden=self._hidden(extents),
                lost=sum(max(0, extents[p].low - offset) for p, offset in committed.items()),
                newest_s=self._newest_s(list(extents)),
                oldest_unread_s=observer.oldest_s(waiting),
            )
        finally:
            observer.close()

    def _topics(self) -> Mapping[str, TopicMetadata]:
        try:
            return self._admin.client.list_topics(timeout=_TIMEOUT_S).topics
        except KafkaException as error:
            raise BrokerUnavailableError(self._admin.explain(error.args[0])) from error

    def _hidden(self, extents: Mapping[Partition, Extent]) -> int:
        written = {TopicPartition(*p): OffsetSpec.latest() for p in extents}  # type: ignore[no-untyped-call]  # as below
        asked = self._admin.client.list_offsets(
            written, isolation_level=IsolationLevel.READ_UNCOMMITTED, request_timeout=_TIMEOUT_S
        )
        ends = {Partition(at.topic, at.partition): _answer(future) for at, future in asked.items()}
        return sum(max(0, end.offset - extents[p].high) for p, end in ends.items() if end is not None)

    def _newest_s(self, partitions: list[Partition]) -> float | None:
        latest = OffsetSpec.max_timestamp()  # type: ignore[no-untyped-call]  # the driver leaves it untyped
        wanted = {TopicPartition(*p): latest for p in partitions}
        asked = self._admin.client.list_offsets(wanted, request_timeout=_TIMEOUT_S) if wanted else {}
        found = [answer.timestamp for future in asked.values() if (answer := _answer(future)) is not None]
        newest_ms = max(found, default=_NO_TIMESTAMP)
        return None if newest_ms == _NO_TIMESTAMP else newest_ms / 1000

    def _config(self, kind: Any, name: str) -> Mapping[str, str]:  # noqa: ANN401 - the driver's enumeration
        asked = self._admin.client.describe_configs([ConfigResource(kind, name)], request_timeout=_TIMEOUT_S)
        (described,) = (_answer(future) for future in asked.values())
        return {} if described is None else {entry.name: entry.value for entry in described.values()}


def _in_metrics(topic: str) -> str:
    return topic.replace(".", "_")


def _answers(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=_CONNECT_S).close()
    except OSError:
        return False
    return True


def _answer(asked: "Future[Any]") -> Any:  # noqa: ANN401 - each question has its own kind of answer
    """Wait for an answer; None when it is refused, or the broker knows no such question."""
    try:
        return asked.result(timeout=_TIMEOUT_S + 1)
    except (KafkaException, TimeoutError):
        return None
