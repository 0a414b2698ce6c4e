"""PREDICTOR=serve: what becomes of records that deployments elsewhere predict."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from queue import SimpleQueue

import pytest

from tests.fakes import make_record
from velox.cluster.frames import Column, Frame, Kind, Reply, Said, Seen, Trouble
from velox.cluster.predictor import ServePredictor, hand_over_size
from velox.core.deadline import Deadline
from velox.errors import BadRecordError, InferenceFailedError, Reason
from velox.metrics.consumer import ConsumerMetrics
from velox.records import Answered, ModelInfo, Prediction, Record, Timings
from velox.settings import Settings

CIRCLES = ModelInfo("circles", "1", (), "cpu")
COLOURS = ModelInfo("colours", "2", (), "cpu")
PATIENCE_S = 20.0
DEADLY = b"deadly"


class FakeService:
    """Two models that answer at once, but for what tests have in store."""

    def __init__(self) -> None:
        self.replies: list[Callable[[Sequence[Frame]], Reply]] = []
        """What is answered before it is all right again."""
        self.troubles: list[Trouble] = []
        """What connecting meets first."""
        self.asked: list[list[bytes]] = []
        self.is_closed = threading.Event()
        self._lock = threading.Lock()

    def connect(self) -> tuple[ModelInfo, ...] | Trouble:
        return self.troubles.pop(0) if self.troubles else (CIRCLES, COLOURS)

    def ask(self, frames: Sequence[Frame]) -> Reply:
        with self._lock:
            self.asked.append([frame.payload for frame in frames])
            reply = self.replies.pop(0) if self.replies else self.sees
        return reply(frames)

    def sees(self, frames: Sequence[Frame]) -> Reply:
        if any(frame.payload == DEADLY for frame in frames):
            return Trouble(Kind.LOST, "the replica died")
        timings = Timings(0.1, 0.2, 0.3, len(frames))
        return Seen([Column(model, [said(model, frame) for frame in frames], timings) for model in (CIRCLES, COLOURS)])

    def close(self) -> None:
        self.is_closed.set()


def said(model: ModelInfo, frame: Frame) -> Said:
    if frame.payload == b"torn" or (frame.payload == b"no circle" and model is CIRCLES):
        return BadRecordError(Reason.UNDECODABLE, "torn")
    return Prediction(model.name, 0.9)


class Bench:
    """A predictor over a pretended service, and what it answers."""

    def __init__(self, **settings: object) -> None:
        self.service = FakeService()
        self.metrics = ConsumerMetrics()
        self.predictor = ServePredictor(Settings(**settings), self.metrics, self.service)  # type: ignore[arg-type]
        self.heard: SimpleQueue[Answered] = SimpleQueue()

    def start(self) -> None:
        self.predictor.start(self._hear)

    def _hear(self, answered: list[Answered]) -> None:
        for each in answered:
            self.heard.put(each)

    def ask(self, *payloads: bytes) -> list[Record]:
        records = [make_record(number, payload=payload) for number, payload in enumerate(payloads)]
        self.predictor.submit(records)
        return records

    def answers(self, count: int) -> dict[bytes, Answered]:
        each = [self.heard.get(timeout=PATIENCE_S) for _ in range(count)]
        assert self.heard.empty()
        return {one.record.payload: one for one in each}


@pytest.fixture
def bench() -> Iterator[Bench]:
    with started(Bench()) as one:
        yield one


@contextmanager
def started(bench: Bench) -> Iterator[Bench]:
    bench.start()
    yield bench
    assert bench.predictor.close(Deadline(PATIENCE_S))


def outcome(answered: Answered) -> list[str]:
    each = [one.answer for one in (answered, *answered.beside)]
    return [one.label if isinstance(one, Prediction) else one.reason.value for one in each]


def test_each_record_has_an_answer_of_every_model(bench: Bench) -> None:
    bench.ask(b"a", b"b")
    answers = bench.answers(2)
    assert outcome(answers[b"a"]) == outcome(answers[b"b"]) == ["circles", "colours"]
    assert [one.model for one in (answers[b"a"], *answers[b"a"].beside)] == [CIRCLES, COLOURS]
    assert answers[b"a"].is_of_several
    assert answers[b"a"].beside[0].is_of_several
    assert bench.predictor.in_hand == 0


def test_records_are_handed_over_in_lists() -> None:
    one = Bench(batch_size=2, queue_size=100)
    one.ask(*(b"%d" % number for number in range(20)))
    with started(one):
        one.answers(20)
    assert sorted(map(len, one.service.asked)) == [4, 8, 8], "as many as the fetcher hands over at once"


def test_a_call_takes_no_more_than_may_be_in_flight() -> None:
    assert hand_over_size(Settings(batch_size=32, queue_size=10)) == 10


def test_what_one_model_cannot_read_another_may(bench: Bench) -> None:
    bench.ask(b"no circle", b"torn", b"fine")
    answers = bench.answers(3)
    assert outcome(answers[b"no circle"]) == ["undecodable", "colours"]
    assert outcome(answers[b"torn"]) == ["undecodable", "undecodable"]
    assert outcome(answers[b"fine"]) == ["circles", "colours"]


def test_a_call_that_is_lost_once_costs_no_record(bench: Bench) -> None:
    bench.service.replies = [lambda _: Trouble(Kind.LOST, "the replica was killed")]
    bench.ask(b"a", b"b")
    assert [outcome(each) for each in bench.answers(2).values()] == [["circles", "colours"]] * 2
    assert bench.service.asked == [[b"a", b"b"]] * 2
    assert bench.metrics.total("velox_inference_restarts_total") == 1


def test_the_record_that_kills_replicas_is_found_and_costs_only_itself(bench: Bench) -> None:
    bench.ask(b"before")
    bench.answers(1)
    bench.ask(b"a", DEADLY, b"b")
    answers = bench.answers(3)
    assert outcome(answers[DEADLY]) == ["killed_inference"]
    assert outcome(answers[b"a"]) == outcome(answers[b"b"]) == ["circles", "colours"]
    assert bench.predictor.failure is None


def test_a_model_that_fails_for_everything_ends_the_consumer_and_blames_no_record() -> None:
    with started(Bench(inference_restarts=3)) as one:
        one.service.replies = [lambda _: Trouble(Kind.LOST, "it always dies")] * 100
        one.ask(b"a", b"b")
        ended = threading.Event()
        while one.predictor.failure is None and not ended.wait(0.01):
            pass
        assert isinstance(one.predictor.failure, InferenceFailedError)
        assert "INFERENCE_RESTARTS=3" in str(one.predictor.failure)
        assert one.heard.empty()


@pytest.mark.parametrize("kind", [Kind.BUSY, Kind.DOWN])
def test_what_cannot_be_taken_now_is_handed_over_later(bench: Bench, kind: Kind) -> None:
    bench.service.replies = [lambda _: Trouble(kind, "not now")] * 3
    bench.ask(b"a")
    assert outcome(bench.answers(1)[b"a"]) == ["circles", "colours"]
    assert bench.service.asked == [[b"a"]] * 4


def test_it_is_not_ready_while_something_cannot_be_reached() -> None:
    one = Bench()
    seen: list[int] = []

    def down(_frames: Sequence[Frame]) -> Reply:
        return Trouble(Kind.DOWN, "the bucket is away")

    def look(frames: Sequence[Frame]) -> Reply:
        seen.append(one.predictor.ready_processes)
        return one.service.sees(frames)

    one.service.replies = [down, look]
    with started(one):
        one.ask(b"a")
        one.answers(1)
    assert seen == [0]
    assert one.predictor.ready_processes == 2


def test_full_queues_leave_it_ready(bench: Bench) -> None:
    seen: list[int] = []

    def look(frames: Sequence[Frame]) -> Reply:
        seen.append(bench.predictor.ready_processes)
        return bench.service.sees(frames)

    bench.service.replies = [lambda _: Trouble(Kind.BUSY, "full"), look]
    bench.ask(b"a")
    bench.answers(1)
    assert seen == [2]


def test_records_wait_until_the_deployments_are_there() -> None:
    one = Bench()
    one.service.troubles = [Trouble(Kind.DOWN, "no application is deployed")] * 2
    one.ask(b"a")
    before = (one.predictor.is_behind(), one.predictor.is_warm)
    with started(one):
        one.answers(1)
        after = (one.predictor.is_behind(), one.predictor.is_warm)
    assert (before, after) == ((True, False), (False, True))


def test_where_only_the_newest_counts_a_frame_that_was_deleted_is_no_bad_record() -> None:
    one = Bench(freshness="latest")

    def gone(frames: Sequence[Frame]) -> Reply:
        missing: list[Said] = [BadRecordError(Reason.OBJECT_MISSING, "gone") for _ in frames]
        return Seen([Column(model, missing, Timings(0, 0, 0, 0)) for model in (CIRCLES, COLOURS)])

    one.service.replies = [gone]
    with started(one):
        one.ask(b"a")
        assert outcome(one.answers(1)[b"a"]) == ["object_gone", "object_gone"]


def test_where_only_the_newest_counts_others_are_dropped() -> None:
    one = Bench(freshness="latest")
    with started(one):
        one.ask(b"older", b"newer")
        answers = one.answers(2)
    assert outcome(answers[b"older"]) == ["superseded"]
    assert outcome(answers[b"newer"]) == ["circles", "colours"]


def test_closing_lets_go_of_what_is_being_asked() -> None:
    one = Bench()

    def waits(_frames: Sequence[Frame]) -> Reply:
        one.service.is_closed.wait(PATIENCE_S)
        return Trouble(Kind.BUSY, "closed")

    one.service.replies = [waits]
    with started(one):
        one.ask(b"a")
    assert one.service.is_closed.is_set()
    assert one.heard.empty()


def test_the_deployments_read_objects_themselves(bench: Bench) -> None:
    assert bench.predictor.reads_objects
