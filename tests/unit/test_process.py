"""One inference process as the fetcher sees it, over real pipes; the process at their other end is pretended."""

import logging
import os
from collections.abc import Iterator, Sequence
from multiprocessing import get_context
from multiprocessing.connection import Connection
from queue import SimpleQueue
from types import SimpleNamespace
from typing import Any

import pytest

from tests.e2e.pipeline import wait_until
from tests.fakes import FakeClock, make_record
from velox.consumer import process
from velox.consumer.messages import Answers, Ready, Reply, Work
from velox.consumer.process import Heard, InferenceProcess
from velox.core.idleness import Cause, Idleness, Lack
from velox.core.pace import UNDECIDED
from velox.errors import BadRecordError
from velox.records import ModelInfo, Prediction, Record
from velox.settings import InferenceSettings, Settings

WAIT_S = 30
READY = Ready(ModelInfo("pretended", "1", ("any",), "cpu"))


def copy_of(end: "Connection[Any, Any]") -> "Connection[Any, Any]":
    """What a process that is started has: an end of its own, whatever the parent does with the other."""
    return Connection(os.dup(end.fileno()))


class PretendedProcess:
    """Holds the other ends of the pipes until it ends; how it ends is the test's choice."""

    pid = 77

    def __init__(self, *, target: object, args: tuple[Any, ...], daemon: bool) -> None:
        self.exitcode: int | None = None
        self.is_immortal = False
        """Whether not even SIGKILL ends it, as in a driver that hangs."""
        self.ends_when_told = True
        self.code_of_its_own = 0
        self.closed = False
        self.joined: list[float] = []
        self._target, self._args = target, args

    def start(self) -> None:
        mouth, self.serve, self.settings, self.device, pipe = self._args
        self.mouth, self.pipe = copy_of(mouth), copy_of(pipe)

    def end(self, code: int) -> None:
        """Be no more; its code can be had a moment later."""
        self._code = code
        self.pipe.close()
        self.mouth.close()

    def join(self, timeout: float) -> None:
        self.joined.append(timeout)
        if not self.pipe.closed and self.ends_when_told and self.pipe.poll(WAIT_S if timeout else 0):
            while self.pipe.recv() is not None:
                pass
            self.end(self.code_of_its_own)
        if self.pipe.closed:
            self.exitcode = self._code

    def is_alive(self) -> bool:
        return not self.pipe.closed

    def kill(self) -> None:
        if not self.is_immortal and self.is_alive():
            self.end(-9)

    def close(self) -> None:
        self.closed = True


class Bench:
    """An inference process, what is heard of it, and the pretence behind it."""

    def __init__(self, settings: Settings) -> None:
        self.heard: Heard = SimpleQueue()
        self.process = InferenceProcess(settings, "cuda:1", self.heard)
        self.child: PretendedProcess = self.process._process  # type: ignore[assignment]  # that is the pretence

    def hear(self) -> Reply | None:
        """The next thing that is said."""
        who, reply = self.heard.get(timeout=WAIT_S)
        assert who is self.process
        return reply

    def work(self) -> Work:
        """What has come to the child."""
        assert self.child.pipe.poll(WAIT_S)
        work: Work = self.child.pipe.recv()
        return work

    def answer(self, tickets: Sequence[int], **figures: Any) -> list[tuple[Record, Prediction | BadRecordError]]:  # noqa: ANN401 - any of Answers
        """Have the child answer, and take it back."""
        given = {"queue_s": 0, "decode_s": 0, "inference_s": 0, "batch_limit": 8, "finished_at": 0, "batch_wait_s": 0}
        answers: list[tuple[int, Prediction | BadRecordError]] = [(t, Prediction(f"{t}", 1.0)) for t in tickets]
        self.child.pipe.send(Answers(answers, **{**given, **figures}))
        heard = self.hear()
        assert isinstance(heard, Answers)
        return self.process.take_back(heard)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    made = FakeClock()
    monkeypatch.setattr(process, "monotonic", made)
    return made


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch, clock: FakeClock) -> Iterator[Bench]:
    pretence = SimpleNamespace(Pipe=get_context("spawn").Pipe, Process=PretendedProcess)
    monkeypatch.setattr(process, "_spawn", pretence)
    made = Bench(Settings(batch_size=4, kafka_sasl_password="hunter2"))  # noqa: S106 - made up
    yield made
    made.child.is_immortal = False
    if not made.child.closed:
        made.process.kill()
        made.process.close(0)


def offsets(records: Sequence[Record]) -> list[int]:
    return [record.position.offset for record in records]


def records(count: int, *, size: int = 10) -> list[Record]:
    return [make_record(offset, payload=bytes([offset]) * size) for offset in range(count)]


def test_answers_in_any_order_and_over_several_batches_find_their_records(bench: Bench) -> None:
    bench.process.give(records(3))
    bench.process.give([make_record(3, payload=b"\x03" * 10)])
    tickets = {payload[0]: ticket for work in (bench.work(), bench.work()) for ticket, payload in work.payloads}
    first = bench.answer([tickets[2], tickets[0]])
    assert [(record.position.offset, answer) for record, answer in first] == [
        (2, Prediction(f"{tickets[2]}", 1.0)),
        (0, Prediction(f"{tickets[0]}", 1.0)),
    ]
    assert offsets(list(bench.process.in_flight.values())) == [1, 3]
    assert offsets([record for record, _ in bench.answer([tickets[3], tickets[1]])]) == [3, 1]
    assert bench.process.in_flight == {}


def test_what_the_child_says_is_heard_in_order_and_its_end_last_and_once(bench: Bench) -> None:
    bench.child.pipe.send(READY)
    bench.child.end(0)
    assert bench.hear() == READY
    assert bench.hear() is None
    assert bench.process.close(0)
    assert bench.heard.empty()


def test_its_death_leaves_its_records_to_be_found_and_the_code_to_be_told(bench: Bench) -> None:
    bench.process.give(records(2))
    bench.child.end(-11)
    assert bench.hear() is None
    assert bench.process.exit_code == -11
    bench.process.give([make_record(2)])
    assert offsets(list(bench.process.in_flight.values())) == [0, 1, 2]
    assert bench.process.close(0), "what could not be sent holds nobody up"


def test_what_it_cannot_read_is_said_and_is_the_end_of_the_process(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """As a class of the user's that the fetcher does not have."""
    bench.child.pipe.send_bytes(b"cnowhere\nNothing\n.")
    assert bench.hear() is None
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (
            logging.ERROR,
            "An answer of inference process 77 cannot be read: ModuleNotFoundError(\"No module named 'nowhere'\")",
        )
    ]


def test_an_end_in_order_is_nothing_to_tell_of(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.child.end(0)
    assert bench.hear() is None
    assert caplog.messages == []


def test_giving_waits_for_nobody(bench: Bench) -> None:
    """The pipe holds a hundredth of it, and the child reads nothing; the test's own time limit would end a wait."""
    bench.process.give(records(4, size=1_000_000))
    bench.process.give(records(4, size=1_000_000))
    assert len(bench.process.in_flight) == 8


def test_what_is_sent_at_once_is_bounded_in_bytes_and_all_of_it_comes(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "_SENT_BYTES", 100)
    sizes = [500, 30, 30, 40, 1, 101, 99, 2]
    given = [make_record(offset, payload=b"x" * size) for offset, size in enumerate(sizes)]
    bench.process.give(given)
    parts: list[list[int]] = []
    while sum(map(len, parts)) < len(sizes):
        parts.append([len(payload) for _, payload in bench.work().payloads])
    assert parts == [[500], [30, 30, 40], [1], [101], [99], [2]]


def test_every_part_says_when_it_was_given_and_whether_it_is_to_be_predicted_alone(
    bench: Bench, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "_SENT_BYTES", 10)
    bench.process.give(records(2), alone=True)
    assert [(work.sent_at, work.alone) for work in (bench.work(), bench.work())] == [(clock.now_s, True)] * 2
    bench.process.give(records(1))
    assert not bench.work().alone


def test_its_clock_begins_when_it_gets_work_after_having_none(bench: Bench, clock: FakeClock) -> None:
    began = clock.now_s
    clock.advance(100)
    bench.process.give(records(1))
    assert bench.process.active_at == began + 100, "idle time is not held against it"
    clock.advance(7)
    bench.process.give(records(1))
    assert bench.process.active_at == began + 100, "more work is no sign of life"


def test_its_clock_begins_anew_with_each_answer(bench: Bench, clock: FakeClock) -> None:
    bench.process.give(records(2))
    tickets = [ticket for ticket, _ in bench.work().payloads]
    clock.advance(7)
    bench.answer(tickets[:1])
    assert bench.process.active_at == clock.now_s


def test_an_answer_tells_of_the_process_and_ends_the_count_of_deaths(bench: Bench) -> None:
    assert (bench.process.batch_limit, bench.process.decision) == (4, UNDECIDED)
    bench.process.deaths_in_a_row = 3
    bench.process.give(records(1))
    ((ticket, _),) = bench.work().payloads
    decision = UNDECIDED._replace(aim=3)
    bench.answer([ticket], batch_limit=2, decision=decision)
    assert (bench.process.batch_limit, bench.process.decision, bench.process.deaths_in_a_row) == (2, decision, 0)


def test_its_time_is_accounted_for(bench: Bench, clock: FakeClock) -> None:
    idle: dict[Cause, float] = dict.fromkeys(Cause, 0.0)
    bench.process.note_idle(clock.now_s)

    def tell(cause: Cause, seconds: float) -> None:
        idle[cause] += seconds

    def told() -> dict[Cause, float]:
        return {cause: seconds for cause, seconds in idle.items() if seconds}

    bench.process.idleness = Idleness(Lack(Cause.FETCH, since=clock.now_s), tell, since=clock.now_s)
    clock.advance(3)
    bench.process.note_idle(clock.now_s)
    assert told() == {Cause.FETCH: 3}
    clock.advance(1)
    bench.process.give(records(2))
    assert told() == {Cause.FETCH: 4}, "up to when it got work"
    tickets = [ticket for ticket, _ in bench.work().payloads]
    clock.advance(10)
    bench.process.note_idle(clock.now_s)
    assert told() == {Cause.FETCH: 4}, "it works"
    finished = {"finished_at": clock.now_s, "inference_s": 6, "decode_s": 1, "batch_wait_s": 2}
    clock.advance(1)
    bench.answer(tickets[:1], **finished)
    worked = {Cause.FETCH: 4, Cause.DECODE: 1, Cause.BATCH_WAIT: 2, Cause.HAND_OVER: 1}
    assert told() == worked, "it still has a record"
    finished = {"finished_at": clock.now_s, "inference_s": 1, "decode_s": 0, "batch_wait_s": 0}
    clock.advance(2)
    bench.answer(tickets[1:], **finished)
    assert told() == {**worked, Cause.HAND_OVER: 3}, "the answer was two seconds on its way"
    clock.advance(5)
    bench.process.note_idle(clock.now_s)
    assert told() == {**worked, Cause.HAND_OVER: 3, Cause.FETCH: 9}


def test_the_child_gets_its_part_of_the_settings_and_no_secret(bench: Bench) -> None:
    assert type(bench.child.settings) is InferenceSettings
    assert bench.child.device == "cuda:1"
    assert bench.child.settings.batch_size == 4
    assert not any("password" in name or "uri" in name for name in vars(bench.child.settings))


def test_what_the_child_writes_to_standard_error_is_in_the_log(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    os.write(bench.child.mouth.fileno(), b"terminate called")
    bench.child.end(-6)
    wait_until(lambda: caplog.messages == ["Inference process 77: terminate called"], what=lambda: caplog.text)


def test_killing_it_twice_is_one_kill_and_the_first_counts(bench: Bench, clock: FakeClock) -> None:
    bench.child.is_immortal = True
    assert bench.process.killed_at is None
    bench.process.kill()
    killed_at = clock.now_s
    clock.advance(5)
    bench.process.kill()
    assert bench.process.killed_at == killed_at


def test_a_child_that_is_told_to_end_ends_by_itself_and_everything_is_let_go_of(bench: Bench) -> None:
    bench.process.give(records(1))
    assert bench.process.close(12)
    assert bench.process.killed_at is None
    assert bench.child.joined[0] == 12
    assert bench.child.closed
    assert bench.process._pipe.closed
    assert not any(thread.is_alive() for thread in bench.process._threads)


def test_a_child_that_does_not_end_is_killed(bench: Bench) -> None:
    bench.child.ends_when_told = False
    assert bench.process.close(0)
    assert bench.process.killed_at is not None
    assert bench.child.closed


def test_a_child_that_not_even_a_kill_ends_is_said_not_to_have_ended(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "_REAP_S", 0.01)
    bench.child.ends_when_told, bench.child.is_immortal = False, True
    assert not bench.process.close(0)
    assert not bench.child.closed
    wait_until(bench.child.pipe.poll, what="it was told to")
