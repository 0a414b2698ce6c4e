"""Stand-ins for what is slow, remote or hard to break: a clock, sinks, Kafka, a dead-letter topic and a model."""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from hashlib import sha256
from types import SimpleNamespace
from typing import Any, cast

from confluent_kafka import (
    OFFSET_INVALID,
    Consumer,
    IsolationLevel,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)
from confluent_kafka.admin import OffsetSpec  # type: ignore[attr-defined]  # exported at run time only

from velox.core.deadline import Deadline
from velox.core.idleness import Cause
from velox.core.offsets import Gap
from velox.errors import (
    BadRecordError,
    BrokerUnavailableError,
    BucketUnavailableError,
    Reason,
    RefusedResultsError,
    SinkUnavailableError,
    VeloxError,
)
from velox.kafka.client import Rebalanced
from velox.kafka.transactions import Transaction
from velox.probes import Report
from velox.records import (
    Answered,
    Failure,
    Headers,
    ModelInfo,
    Outcome,
    Partition,
    Pointer,
    Position,
    Prediction,
    Record,
)
from velox.settings import InferenceSettings, Settings
from velox.sinks.sink import Takes

FAKE_MODEL = ModelInfo("fake", "1", ("red_circle", "green_square"), "cpu")


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
        takes: Takes = "all",
        failing_opens: int = 0,
        failing_writes: float = 0,
    ) -> None:
        self.name = name
        self.takes: Takes = takes
        self.batches: list[list[Any]] = []
        self.attempts: list[list[Any]] = []
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

    def write(self, batch: Sequence[Outcome]) -> None:
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


class FakeOutcomeSink(FakeSink):
    """Hears of failures too."""

    def __init__(self, name: str = "outcomes", *, failing_writes: float = 0) -> None:
        super().__init__(name, takes="outcomes", failing_writes=failing_writes)
        self.refusing: dict[str, str] = {}
        """Why it never takes what, by id."""

    def write(self, batch: Sequence[Outcome]) -> None:
        super().write(batch)
        if refused := {outcome.id: self.refusing[outcome.id] for outcome in batch if outcome.id in self.refusing}:
            raise RefusedResultsError(refused)

    @property
    def heard(self) -> list[tuple[int, str]]:
        """Offsets, each with the label or the reason, in the order in which they came."""
        return [(each.record.position.offset, _what(each)) for batch in self.batches for each in batch]


def _what(outcome: Outcome) -> str:
    return outcome.reason.value if isinstance(outcome, Failure) else outcome.prediction.label


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


class FakeBucket:
    """Objects in memory, which come when the test lets them, or not at all."""

    name = "photos"

    def __init__(self, **objects: bytes) -> None:
        self.objects = dict(objects)
        self.asked: list[str] = []
        """The keys that were read, also in vain."""
        self.written: list[str] = []
        """The keys that were written, in this order."""
        self.slow_writes: dict[str, threading.Event] = {}
        """Keys whose object is written only when this is set."""
        self.slow: dict[str, threading.Event] = {}
        """Keys whose object comes only when this is set."""
        self.problem = ""
        """Why it is down; empty while it is up."""
        self.failures: dict[str, list[Exception]] = {}
        """What reading a key raises, in this order, before it succeeds."""
        self.opened = self.closed = False

    def open(self) -> None:
        self._check()
        self.opened = True

    def get(self, pointer: Pointer, *, most_bytes: int) -> bytes:
        key = pointer.key
        self.asked.append(key)
        if key in self.slow:
            assert self.slow[key].wait(60)
        if self.failures.get(key):
            raise self.failures[key].pop(0)
        self._check()
        if key not in self.objects:
            raise BadRecordError(Reason.OBJECT_MISSING, key)
        if len(self.objects[key]) > most_bytes:
            raise BadRecordError(Reason.TOO_LARGE, key)
        return self.objects[key]

    def put(self, key: str, payload: bytes) -> Pointer:
        if key in self.slow_writes:
            assert self.slow_writes[key].wait(60)
        self._check()
        self.objects[key] = payload
        self.written.append(key)
        return Pointer(key=key, bucket=self.name, size_bytes=len(payload), sha256=sha256(payload).hexdigest())

    def list(self, prefix: str = "") -> Iterator[Pointer]:
        yield from (Pointer(key=key) for key in self.objects if key.startswith(prefix))

    def link(self, key: str, *, for_s: float) -> str:
        return f"fake:{key}?{for_s}"

    def delete(self, keys: Sequence[str]) -> None:
        for key in keys:
            self.objects.pop(key, None)

    def close(self) -> None:
        self.closed = True

    def _check(self) -> None:
        if self.problem:
            raise BucketUnavailableError(self.problem)


class FakePublisher:
    """Takes every record; the broker's answers are the test's to give."""

    def __init__(self, _settings: Settings | None = None, *, backlog: object = None) -> None:
        self.sent: list[bytes] = []
        self.topics: list[str] = []
        """Where each was to go."""
        self._unanswered: dict[int, Callable[[Partition, int], None]] = {}

    @property
    def waiting(self) -> int:
        return len(self._unanswered)

    def publish(
        self,
        value: bytes,
        *,
        key: bytes | None,
        headers: Headers,
        acknowledged: Callable[[Partition, int], None],
        topic: str,
    ) -> bool:
        self._unanswered[len(self.sent)] = acknowledged
        self.sent.append(value)
        self.topics.append(topic)
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


class FakeKafka:
    """A member of the group that owns two partitions: gives out prepared messages, and remembers what it is told."""

    def __init__(self, _settings: Settings | None = None) -> None:
        self.ready: list[Message] = []
        self.asked_for: list[int] = []
        self.paused = False
        self.commits: list[dict[Partition, int]] = []
        self.commits_now: list[dict[Partition, int]] = []
        self.owned = frozenset({Partition("image_data", 0), Partition("image_data", 1)})
        self.at = {Partition("image_data", 0): 0}
        self.behind: int | None = 7
        self.was_reading: list[bool] = []
        self.damaged: dict[Partition, int] = {}
        self.skipped: dict[Partition, int] = {}
        self.problem: str | None = None
        self.accepts = True
        """Whether the broker accepts commits."""
        self.before_fetch: Callable[[], None] = lambda: None
        self.listened = 0
        self.closed = False
        self._on_committed: Callable[[Mapping[Partition, int]], None] = lambda _offsets: None

    def listen(self) -> None:
        self.listened += 1

    def subscribe(
        self,
        listener: Rebalanced,
        on_committed: Callable[[Mapping[Partition, int]], None],
        *,
        is_stopping: Callable[[], bool],
    ) -> None:
        self._on_committed = on_committed
        if not is_stopping():
            listener.assigned(dict.fromkeys(self.owned, 0))

    def membership(self) -> str:
        return "a member of this generation"

    def close(self) -> None:
        self.closed = True

    def fetch(self, most: int, _timeout_s: float) -> list[Message]:
        self.asked_for.append(most)
        self.before_fetch()
        if self.paused:
            return []
        given, self.ready = self.ready[:most], self.ready[most:]
        return given

    def is_paused(self) -> bool:
        return self.paused

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        self.paused = False

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        self.commits.append(dict(offsets))
        self._on_committed(offsets if self.accepts else {})

    def commit_now(self, offsets: Mapping[Partition, int]) -> None:
        self.commits_now.append(dict(offsets))
        self._on_committed(offsets if self.accepts else {})

    def positions(self) -> dict[Partition, int]:
        return self.at

    def look(self, positions: Mapping[Partition, int], *, is_reading: bool) -> dict[Partition, int]:
        self.was_reading.append(is_reading)
        return {} if self.behind is None else dict.fromkeys(positions, self.behind)

    def skip(self) -> dict[Partition, int]:
        skipped, self.skipped = self.skipped, {}
        return skipped

    def expired(self, gaps: Sequence[Gap]) -> dict[Partition, int]:
        return {gap.partition: gap.stop - gap.start for gap in gaps}


class ScriptedConsumer:
    """The driver's consumer: gives out messages, and rebalances in the middle of its calls when told to."""

    def __init__(self, config: dict[str, Any] | None = None) -> None:
        self.config = config or {}
        self.messages: list[Message] = []
        self.refusal: KafkaException | None = None
        """Of a commit as a whole."""
        self.refused: set[int] = set()
        """The partitions of which a commit is refused."""
        self.silent = False
        """Whether the broker answers no question."""
        self.offsets: dict[int, int] = {0: 3, 1: 3}
        """What the group has committed, by partition."""
        self.unstable: set[int] = set()
        """Partitions with an open transaction that may move that."""
        self.watermarks = (2, 9)
        self.topics_there = ["image_data"]
        self.there = [0, 1]
        """The partitions of each."""
        self.at: dict[int, int] = {}
        """Where the client itself knows that it is."""
        self.commits: list[dict[int, int]] = []
        """Those that waited for their answer."""
        self.committed_by: int | None = None
        self.sought: list[tuple[int, int]] = []
        self.given: dict[int, int] = {}
        """The offsets at which partitions were taken."""
        self.still: set[int] = set()
        self.closed = False
        self.during_poll: Callable[[], None] = lambda: None
        self.during_consume: Callable[[], None] = lambda: None
        self.subscribed: list[list[str]] = []
        """The topics of each subscription, one after the other."""
        self._assigned: list[TopicPartition] = []
        self._on_its_way: list[list[TopicPartition]] = []

    def subscribe(self, topics: Sequence[str], **callbacks: Callable[..., None]) -> None:
        self.topics, self.callbacks = topics, callbacks
        self.subscribed.append(list(topics))

    def unsubscribe(self) -> None:
        self.subscribed.append([])

    def rebalance(self, what: str, *partitions: TopicPartition) -> None:
        numbers = {at.partition for at in partitions}
        self._assigned = [at for at in self._assigned if at.partition not in numbers]
        self.callbacks[what](cast("Consumer", self), list(partitions))

    def incremental_assign(self, partitions: list[TopicPartition]) -> None:
        self.given |= {at.partition: at.offset for at in partitions}
        self._assigned += [TopicPartition(at.topic, at.partition) for at in partitions]

    def poll(self, _timeout_s: float) -> Message | None:
        while self._on_its_way:
            offsets = self._on_its_way.pop(0)
            self.config["on_commit"](self.refusal and self.refusal.args[0], self._answers(offsets))
        self.during_poll()
        return self.messages.pop(0) if self.messages else None

    def consume(self, most: int, _timeout_s: float) -> list[Message]:
        self.during_consume()
        given, self.messages = self.messages[:most], self.messages[most:]
        return given

    def commit(self, *, offsets: list[TopicPartition], asynchronous: bool) -> list[Any] | None:
        self.committed_by = threading.get_ident()
        assert offsets, "the driver would commit something else"
        if asynchronous:
            self._on_its_way.append(offsets)
            return None
        if self.refusal is not None:
            raise self.refusal
        self.commits.append({at.partition: at.offset for at in offsets})
        return self._answers(offsets)

    def list_topics(self, topic: str | None, *, timeout: float) -> Any:  # noqa: ANN401 - a part of the driver's metadata
        self._answer(timeout)
        names = self.topics_there if topic is None else [topic]
        return SimpleNamespace(topics={name: SimpleNamespace(partitions=dict.fromkeys(self.there)) for name in names})

    def committed(self, partitions: list[TopicPartition], *, timeout: float) -> list[Any]:
        self._answer(timeout)
        assert partitions, "the driver would wait for nothing until its time is out"
        unstable = KafkaError(KafkaError.UNSTABLE_OFFSET_COMMIT)
        return [
            SimpleNamespace(
                topic=at.topic,
                partition=at.partition,
                offset=OFFSET_INVALID
                if at.partition in self.unstable
                else self.offsets.get(at.partition, OFFSET_INVALID),
                error=unstable if at.partition in self.unstable else None,
            )
            for at in partitions
        ]

    def get_watermark_offsets(self, _at: TopicPartition, *, timeout: float) -> tuple[int, int]:
        self._answer(timeout)
        return self.watermarks

    def seek(self, at: TopicPartition) -> None:
        self.sought.append((at.partition, at.offset))

    def position(self, partitions: list[TopicPartition]) -> list[TopicPartition]:
        return [TopicPartition(at.topic, at.partition, self.at.get(at.partition, OFFSET_INVALID)) for at in partitions]

    def assignment(self) -> list[TopicPartition]:
        return self._assigned

    def pause(self, partitions: list[TopicPartition]) -> None:
        self.still.update(at.partition for at in partitions)

    def resume(self, partitions: list[TopicPartition]) -> None:
        self.still.difference_update(at.partition for at in partitions)

    def consumer_group_metadata(self) -> str:
        return "member 1 of generation 7"

    def close(self) -> None:
        self.closed = True

    def _answer(self, timeout_s: float) -> None:
        assert timeout_s > 0
        if self.silent:
            raise KafkaException(KafkaError(KafkaError._TRANSPORT))

    def _answers(self, offsets: list[TopicPartition]) -> list[Any]:
        refusal = KafkaError(KafkaError.REBALANCE_IN_PROGRESS)
        return [
            SimpleNamespace(
                topic=at.topic,
                partition=at.partition,
                offset=at.offset,
                error=refusal if at.partition in self.refused else None,
            )
            for at in offsets
        ]


class FakeAdmin:
    """Answers at once where partitions begin and end, as far as it knows."""

    def __init__(self) -> None:
        self.ends: dict[Partition, int] = {}
        self.stable: dict[Partition, int] = {}
        """Where the first open transaction begins, for those who read only what is committed."""
        self.beginnings: dict[Partition, int] = {}
        self.refusal: KafkaException | None = None
        self.topics: list[str] = []
        self.asked: set[Partition] = set()
        """Of which partitions anything was asked."""

    def list_topics(self, *, timeout: float) -> Any:  # noqa: ANN401 - the driver's metadata
        assert timeout > 0
        return SimpleNamespace(topics=dict.fromkeys(self.topics))

    def list_offsets(
        self,
        asked: Mapping[TopicPartition, OffsetSpec],
        *,
        isolation_level: IsolationLevel = IsolationLevel.READ_UNCOMMITTED,
        request_timeout: float,
    ) -> dict[TopicPartition, Future[Any]]:
        assert request_timeout > 0
        self.asked |= {Partition(at.topic, at.partition) for at in asked}
        known = {IsolationLevel.READ_UNCOMMITTED: self.ends, IsolationLevel.READ_COMMITTED: self.stable}
        return {
            at: self._answer(
                Partition(at.topic, at.partition),
                self.beginnings if spec is OffsetSpec._earliest else known[isolation_level],
            )
            for at, spec in asked.items()
        }

    def _answer(self, partition: Partition, known: Mapping[Partition, int]) -> Future[Any]:
        future: Future[Any] = Future()
        if self.refusal is not None:
            future.set_exception(self.refusal)
        elif partition in known:
            future.set_result(SimpleNamespace(offset=known[partition]))
        else:
            future.set_exception(KafkaException(KafkaError(KafkaError._TIMED_OUT)))
        return future


class FakeDispatcher:
    """Takes records; answers each at once if there is somebody to tell, but for those that say ``hold``."""

    def __init__(
        self,
        settings: InferenceSettings | None = None,
        devices: Sequence[str] = (),
        _metrics: object = None,
    ) -> None:
        self.settings, self.devices = settings, devices
        self.is_started = False
        self.failure: VeloxError | None = None
        self.is_warm = True
        self.ready_processes = 1
        self.records: list[Record] = []
        self.lacks: list[Cause] = []
        self.in_hand = 0
        self.asked_if_behind = False
        self.stuck_because: str | None = None
        self.ends = True
        self.given_to_end_s: float | None = None
        """Set once it is closed."""
        self._answered: Callable[[list[Answered]], None] | None = None
        self.reads_objects = False
        self.reports: dict[str, Report] = {}

    def start(self, answered: Callable[[list[Answered]], None]) -> None:
        self.is_started = True
        self._answered = answered

    def submit(self, records: Sequence[Record]) -> None:
        self.records.extend(records)
        if self._answered is not None:
            good = Prediction("red_circle", 0.98)
            self._answered([Answered(r, good, FAKE_MODEL, 1700000001.0) for r in records if r.payload != b"hold"])

    def lacks_because(self, cause: Cause) -> None:
        self.lacks.append(cause)

    def is_behind(self) -> bool:
        self.asked_if_behind = True
        return False

    def stuck(self) -> str | None:
        return self.stuck_because

    def close(self, deadline: Deadline) -> bool:
        self.given_to_end_s = deadline.left_s()
        return self.ends


class FakeBroker:
    """What producers have committed; they fail as told, and take as long as told."""

    def __init__(self) -> None:
        self.committed: list[Transaction] = []
        self.offsets: dict[Partition, int] = {}
        self.errors: list[Exception] = []
        """Raised in the place of a commit, in this order."""
        self.refusals: list[Exception] = []
        """Raised when a producer registers."""
        self.names: list[str] = []
        """Of the producers, one after the other."""
        self.may_end = threading.Event()
        self.may_end.set()

    def producer(self, _settings: Settings, name: str) -> "FakeProducer":
        self.names.append(name)
        return FakeProducer(self)

    def committed_offsets(self, _settings: Settings, partitions: Iterable[Partition]) -> dict[Partition, int]:
        return {p: self.offsets[p] for p in partitions if p in self.offsets}


class FakeProducer:
    """One that may be replaced by another with the same name."""

    def __init__(self, broker: FakeBroker) -> None:
        self.broker = broker

    def open(self, _timeout_s: float) -> None:
        if self.broker.refusals:
            raise self.broker.refusals.pop(0)

    def commit(self, transaction: Transaction, _deadline: Deadline) -> None:
        assert self.broker.may_end.wait(60)
        if self.broker.errors:
            raise self.broker.errors.pop(0)
        self.broker.committed.append(transaction)


class FakeSpan:
    """A span that was begun."""

    def __init__(self, name: str, kind: str, parent: bytes, links: Sequence[bytes], at: float | None) -> None:
        self.name = name
        self.kind = kind
        self.parent = parent
        self.links = list(links)
        self.began = at
        self.ended: float | None = None
        self.is_over = False
        self.error: str | None = None
        self.attributes: dict[str, str | int | float] = {}
        self.traceparent = b""

    def end(
        self,
        *,
        at: float | None = None,
        name: str = "",
        error: str | None = None,
        attributes: Mapping[str, str | int | float] | None = None,
    ) -> None:
        assert not self.is_over
        self.is_over, self.ended, self.error = True, at, error
        self.name = name or self.name
        self.attributes |= attributes or {}


class FakeSpans:
    """Keeps spans; each continues its parent's trace, or begins one."""

    def __init__(self) -> None:
        self.told: list[FakeSpan] = []

    def begin(
        self,
        name: str,
        kind: str,
        *,
        parent: bytes = b"",
        links: Sequence[bytes] = (),
        at: float | None = None,
        attributes: Mapping[str, str | int | float] | None = None,
    ) -> FakeSpan:
        made = FakeSpan(name, kind, parent, links, at)
        number = len(self.told) + 1
        trace, flags = (parent[3:35], parent[-2:]) if parent else (b"%032x" % (0xF00 + number), b"01")
        made.traceparent = b"00-%b-%016x-%b" % (trace, 0xF00 + number, flags)
        made.attributes |= attributes or {}
        self.told.append(made)
        return made

    def named(self, name: str) -> list[FakeSpan]:
        return [each for each in self.told if each.name == name]

    def close(self) -> None:
        """Nothing waits."""
