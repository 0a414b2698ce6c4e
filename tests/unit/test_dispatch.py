"""Who predicts what when processes die, with processes that are only pretended."""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import count
from time import monotonic
from typing import Any

import pytest

from tests.fakes import make_record
from velox.consumer import dispatch
from velox.consumer.dispatch import Dispatcher
from velox.consumer.messages import Answers, Ready, Reply
from velox.consumer.process import Heard
from velox.core.deadline import Deadline
from velox.core.pace import UNDECIDED
from velox.errors import BadRecordError
from velox.metrics.consumer import ConsumerMetrics
from velox.records import Answered, ModelInfo, Prediction, Record
from velox.settings import Settings

PATIENCE_S = 10.0
MODEL = ModelInfo("pretended", "1", ("any",), "cpu")


class PretendedProcess:
    """Answers in batches at once, until it meets a deadly record, or one it waits at."""

    made: list["PretendedProcess"]
    is_broken = False
    """Whether the model dies of every record."""
    while_it_is_buried: Callable[[], None] = staticmethod(lambda: None)

    def __init__(self, settings: Settings, device: str, heard: Heard, *, for_suspects: bool = False) -> None:
        self.device = device
        self.model: ModelInfo | None = None
        self.for_suspects = for_suspects
        self.batch_limit = settings.batch_size
        self.decision = UNDECIDED
        self.accused: tuple[Record, BadRecordError] | None = None
        self.deaths_in_a_row = 0
        self.in_flight: dict[int, Record] = {}
        self.active_at = monotonic()
        self.killed_at: float | None = None
        self.pid = len(self.made)
        self.given: list[list[int]] = []
        """The offsets of each hand-over."""
        self._to_do: dict[int, Record] = {}
        self._size = settings.batch_size
        self._tickets = count()
        self._heard = heard
        self.say(Ready(MODEL))
        self.made.append(self)

    @property
    def exit_code(self) -> int:
        PretendedProcess.while_it_is_buried()
        return -9

    def give(self, records: Sequence[Record], *, alone: bool = False) -> None:
        assert alone == self.for_suspects
        self.given.append([record.position.offset for record in records])
        new = dict(zip(self._tickets, records, strict=False))
        self.in_flight.update(new)
        self._to_do.update(new)
        while self._to_do:
            batch = dict(list(self._to_do.items())[: self._size])
            payloads = [record.payload for record in batch.values()]
            if b"wait" in payloads:
                break
            if b"die" in payloads or self.is_broken:
                self.die()
                break
            self.answer(batch)

    def answer(self, tickets: Iterable[int] | None = None) -> None:
        tickets = list(self._to_do if tickets is None else tickets)
        remarks = tuple((ticket, "odd") for ticket in tickets if self._to_do[ticket].payload == b"odd")
        predictions: list[tuple[int, Prediction | BadRecordError]] = [
            (ticket, Prediction("any", 1.0)) for ticket in tickets
        ]
        self.say(Answers(predictions, 0, 0, 0, 8, 0, 0, remarks=remarks))
        for ticket in tickets:
            del self._to_do[ticket]

    def say(self, something: Reply | None) -> None:
        self._heard.put((self, something))  # type: ignore[arg-type]  # that is the pretence

    def take_back(self, answers: Answers) -> list[tuple[Record, Prediction | BadRecordError]]:
        self.deaths_in_a_row = 0
        return [(self.in_flight.pop(ticket), answer) for ticket, answer in answers.answers]

    def note_idle(self, now: float) -> None:
        pass

    def die(self) -> None:
        self.say(None)

    def kill(self) -> None:
        self.killed_at = monotonic()
        self.die()

    def close(self, _timeout_s: float) -> bool:
        return True


class Bench:
    """A dispatcher over pretended processes, and what came of the records."""

    def __init__(self, *, processes: int = 1, restarts: int = 5, **settings: Any) -> None:  # noqa: ANN401 - any setting
        PretendedProcess.made = []
        self.outcomes: dict[int, str] = {}
        self.answers = 0
        self._changed = threading.Condition()
        self.metrics = ConsumerMetrics()
        chosen = Settings(**{"inference_restarts": restarts, **settings})
        self.dispatcher = Dispatcher(chosen, ["cpu"] * processes, self.metrics)
        self.dispatcher.start(self._answered)
        self.until(lambda: self.dispatcher.is_warm)

    def _answered(self, answered: list[Answered]) -> None:
        with self._changed:
            self.answers += len(answered)
            for each in answered:
                good = isinstance(each.answer, Prediction)
                self.outcomes[each.record.position.offset] = "predicted" if good else "dead-lettered"
            self._changed.notify_all()

    def until(self, holds: Callable[[], bool]) -> None:
        deadline = Deadline(PATIENCE_S)
        with self._changed:
            while not holds() and not deadline.has_passed():
                self._changed.wait(0.01)
        assert holds(), (self.outcomes, self.dispatcher.failure)


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Bench]]:
    monkeypatch.setattr(dispatch, "InferenceProcess", PretendedProcess)
    monkeypatch.setattr(PretendedProcess, "while_it_is_buried", staticmethod(lambda: None))
    monkeypatch.setattr(PretendedProcess, "is_broken", False)
    made: list[Bench] = []

    def make(**options: int) -> Bench:
        made.append(Bench(**options))
        return made[-1]

    yield make
    for each in made:
        each.dispatcher.close(Deadline(0))


def test_a_record_given_to_a_process_that_is_dying_is_not_forgotten(
    bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = bench()
    late = [make_record(1)]

    def submit_more() -> None:
        if late:
            one.dispatcher.submit([late.pop()])

    monkeypatch.setattr(PretendedProcess, "while_it_is_buried", staticmethod(submit_more))
    one.dispatcher.submit([make_record(0, payload=b"wait")])
    PretendedProcess.made[0].die()
    one.until(lambda: not late)
    one.until(lambda: one.outcomes.get(1) == "predicted" or bool(PretendedProcess.made[-1].in_flight))
    PretendedProcess.made[-1].answer()
    one.until(lambda: one.outcomes == {0: "predicted", 1: "predicted"})


def test_when_one_process_does_not_start_those_that_did_are_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[PretendedProcess] = []

    class OnlyTwo(PretendedProcess):
        def __init__(self, *args: Any, **named: Any) -> None:  # noqa: ANN401 - what a process takes
            if len(self.made) == 2:
                raise OSError("too many processes")
            super().__init__(*args, **named)

        def close(self, _timeout_s: float) -> bool:
            closed.append(self)
            return True

    PretendedProcess.made = []
    monkeypatch.setattr(dispatch, "InferenceProcess", OnlyTwo)
    dispatcher = Dispatcher(Settings(), ["cpu"] * 3, ConsumerMetrics())
    with pytest.raises(OSError, match="too many"):
        dispatcher.start(lambda _answered: None)
    assert not dispatcher.is_warm
    assert dispatcher.close(Deadline(0))
    assert closed == PretendedProcess.made


def test_what_comes_at_once_is_shared_out_evenly(bench: Callable[..., Bench]) -> None:
    one = bench(processes=3)
    one.dispatcher.submit([make_record(n) for n in range(8)])
    assert [process.given for process in PretendedProcess.made] == [[[0, 1, 2]], [[3, 4, 5]], [[6, 7]]]
    one.until(lambda: len(one.outcomes) == 8)


def test_no_process_has_more_than_four_batches_in_hand(bench: Callable[..., Bench]) -> None:
    one = bench(processes=2)
    one.dispatcher.submit([make_record(n, payload=b"wait") for n in range(100)])
    assert [len(process.in_flight) for process in PretendedProcess.made] == [32, 32]


def test_it_is_behind_while_more_records_wait_than_processes_have_room_for(bench: Callable[..., Bench]) -> None:
    one = bench(processes=2)
    one.dispatcher.submit([make_record(n, payload=b"wait") for n in range(64)])
    assert not one.dispatcher.is_behind()
    one.dispatcher.submit([make_record(64, payload=b"wait")])
    assert one.dispatcher.is_behind()


def test_several_deadly_records_in_one_flight_cost_only_themselves(bench: Callable[..., Bench]) -> None:
    one = bench()
    deadly = set(range(0, 32, 8))
    one.dispatcher.submit([make_record(n, payload=b"die" if n in deadly else b"good") for n in range(32)])
    one.until(lambda: len(one.outcomes) == 32)
    assert {n for n, outcome in one.outcomes.items() if outcome == "dead-lettered"} == deadly
    assert one.dispatcher.failure is None


def test_only_what_a_process_may_have_been_computing_is_tried_alone(bench: Callable[..., Bench]) -> None:
    one = bench()
    one.dispatcher.submit([make_record(n, payload=b"die" if n == 12 else b"good") for n in range(32)])
    one.until(lambda: len(one.outcomes) == 32)
    alone = [n for process in PretendedProcess.made[1:] for given in process.given if len(given) == 1 for n in given]
    assert alone == [8, 9, 10, 11, 12, 11, 13, 14, 15], "11 is the witness of 12's guilt"
    assert len(PretendedProcess.made) == 3, "the deadly record costs two deaths"


def test_where_it_decodes_ahead_all_that_it_had_is_tried_alone(bench: Callable[..., Bench]) -> None:
    one = bench(decode_threads=2)
    one.dispatcher.submit([make_record(n, payload=b"die" if n == 12 else b"good") for n in range(32)])
    one.until(lambda: len(one.outcomes) == 32)
    alone = {n for process in PretendedProcess.made[1:] for given in process.given if len(given) == 1 for n in given}
    assert alone == set(range(8, 32))


def test_with_nothing_predicted_yet_a_good_record_is_looked_for_among_those_that_wait(
    bench: Callable[..., Bench],
) -> None:
    one = bench(restarts=3)
    deadly = set(range(8))  # as many as a batch, and more than may die in a row
    one.dispatcher.submit([make_record(n, payload=b"die" if n in deadly else b"good") for n in range(16)])
    one.until(lambda: len(one.outcomes) == 16)
    assert {n for n, outcome in one.outcomes.items() if outcome == "dead-lettered"} == deadly


@pytest.mark.parametrize("predicted_before", [0, 3])
def test_a_model_that_fails_for_everything_is_blamed_on_no_record(
    bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch, predicted_before: int
) -> None:
    one = bench()
    one.dispatcher.submit([make_record(n) for n in range(predicted_before)])
    one.until(lambda: len(one.outcomes) == predicted_before)
    monkeypatch.setattr(PretendedProcess, "is_broken", True)
    one.dispatcher.submit([make_record(n) for n in range(10, 40)])
    one.until(lambda: one.dispatcher.failure is not None)
    assert "dead-lettered" not in one.outcomes.values()


def test_a_deadly_record_with_no_other_behind_it_is_blamed_all_the_same(bench: Callable[..., Bench]) -> None:
    one = bench()
    one.dispatcher.submit([make_record(0)])
    one.until(lambda: one.outcomes == {0: "predicted"})
    one.dispatcher.submit([make_record(1, payload=b"die")])
    one.until(lambda: one.outcomes == {0: "predicted", 1: "dead-lettered"})
    assert one.answers == 2, "the witness is answered for only once"


def test_all_processes_dying_at_once_is_one_death_of_each(bench: Callable[..., Bench]) -> None:
    one = bench(processes=3, restarts=1)
    for process in list(PretendedProcess.made):
        process.die()
    one.until(lambda: len(PretendedProcess.made) == 6 and one.dispatcher.is_warm)
    assert one.dispatcher.failure is None


def test_processes_that_keep_dying_in_one_place_end_it(bench: Callable[..., Bench]) -> None:
    one = bench(restarts=2)
    one.dispatcher.submit([make_record(0, payload=b"wait")])
    for n in range(3):
        one.until(lambda n=n: len(PretendedProcess.made) == n + 1 and one.dispatcher.is_warm)  # type: ignore[misc]  # mypy does not infer a lambda's default
        PretendedProcess.made[-1].die()
    one.until(lambda: one.dispatcher.failure is not None)
    assert "3 inference processes in a row" in str(one.dispatcher.failure)


def test_processes_that_are_killed_while_they_have_nothing_to_do_end_nothing(bench: Callable[..., Bench]) -> None:
    one = bench(restarts=2)
    for n in range(5):
        one.until(lambda n=n: len(PretendedProcess.made) == n + 1 and one.dispatcher.is_warm)  # type: ignore[misc]  # mypy does not infer a lambda's default
        PretendedProcess.made[-1].die()
    one.until(lambda: len(PretendedProcess.made) == 6 and one.dispatcher.is_warm)
    assert one.dispatcher.failure is None


def test_an_answer_between_deaths_begins_the_count_anew(bench: Callable[..., Bench]) -> None:
    one = bench(restarts=1)
    for n in range(4):
        one.dispatcher.submit([make_record(n)])
        one.until(lambda n=n: one.outcomes.get(n) == "predicted")  # type: ignore[misc]  # mypy does not infer a lambda's default
        PretendedProcess.made[-1].die()
        one.until(lambda n=n: len(PretendedProcess.made) == n + 2 and one.dispatcher.is_warm)  # type: ignore[misc]  # mypy does not infer a lambda's default
    assert one.dispatcher.failure is None


def test_a_defect_in_the_dispatcher_ends_the_consumer_instead_of_stopping_silently(bench: Callable[..., Bench]) -> None:
    one = bench()
    PretendedProcess.made[0].say(Answers([(99, Prediction("any", 1.0))], 0, 0, 0, 8, 0, 0))
    one.until(lambda: one.dispatcher.failure is not None)
    assert "KeyError" in str(one.dispatcher.failure)


def test_what_decode_remarks_on_is_counted_once_also_for_a_record_that_is_predicted_again_as_a_witness(
    bench: Callable[..., Bench],
) -> None:
    one = bench()

    def warnings() -> float:
        return one.metrics.total("velox_decode_warnings_total")

    one.dispatcher.submit([make_record(0), make_record(1, payload=b"odd"), make_record(2, payload=b"odd")])
    one.until(lambda: len(one.outcomes) == 3 and warnings() == 2)
    one.dispatcher.submit([make_record(3, payload=b"die")])
    one.until(lambda: one.outcomes.get(3) == "dead-lettered")
    one.dispatcher.submit([make_record(4)])
    one.until(lambda: 4 in one.outcomes)
    assert warnings() == 2


def test_a_model_without_any_target_is_said_once(bench: Callable[..., Bench], caplog: pytest.LogCaptureFixture) -> None:
    bench(processes=3)
    warnings = [message for message in caplog.messages if "matches no label of the model (any)" in message]
    assert len(warnings) == 1
    assert "TARGET_LABELS=red_circle" in warnings[0]


def held_up(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Have a process die, and the dispatcher's turn last until this is set."""
    hold, held = threading.Event(), threading.Event()

    def hold_on() -> None:
        held.set()
        hold.wait(PATIENCE_S)

    monkeypatch.setattr(PretendedProcess, "while_it_is_buried", staticmethod(hold_on))
    PretendedProcess.made[0].die()
    assert held.wait(PATIENCE_S)
    return hold


def test_a_dispatcher_that_turns_is_not_stuck_and_one_that_does_not_is(
    bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = bench()
    assert one.dispatcher.stuck() is None
    hold = held_up(monkeypatch)
    monkeypatch.setattr(dispatch, "_STUCK_S", -1)
    assert str(one.dispatcher.stuck()).startswith("the dispatcher has not turned for ")
    hold.set()


def test_closing_does_not_wait_for_a_turn_that_never_ends(
    bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "_TURN_S", 0.05)
    one = bench()
    hold = held_up(monkeypatch)
    assert not one.dispatcher.close(Deadline(0))
    hold.set()


def test_a_process_that_does_not_die_when_it_is_killed_makes_it_stuck(bench: Callable[..., Bench]) -> None:
    one = bench()
    PretendedProcess.made[0].killed_at = monotonic() - 61
    assert str(one.dispatcher.stuck()).startswith("inference process 0 is still there, 61 s after SIGKILL")


@pytest.mark.parametrize(
    ("state", "silent_s", "is_killed"),
    [
        ("loading", 50, False),
        ("loading", 101, True),
        ("working", 4, False),
        ("working", 50, True),
        ("idle", 1000, False),
    ],
)
def test_a_process_may_be_silent_as_long_as_what_it_does_may_take(
    bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch, state: str, silent_s: float, is_killed: bool
) -> None:
    monkeypatch.setattr(dispatch, "_WATCH_S", 0.01)
    one = bench(inference_timeout_s=5, inference_start_timeout_s=100)
    (process,) = PretendedProcess.made
    if state == "working":
        one.dispatcher.submit([make_record(payload=b"wait")])
    process.model = None if state == "loading" else MODEL
    process.active_at = monotonic() - silent_s
    seen_at = monotonic()
    one.until(lambda: process.killed_at is not None or one.dispatcher._turned_at > seen_at + 0.05)
    assert (process.killed_at is not None) == is_killed
