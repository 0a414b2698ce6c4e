"""Topics: made when they are missing."""

import logging
from collections.abc import Callable
from math import isfinite
from typing import Final

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from velox.core.deadline import Deadline
from velox.errors import BrokerUnavailableError

log = logging.getLogger(__name__)

FRAME_BYTES: Final = 64 * 1024
"""A topic takes this much more than MAX_MESSAGE_BYTES: a batch's frame, and the headers that a dead letter adds."""
_TRY_S: Final = 1.0
_REPORT_EVERY_S: Final = 10.0


def ensure_topic(
    bootstrap: str,
    topic: str,
    *,
    partitions: int,
    max_message_bytes: int,
    wait_s: float = 60.0,
    is_stopping: Callable[[], bool] = lambda: False,
) -> None:
    """Create the topic unless it is there, and wait for a broker that is not up yet.

    A topic that is there stays as it is, whatever its partitions and limits. The broker decides about replication
    (its ``default.replication.factor``). An embedded broker, which cannot create topics on request, has them already.

    Args:
        bootstrap: brokers, ``host:port,…``.
        topic: its name.
        partitions: of a topic that is created.
        max_message_bytes: largest record that a created topic takes.
        wait_s: how long to try; infinite = until it answers.
        is_stopping: asked about once a second; true ends the wait silently, with nothing created.

    Raises:
        BrokerUnavailableError: no broker answered in time, or it refuses; the message says what to do.
    """
    admin = AdminClient({"bootstrap.servers": bootstrap, "client.id": "velox-admin", "log_level": 0})
    deadline = Deadline(wait_s)
    report = Deadline(0)
    while not is_stopping():
        try:
            if topic not in admin.list_topics(timeout=_TRY_S).topics:
                _create(admin, topic, partitions, max_message_bytes)
        except KafkaException as exception:
            error: KafkaError = exception.args[0]
            if deadline.has_passed() or not _may_pass(error):
                msg = f"KAFKA_BOOTSTRAP_SERVER={bootstrap}: {error.str()}; is Kafka running there, and may we use it?"
                raise BrokerUnavailableError(msg) from exception
            if report.has_passed():
                how_long = f"for another {deadline.left_s():.0f} s" if isfinite(wait_s) else "until it does"
                log.warning("Kafka at %s does not answer (%s); trying %s", bootstrap, error.str(), how_long)
                report = Deadline(_REPORT_EVERY_S)
        else:
            return


def _create(admin: AdminClient, topic: str, partitions: int, max_message_bytes: int) -> None:
    limit = max_message_bytes + FRAME_BYTES
    new = NewTopic(topic, num_partitions=partitions, config={"max.message.bytes": str(limit)})
    (created,) = admin.create_topics([new], operation_timeout=10.0, request_timeout=10.0).values()
    try:
        created.result()
    except KafkaException as exception:
        if exception.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
            raise
    else:
        log.info("Created topic %s: %d partitions, records up to %d bytes", topic, partitions, max_message_bytes)


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
