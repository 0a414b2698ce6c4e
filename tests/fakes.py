"""Stand-ins for what is slow, remote or hard to break: a clock, sinks, a dead-letter topic and a model."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

from velox.errors import BadRecordError, BrokerUnavailableError, Reason, SinkUnavailableError
from velox.records import Headers, Partition, Position, Prediction, Record, Result
from velox.settings import Settings


class FakeClock:
    """Monotonic seconds that pass only when told to."""

    def __init__(self, now_s: float = 1000.0) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s

    def advance(self, seconds: float) -> None:
        self.now_s += seconds


def make_record(
    offset: int = 0,
    *,
    partition: int = 0,
    epoch: int = 0,
    head: bytes = b"",
    payload: bytes = b"payload",
    headers: Headers = (),
) -> Record:
    """Make a record whose id is its position, and which counts as 100 bytes."""
    position = Position("image_data", partition, offset)
    return Record(
        id=str(position),
        position=position,
        epoch=epoch,
        head=head,
        payload=payload,
        headers=headers,
        produced_at=1700000000.0,
        timed_from=1700000000.0,
        size_bytes=100,
    )


class FakeSink:
    """Remembers every batch, fails as often as told, and writes in a journal that several fakes may share."""

    def __init__(
        self,
        name: str = "sqlite",
        *,
        takes: Literal["detections", "all"] = "all",
        failing_opens: int = 0,
        failing_writes: float = 0,
    ) -> None:
        self.name = name
        self.takes: Literal["detections", "all"] = takes
        self.batches: list[list[Result]] = []
        self.attempts: list[list[Result]] = []
        self.closed = False
        self.defect: Exception | None = None
        self._failing_opens = failing_opens
        self._failing_writes = failing_writes
        self.journal: list[str] = []

    def open(self) -> None:
        if self._failing_opens > 0:
            self._failing_opens -= 1
            msg = f"{self.name} does not open"
            raise SinkUnavailableError(msg)

    def write(self, batch: Sequence[Result]) -> None:
        self.attempts.append(list(batch))
        if self.defect is not None:
            raise self.defect
        if self._failing_writes > 0:
            self._failing_writes -= 1
            self.journal.append(f"{self.name} down")
            msg = f"{self.name} is down"
            raise SinkUnavailableError(msg)
        self.journal.append(self.name)
        self.batches.append(list(batch))

    def close(self) -> None:
        self.closed = True


class FakeDeadLetters:
    """A dead-letter topic in memory."""

    name = "dead_letters"

    def __init__(self, *, failing_writes: int = 0) -> None:
        self.letters: list[tuple[Record, BadRecordError]] = []
        self.closed = False
        self._failing_writes = failing_writes
        self.journal: list[str] = []

    def write(self, batch: Sequence[tuple[Record, BadRecordError]]) -> None:
        if self._failing_writes > 0:
            self._failing_writes -= 1
            msg = "no broker"
            raise BrokerUnavailableError(msg)
        self.journal.append(self.name)
        self.letters.extend(batch)

    def close(self) -> None:
        self.closed = True


class FakePublisher:
    """Takes every record; the broker's answers are the test's to give."""

    def __init__(self, _settings: Settings | None = None, *, backlog: object = None) -> None:
        self.sent: list[bytes] = []
        self._unanswered: dict[int, Callable[[Partition, int], None]] = {}

    @property
    def waiting(self) -> int:
        return len(self._unanswered)

    def publish(
        self, value: bytes, *, key: bytes | None, headers: Headers, acknowledged: Callable[[Partition, int], None]
    ) -> bool:
        self._unanswered[len(self.sent)] = acknowledged
        self.sent.append(value)
        return True

    def poll(self, timeout_s: float) -> None:
        """Nothing comes by itself."""

    def answer(self, number: int, partition: int, offset: int) -> None:
        """Acknowledge the record that was taken as the ``number``-th, from 0."""
        self._unanswered.pop(number)(Partition("image_data", partition), offset)

    def refuse(self, number: int) -> None:
        """Take it for lost, as a broker does with what is too large for its topic."""
        del self._unanswered[number]


class FakeModel:
    """Reads ``label:confidence`` payloads; ``decode`` refuses ``bad`` and stumbles over ``crash``."""

    name = "fake"
    version = "1"
    labels: Sequence[str] = ("red_circle", "green_square")

    def __init__(self, _settings: Settings | None = None) -> None:
        self.predicted: list[list[Any]] = []
        self.edit: Callable[[list[Prediction | BadRecordError]], list[Prediction | BadRecordError]] = lambda same: same
        """Changes what ``predict`` returns."""

    def load(self, device: str) -> None:
        """Have nothing to load."""

    def decode(self, payload: bytes) -> tuple[str, float]:
        if payload == b"bad":
            raise BadRecordError(Reason.NOT_AN_IMAGE, "it says bad")
        if payload == b"crash":
            msg = "a defect in decode"
            raise RuntimeError(msg)
        label, _, confidence = payload.decode().partition(":")
        return label, float(confidence)

    def predict(self, inputs: Sequence[Any]) -> list[Prediction | BadRecordError]:
        self.predicted.append(list(inputs))
        return self.edit([Prediction(label, confidence) for label, confidence in inputs])
