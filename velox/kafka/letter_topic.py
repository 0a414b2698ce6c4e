"""The dead-letter topic as people read it: which letters there are, and what they carry."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from confluent_kafka import Message

from velox.core.letters import HANDLED, Content, Letter, oldest_first, read_letter, read_ranges
from velox.errors import BadRecordError
from velox.kafka.dead_letters import dead_letter_topic
from velox.kafka.lag import Extent, Observer
from velox.kafka.parsing import headers_of, record_bytes
from velox.records import Headers, Partition, Position
from velox.settings import StreamSettings


@dataclass(frozen=True, slots=True)
class Findings:
    """What the topic holds, oldest first. Takes about 600 bytes a letter, whatever the letters' size."""

    open: Sequence[Letter]
    handled: Sequence[Letter]
    """Those that were replayed or discarded already."""
    foreign: int
    """Records that are no dead letters of KAFKA_TOPIC; those of other topics may lie there too."""


class LetterTopic:
    """Reads the dead letters of KAFKA_TOPIC without being a member of any group. Not thread-safe."""

    def __init__(self, settings: StreamSettings) -> None:
        """Make the clients; they connect when first asked."""
        self.source = settings.subscription
        self.name = dead_letter_topic(settings)
        self._letters = Observer(settings)
        self._sources = Observer(settings)

    def __enter__(self) -> Self:
        """Hold the connections for a block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        self._letters.close()
        self._sources.close()

    def find(self, *, on_read: Callable[[int, int], None] = lambda _done, _of: None) -> Findings:
        """Read all that the topic holds now; ``on_read`` hears how many of how many records are read.

        Raises:
            BrokerUnavailableError: the broker does not answer, or there is no such topic.
        """
        extents = self._letters.extents(self.name)
        total = sum(extent.high - extent.low for extent in extents.values())
        unhandled: dict[Position, Letter] = {}
        handled: dict[Position, Letter] = {}
        foreign = 0
        for number, message in enumerate(self._letters.read(extents), 1):
            at, headers = _position(message), letter_headers(message)
            if any(name == HANDLED for name, _ in headers):
                low = extents[Partition(at.topic, at.partition)].low
                for offset in read_ranges(message.value(), low=low, high=at.offset):
                    position = Position(at.topic, at.partition, offset)
                    if letter := unhandled.pop(position, None):
                        handled[position] = letter
            elif letter := read_letter(at, message.timestamp()[1] / 1000, headers, of=self.source.takes):
                unhandled[at] = letter
            else:
                foreign += 1
            on_read(number, total)
        return Findings(oldest_first(unhandled.values()), oldest_first(handled.values()), foreign)

    def contents(self, letters: Sequence[Letter]) -> Iterator[tuple[Letter, Content | None]]:
        """Read what letters carry, in the topic's order; None for one whose record is nowhere any more.

        What a letter had to leave behind is read where its record lies. A letter that the topic has dropped since it
        was found does not appear.
        """
        wanted = {letter.position: letter for letter in letters}
        extents: dict[Partition, Extent] = {}
        for topic, number, offset in wanted:
            seen = extents.get(Partition(topic, number), Extent(offset, offset + 1))
            extents[Partition(topic, number)] = Extent(min(seen.low, offset), max(seen.high, offset + 1))
        for message in self._letters.read(extents):
            if letter := wanted.get(_position(message)):
                yield letter, self._at_source(letter) if letter.is_pointer else _content(message)

    def headers(self, letter: Letter) -> Headers:
        """Read the letter's own headers."""
        topic, number, offset = letter.position
        messages = self._letters.read({Partition(topic, number): Extent(offset, offset + 1)})
        return next((letter_headers(message) for message in messages if message.offset() == offset), ())

    def _at_source(self, letter: Letter) -> Content | None:
        topic, number, offset = letter.source
        messages = self._sources.read({Partition(topic, number): Extent(offset, offset + 1)})
        found = next((_content(message) for message in messages if message.offset() == offset), None)
        return found if found is not None and _is_what_was_left(letter, found) else None


def _is_what_was_left(letter: Letter, found: Content) -> bool:
    """Tell the record by its size from another one, which is there if the topic was deleted and created again."""
    value_bytes = len(found.value or b"")
    if letter.omitted is None or letter.omitted.record_bytes is None:
        return letter.omitted is None or letter.omitted.value_bytes == value_bytes
    # Some letters say a little more than what a record carries: what it may need besides.
    return letter.omitted.record_bytes >= record_bytes(found.key, value_bytes, found.headers) > 0


def _position(message: Message) -> Position:
    return Position(message.topic() or "", message.partition() or 0, message.offset() or 0)


def _content(message: Message) -> Content:
    return Content(message.key(), message.value(), letter_headers(message))


def letter_headers(message: Message) -> Headers:
    """Return a message's headers; none where the name of one cannot be read."""
    try:
        return headers_of(message)
    except BadRecordError:  # as in the consumer: without names that can be read there are no headers
        return ()
