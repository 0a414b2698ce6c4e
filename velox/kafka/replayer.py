"""What replays write: records on their source topic again, and on the dead-letter topic which letters are handled."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from velox.core.deadline import Deadline
from velox.core.letters import HANDLED, Content, Letter, replay_headers, write_ranges
from velox.errors import BrokerUnavailableError
from velox.kafka.connection import connection
from velox.kafka.topics import FRAME_BYTES, HEADROOM_BYTES
from velox.records import Partition
from velox.settings import TopicSettings

Outcome = Literal["replayed", "discarded"]
_SLICE_S: Final = 0.1


class Settled(NamedTuple):
    """What became of the records published since the last time."""

    acknowledged: list[Letter]
    refused: list[tuple[Letter, str]]


class Replayer:
    """Publishes the records of dead letters again. Not thread-safe.

    First a record is acknowledged, then its letter is marked: after a crash in between it is published once more, under
    the same id, and so its result is stored once.
    """

    def __init__(self, settings: TopicSettings) -> None:
        """Make the producer; it connects by itself."""
        self._timeout_s = settings.sink_timeout_s
        self._settled = Settled([], [])
        self._producer = Producer(
            {
                **connection(settings, "velox-dlq"),
                "enable.idempotence": True,
                "compression.type": settings.compression_type,
                "message.max.bytes": settings.max_message_bytes + HEADROOM_BYTES + FRAME_BYTES,
                "message.timeout.ms": int(settings.sink_timeout_s * 1000),
                # A topic that finds one record too large refuses the whole batch around it.
                "batch.num.messages": 1,
            }
        )

    def publish(self, letter: Letter, content: Content) -> None:
        """Hand a record over, for the partition it came from.

        Raises:
            BrokerUnavailableError: nothing can be published any more.
        """

        def delivered(error: KafkaError | None, _message: Message) -> None:
            if error is None:
                self._settled.acknowledged.append(letter)
            else:
                self._settled.refused.append((letter, _explain(error)))

        deadline = Deadline(self._timeout_s)
        topic, partition, _ = letter.source
        headers: list[tuple[str, str | bytes | None]] = [*replay_headers(letter, content.headers)]
        while True:
            try:
                self._producer.produce(
                    topic, content.value, key=content.key, partition=partition, headers=headers, on_delivery=delivered
                )
            except BufferError:
                if deadline.has_passed():
                    raise BrokerUnavailableError("Kafka takes no records: the local queue is full") from None
                self._producer.poll(_SLICE_S)
            except KafkaException as exception:
                error: KafkaError = exception.args[0]
                if error.code() not in {KafkaError.MSG_SIZE_TOO_LARGE, KafkaError._UNKNOWN_PARTITION}:
                    msg = f"Kafka takes no records: {error.str()}"
                    raise BrokerUnavailableError(msg) from exception
                self._settled.refused.append((letter, _explain(error)))
                return
            else:
                return

    def wait(self, timeout_s: float) -> None:
        """Wait for a tenth of a second at most, and handle what Kafka reports meanwhile."""
        self._producer.poll(min(timeout_s, _SLICE_S))

    def settle(self) -> Settled:
        """Wait for the broker's answers to all that was published.

        Raises:
            BrokerUnavailableError: there are none in time.
        """
        self._flush()
        settled, self._settled = self._settled, Settled([], [])
        return settled

    def mark(self, letters: Sequence[Letter], outcome: Outcome) -> None:
        """Note on the dead-letter topic that these are handled: in the letters' own partition, so it outlives them.

        Raises:
            BrokerUnavailableError: not noted, or not all.
        """
        offsets: dict[Partition, list[int]] = defaultdict(list)
        for topic, partition, offset in (letter.position for letter in letters):
            offsets[Partition(topic, partition)].append(offset)
        refusals: list[str] = []

        def delivered(error: KafkaError | None, _message: Message) -> None:
            if error is not None:
                refusals.append(_explain(error))

        for (topic, partition), handled in offsets.items():
            headers: list[tuple[str, str | bytes | None]] = [(HANDLED, outcome.encode())]
            value = write_ranges(handled)
            self._producer.produce(topic, value, partition=partition, headers=headers, on_delivery=delivered)
        self._flush()
        if refusals:
            msg = f"{outcome}, but that could not be noted on the dead-letter topic: {refusals[0]}"
            raise BrokerUnavailableError(msg)

    def _flush(self) -> None:
        try:
            unanswered = self._producer.flush(self._timeout_s + 1)
        except (KafkaException, SystemError) as error:  # a fatal error, raised in the middle of a callback
            msg = f"Kafka takes no records: {error.__cause__ or error}; try again"
            raise BrokerUnavailableError(msg) from error
        if unanswered:
            msg = f"no answer from Kafka to {unanswered} records within {self._timeout_s:g} s; try again"
            raise BrokerUnavailableError(msg)


def _explain(error: KafkaError) -> str:
    if error.code() == KafkaError.MSG_SIZE_TOO_LARGE:
        return f"{error.str()}: a replay adds a few headers; raise max.message.bytes of the topic by 1 KiB or more"
    if error.code() == KafkaError._UNKNOWN_PARTITION:
        return f"{error.str()}: the topic no longer has the partition it came from"
    return error.str()
