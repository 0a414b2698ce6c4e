"""What a topic holds for a reader with read_committed."""

from collections.abc import Iterator
from typing import Final

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

from velox.core.deadline import Deadline
from velox.errors import BrokerUnavailableError
from velox.kafka.connection import connection
from velox.settings import ClientSettings

_ANSWER_S: Final = 5.0
_SLICE_S: Final = 0.5


def contents(settings: ClientSettings, topic: str, *, within_s: float) -> Iterator[Message]:
    """Yield the messages up to the present end of each partition, or its first open transaction; in no other order.

    Raises:
        BrokerUnavailableError: that took longer than ``within_s``, or the topic is not there.
    """
    consumer = Consumer(
        {
            **connection(settings, "velox-reader"),
            "group.id": "velox-reader",  # the driver asks for one; it is never joined
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 10,
        }
    )
    try:
        yield from _read(consumer, topic, Deadline(within_s))
    except (KafkaException, KeyError) as error:
        msg = f"topic {topic} cannot be read: {error!r}; is Kafka running, is the topic there?"
        raise BrokerUnavailableError(msg) from error
    finally:
        consumer.close()


def _read(consumer: Consumer, topic: str, deadline: Deadline) -> Iterator[Message]:
    unread = set(consumer.list_topics(timeout=_ANSWER_S).topics[topic].partitions)
    consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in unread])
    while unread:
        message = consumer.poll(min(_SLICE_S, deadline.left_s()))
        error = None if message is None else message.error()
        if deadline.has_passed():
            msg = f"topic {topic} could not be read to its end in time: {len(unread)} partitions are left"
            raise BrokerUnavailableError(msg)
        if message is None:
            continue
        if error is None:
            yield message
        elif error.code() == KafkaError._PARTITION_EOF:
            unread.discard(message.partition() or 0)
