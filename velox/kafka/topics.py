"""Topics, created when they are missing."""

import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from math import isfinite
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # exported at run time only
    AdminClient,
    ConfigResource,
    ResourceType,
)
from confluent_kafka.cimpl import NewTopic

from velox.core.deadline import Deadline
from velox.core.retries import backoff_s
from velox.errors import BrokerUnavailableError
from velox.kafka.connection import Admin, connection
from velox.kafka.reachability import is_due
from velox.settings import ClientSettings, MemberSettings, TopicSettings

log = logging.getLogger(__name__)

FRAME_BYTES: Final = 64 * 1024
"""A topic takes this much more than MAX_MESSAGE_BYTES: a batch's frame, and the headers that a dead letter adds."""
HEADROOM_BYTES: Final = 1024 * 1024
"""What a record may hold in memory beyond MAX_MESSAGE_BYTES, in its key and headers; a dead letter adds some."""
KEYLESS: Final = {"cleanup.policy": "delete"}
"""For a topic whose records may have no key: a compacted one refuses those."""
_TRY_S: Final = 1.0
_ONLY_TRY_S: Final = 3.0
"""Over a slow network a first answer takes several round trips, and nothing is left of them for another try."""
_REMOVE_S: Final = 10.0
_DESCRIBE_S: Final = 3.0
_ABSENT: Final = {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.GROUP_ID_NOT_FOUND}
_REPORT_EVERY_S: Final = 30.0
_DENIED: Final = frozenset({KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED})
_NOT_CREATED: Final = {
    KafkaError.TOPIC_EXCEPTION: "set {setting} to another name: for Kafka, a dot and _ are the same",
    KafkaError.POLICY_VIOLATION: "create it as the cluster's policy asks for, or set {setting} to one that is there",
}
"""What a broker may have against a topic, and the remedy."""
_ACLS: Final = "create it, and let KAFKA_SASL_USERNAME or the certificate's owner read and describe it, or write to it"


def ensure_topic(
    settings: TopicSettings,
    topic: str,
    *,
    headroom_bytes: int = 0,
    wait_s: float = 60.0,
    is_stopping: Callable[[], bool] = lambda: False,
    config: Mapping[str, str] = KEYLESS,
) -> None:
    """Create the topic unless it is there, and wait for a broker that is not up yet.

    A topic that is there stays as it is, whatever its partitions and limits. The broker decides about replication
    (its ``default.replication.factor``). An embedded broker, which cannot create topics on request, has them already.

    Args:
        settings: how to connect, and what a topic that is created is like.
        topic: its name.
        headroom_bytes: what its records may be larger than MAX_MESSAGE_BYTES.
        wait_s: how long to try; infinite = until it answers.
        is_stopping: asked about once a second; true ends the wait silently, with nothing created.
        config: what of a topic that is created is not left to the broker, besides the size of its records.

    Raises:
        BrokerUnavailableError: no broker answered in time, or it refuses; the message says what to do.
        SettingsError: with these settings no broker will ever let us in; the message names the one to correct.
    """
    admin = Admin(settings)
    try_s = _TRY_S if wait_s else _ONLY_TRY_S
    deadline = Deadline(wait_s)
    report = Deadline(0)
    waits_s = backoff_s(cap_s=_TRY_S)
    while not is_stopping():
        try:
            if topic not in admin.client.list_topics(timeout=try_s).topics:
                _create(admin.client, [topic], settings, headroom_bytes, config)
        except KafkaException as exception:
            error: KafkaError = exception.args[0]
            bootstrap, why = settings.kafka_bootstrap_server, admin.explain(error)
            if error.code() in _DENIED:
                msg = f"Kafka topic {topic}: not there, or not ours to see, and not ours to create ({why}); {_ACLS}"
                raise BrokerUnavailableError(msg) from exception
            if error.code() in _NOT_CREATED:
                setting = _setting(settings, topic)
                remedy = _NOT_CREATED[error.code()].format(setting=setting)
                msg = f"{setting}={topic}: Kafka does not create this topic ({why}); {remedy}"
                raise BrokerUnavailableError(msg) from exception
            if deadline.has_passed() or not _may_pass(error):
                msg = f"KAFKA_BOOTSTRAP_SERVER={bootstrap}: {why}; is Kafka running there, and may we use it?"
                raise BrokerUnavailableError(msg) from exception
            if report.has_passed() and is_due(why):
                how_long = f"for another {deadline.left_s():.0f} s" if isfinite(wait_s) else "until it does"
                log.warning("Kafka at %s does not answer (%s); trying %s", bootstrap, why, how_long)
                report = Deadline(_REPORT_EVERY_S)
            admin.client.poll(next(waits_s))  # a broker may refuse at once
        else:
            return


def ensure_topics(
    settings: TopicSettings,
    topics: Sequence[str],
    *,
    is_stopping: Callable[[], bool] = lambda: False,
    config: Mapping[str, str] = KEYLESS,
) -> None:
    """Create those that are missing, all with one request, as ``ensure_topic`` does with one.

    Raises:
        BrokerUnavailableError: no broker answered in a minute, or it refuses.
        SettingsError: with these settings no broker will ever let us in.
    """
    if not topics:
        return
    ensure_topic(settings, topics[0], is_stopping=is_stopping, config=config)
    if is_stopping():
        return
    admin = Admin(settings)
    try:
        there = admin.client.list_topics(timeout=_ONLY_TRY_S).topics
        _create(admin.client, [topic for topic in topics if topic not in there], settings, 0, config)
    except KafkaException as exception:
        msg = f"Kafka does not create {len(topics)} topics: {admin.explain(exception.args[0])}"
        raise BrokerUnavailableError(msg) from exception


def topics_now(settings: ClientSettings) -> tuple[str, ...]:
    """Name the topics that KAFKA_TOPIC means now: those it names, there or not, or those that its pattern matches.

    Raises:
        BrokerUnavailableError: no broker says which topics there are, or none matches.
        SettingsError: the brokers refuse us.
    """
    subscription = settings.subscription
    if subscription.names:
        return subscription.names
    admin = Admin(settings)
    try:
        topics = subscription.among(admin.client.list_topics(timeout=_ONLY_TRY_S).topics)
    except KafkaException as error:
        msg = f"Kafka does not say which topics there are: {admin.explain(error.args[0])}; is it running?"
        raise BrokerUnavailableError(msg) from error
    if not topics:
        msg = f"KAFKA_TOPIC={subscription}: no topic matches; create one, or correct the pattern"
        raise BrokerUnavailableError(msg)
    return topics


def message_limit(settings: ClientSettings, topic: str) -> int:
    """Say how large a message a topic takes: MAX_MESSAGE_BYTES, or less where its own limit, if we may know it, is."""
    resource = ConfigResource(ResourceType.TOPIC, topic)
    admin = AdminClient(connection(settings, "velox-admin"))
    asked = admin.describe_configs([resource], request_timeout=_DESCRIBE_S)[resource]
    try:
        limit = int(asked.result(_DESCRIBE_S + 1)["max.message.bytes"].value or 0)
    except (KafkaException, TimeoutError, KeyError):  # the embedded broker knows no such question
        return settings.max_message_bytes
    return min(limit or settings.max_message_bytes, settings.max_message_bytes)


def remove_topics(settings: MemberSettings, topics: Sequence[str]) -> None:
    """Delete topics, and the consumer group, which has to be without members; what is not there is well.

    Raises:
        BrokerUnavailableError: the broker does not answer, or refuses; the message says what is left.
    """
    admin = AdminClient(connection(settings, "velox-admin"))
    asked = admin.delete_topics(list(topics), operation_timeout=_REMOVE_S, request_timeout=_REMOVE_S)
    for name, request in asked.items():
        _see_removed(name, request)
    group = settings.kafka_consumer_group
    deadline = Deadline(settings.session_timeout_ms / 1000 + _REMOVE_S)
    while not _see_removed(
        group,
        admin.delete_consumer_groups([group], request_timeout=_REMOVE_S)[group],
        may_be_in_use=not deadline.has_passed(),
    ):
        admin.poll(_TRY_S)


def _setting(settings: TopicSettings, topic: str) -> str:
    """Name the setting that names a topic."""
    if settings.subscription.takes(topic):
        return "KAFKA_TOPIC"
    return next((setting for setting, name in settings.topics.items() if name == topic), "topic")


def _see_removed(name: str, request: "Future[Any]", *, may_be_in_use: bool = False) -> bool:
    """Wait for the answer; False while a group still counts a member that was killed, until its session ends."""
    try:
        request.result()
    except KafkaException as exception:
        error: KafkaError = exception.args[0]
        if error.code() == KafkaError.NON_EMPTY_GROUP and may_be_in_use:
            return False
        if error.code() not in _ABSENT:
            msg = f"{name} could not be removed: {error.str()}; remove it by hand"
            raise BrokerUnavailableError(msg) from exception
    return True


def _create(
    admin: AdminClient, topics: Sequence[str], settings: TopicSettings, headroom_bytes: int, config: Mapping[str, str]
) -> None:
    if not topics:
        return
    largest = settings.max_message_bytes + headroom_bytes
    limit, partitions = largest + FRAME_BYTES, settings.kafka_partitions
    told = {**config, "max.message.bytes": str(limit)}
    new = [NewTopic(topic, num_partitions=partitions, config=told) for topic in topics]
    made = []
    for topic, created in admin.create_topics(new, operation_timeout=10.0, request_timeout=10.0).items():
        try:
            created.result()
        except KafkaException as exception:
            if exception.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise
        else:
            made.append(topic)
    if made:
        which = f"topic {made[0]}" if len(made) == 1 else f"{len(made)} topics, {made[0]} to {made[-1]}"
        log.info("Created %s: %d partitions, records up to %d bytes", which, partitions, largest)


def _may_pass(error: KafkaError) -> bool:
    """Say whether trying again can help: the network and starting brokers may recover, a refusal will not."""
    return error.retriable() or error.code() in {
        KafkaError._TRANSPORT,
        KafkaError._TIMED_OUT,
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._RESOLVE,
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.INVALID_REPLICATION_FACTOR,  # a cluster whose brokers have not all registered
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.NOT_CONTROLLER,
    }
