"""Whether a record can be read at all and, where a batch is damaged, how far that reaches."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from velox.core.deadline import Deadline
from velox.errors import BrokerUnavailableError
from velox.kafka.connection import connection
from velox.records import Partition
from velox.settings import MemberSettings

DAMAGED: Final = frozenset({KafkaError._BAD_COMPRESSION, KafkaError._BAD_MSG, KafkaError._NOT_IMPLEMENTED})
"""What the driver calls a batch that it cannot read."""
_ANSWER_S: Final = 5.0
_READ_S: Final = 10.0
"""What can be read comes sooner, also over a slow network; of some damage the driver says nothing."""
_SLICE_S: Final = 0.2


def is_readable(settings: MemberSettings, partition: Partition, offset: int) -> bool:
    """Say whether a record, or the end of the partition, can be read there. Takes up to half a minute.

    Raises:
        BrokerUnavailableError: the broker does not answer: so nothing is known.
    """
    with _reader(settings) as reader:
        return _is_readable(reader, partition, offset)


def first_readable(settings: MemberSettings, partition: Partition, offset: int) -> int:
    """Find the first offset from this one on that can be read; the end of the partition when there is none.

    A broker sends the whole batch, from whichever offset in it one asks: so all that is asked for within it fails, and
    what follows does not. Steps that double, then a search between the last two, take a few tries. Damaged batches that
    follow one another count as one. Takes seconds, and a minute or two where the driver says nothing: not for the
    thread that polls.

    Raises:
        BrokerUnavailableError: the broker does not answer: so nothing is known.
    """
    with _reader(settings) as reader:
        end = _end(reader, partition)
        if offset >= end or _is_readable(reader, partition, offset):
            return offset
        bad, step = offset, 1
        while bad + step < end and not _is_readable(reader, partition, bad + step):
            bad, step = bad + step, 2 * step
        good = min(bad + step, end)
        while good - bad > 1:
            middle = (good + bad) // 2
            if _is_readable(reader, partition, middle):
                good = middle
            else:
                bad = middle
        return good


@contextmanager
def _reader(settings: MemberSettings) -> Iterator[Consumer]:
    config = {
        **connection(settings, "velox-damage"),
        # The driver asks for a group; this one is allowed where access is by group, and never joined.
        "group.id": settings.kafka_consumer_group,
        "enable.auto.commit": False,
        "enable.partition.eof": True,
        "auto.offset.reset": "error",
        "fetch.error.backoff.ms": 10,
        "fetch.wait.max.ms": 10,
        "fetch.message.max.bytes": settings.max_message_bytes,
    }
    reader = Consumer(config)
    try:
        yield reader
    except KafkaException as error:
        raise BrokerUnavailableError(error.args[0].str()) from error
    finally:
        reader.close()


def _is_readable(reader: Consumer, partition: Partition, offset: int) -> bool:
    """Return what is certain: silence means damage only if the broker answers when asked for the partition's end.

    Raises:
        KafkaException: that is not certain.
    """
    answer = _answer(reader, partition, offset)
    if answer is None and _answer(reader, partition, _end(reader, partition)) is None:
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
    return answer is True


def _answer(reader: Consumer, partition: Partition, offset: int) -> bool | None:
    """Say whether something can be read there, None when nothing is heard."""
    reader.assign([TopicPartition(*partition, offset)])
    deadline = Deadline(_READ_S)
    while not deadline.has_passed():
        message = reader.poll(min(_SLICE_S, deadline.left_s()))
        if message is None:
            continue
        error = message.error()
        if error is None or error.code() == KafkaError._PARTITION_EOF:
            return True
        if error.code() in DAMAGED:
            return False
        raise KafkaException(error)
    return None


def _end(reader: Consumer, partition: Partition) -> int:
    return int(reader.get_watermark_offsets(TopicPartition(*partition), timeout=_ANSWER_S)[1])
