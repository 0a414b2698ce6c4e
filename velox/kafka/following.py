"""A topic that is read whole and followed, by nobody's group: what was changed, and changes as they come."""

from collections.abc import Iterator
from time import sleep
from typing import Final

from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, Consumer, KafkaError, KafkaException, Message, TopicPartition

from velox.core.deadline import Deadline
from velox.core.retries import backoff_s
from velox.errors import BrokerUnavailableError
from velox.kafka.connection import connection
from velox.settings import ClientSettings

_ANSWER_S: Final = 10.0
_MOST: Final = 1000
_WAIT_MS: Final = 500
"""A broker holds an empty fetch so long."""


class Follower:
    """Reads all partitions of a topic that is there. Used by one thread."""

    def __init__(self, settings: ClientSettings, topic: str, *, only_new: bool = False) -> None:
        """Begin at the beginning, or with what comes from now on.

        Raises:
            BrokerUnavailableError: no broker answers, or the topic is not there.
        """
        self._consumer = Consumer(
            {
                **connection(settings, "velox-follower"),
                "group.id": "velox-follower",  # the driver asks for one; it is never joined
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "fetch.wait.max.ms": _WAIT_MS,
            }
        )
        start = OFFSET_END if only_new else OFFSET_BEGINNING
        try:
            self._unread = self._partitions(topic)
            self._consumer.assign([TopicPartition(topic, number, start) for number in self._unread])
        except (KafkaException, KeyError) as error:
            self._consumer.close()
            msg = f"topic {topic} cannot be read: {error!r}; is Kafka running, is the topic there?"
            raise BrokerUnavailableError(msg) from error

    def _partitions(self, topic: str) -> set[int]:
        """Ask which there are; of a topic that was just made, brokers hear one after the other."""
        deadline, waits_s = Deadline(_ANSWER_S), backoff_s(cap_s=1.0)
        while True:
            found = self._consumer.list_topics(timeout=_ANSWER_S).topics.get(topic)
            if found is not None and found.partitions:
                return set(found.partitions)
            if deadline.has_passed():
                raise KeyError(topic)
            sleep(next(waits_s))

    def new(self, timeout_s: float) -> Iterator[Message]:
        """Yield what has come, waiting so long at most for the first. While Kafka is away, nothing comes."""
        for message in self._consumer.consume(_MOST, timeout_s):
            error = message.error()
            if error is None:
                yield message
            elif error.code() == KafkaError._PARTITION_EOF:
                self._unread.discard(message.partition() or 0)

    @property
    def is_at_end(self) -> bool:
        """Say whether each partition has been read to what was its end once."""
        return not self._unread

    def close(self) -> None:
        """Let go."""
        self._consumer.close()
