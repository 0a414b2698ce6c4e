"""How far a damaged batch reaches."""

from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from velox.core.deadline import Deadline
from velox.errors import BrokerUnavailableError
from velox.kafka.connection import connection
from velox.records import Partition
from velox.settings import Settings

_ANSWER_S: Final = 5.0
_READ_S: Final = 10.0
"""What can be read comes sooner, also over a slow network; of some damage the driver says nothing."""
_SLICE_S: Final = 0.2


def first_readable(settings: Settings, partition: Partition, unreadable: int) -> int:
    """Find the first offset after ``unreadable`` that can be read; the end of the partition when there is none.

    A broker sends the whole batch, from whichever offset in it one asks: so all that is asked for within it fails, and
    what follows does not. Steps that double, then a search between the last two, take a few tries. Damaged batches that
    follow one another count as one. Takes seconds: not for the thread that polls.

    Raises:
        BrokerUnavailableError: the broker does not answer.
    """
    reader = Consumer(
        {
            **connection(settings, "velox-damage"),
            "group.id": settings.kafka_consumer_group,  # the driver asks for one; it is never joined
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "error",
            "fetch.error.backoff.ms": 10,
            "fetch.wait.max.ms": 10,
            "fetch.message.max.bytes": settings.max_message_bytes,
        }
    )
    try:
        _, end = reader.get_watermark_offsets(TopicPartition(*partition), timeout=_ANSWER_S)
        bad, step = unreadable, 1
        while bad + step < end and not _is_readable(reader, partition, bad + step):
            bad, step = bad + step, 2 * step
        good = min(bad + step, int(end))
        while good - bad > 1:
            middle = (good + bad) // 2
            if _is_readable(reader, partition, middle):
                good = middle
            else:
                bad = middle
    except KafkaException as error:
        msg = f"what is damaged cannot be measured: {error.args[0].str()}"
        raise BrokerUnavailableError(msg) from error
    else:
        return good
    finally:
        reader.close()


def _is_readable(reader: Consumer, partition: Partition, offset: int) -> bool:
    reader.assign([TopicPartition(*partition, offset)])
    deadline = Deadline(_READ_S)
    while not deadline.has_passed():
        message = reader.poll(min(_SLICE_S, deadline.left_s()))
        if message is None:
            continue
        error = message.error()
        return error is None or error.code() == KafkaError._PARTITION_EOF
    return False
