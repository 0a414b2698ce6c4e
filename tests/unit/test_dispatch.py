"""Who predicts what when processes die, with processes that are only pretended."""

import threading
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from time import monotonic
from typing import Any

import pytest

from tests.fakes import make_record
from velox.consumer import dispatch
from velox.consumer.dispatch import Answered, Dispatcher
from velox.consumer.messages import Answers, Ready
from velox.core.deadline import Deadline
from velox.errors import BadRecordError
from velox.metrics import Metrics
from velox.records import ModelInfo, Prediction, Record
from velox.settings import Settings

PATIENCE_S = 10.0
MODEL = ModelInfo("pretended", "1", ("any",), "cpu")


class PretendedProcess:
    """Answers for every record at once, until it is given a deadly one. Both are pipe ends, as of a real one."""

    made: list["PretendedProcess"]
    while_it_is_buried: Callable[[], None] = staticmethod(lambda: None)

    def __init__(self, _settings: Settings, device: str, *, for_suspects: bool = False) -> None:
        self.device = device
        self.model: ModelInfo | None = None
        self.for_suspects = for_suspects
        self.deaths_in_a_row = 0
        self.in_flight: dict[int, Record] = {}
        self.active_at = monotonic()
        self.pid = len(self.made)
        self.pipe: Connection[Any, Any]
        self.pipe, self._far_end = Pipe()
        self.sentinel, self._life = Pipe(duplex=False)
        self._far_end.send(Ready(MODEL))
        self.made.append(self)

    @property
    def exit_code(self) -> int:
        PretendedProcess.while_it_is_buried()
        return -9

    def give(self, records: Sequence[Record]) -> None:
        tickets = range(len(self.in_flight), len(self.in_flight) + len(records))
        self.in_flight.update(zip(tickets, records, strict=True))
        if any(record.payload == b"die" for record in self.in_flight.values()):
            self.die()
        elif not any(record.payload == b"wait" for record in self.in_flight.values()):
            self.answer()

    def answer(self) -> None:
        self._far_end.send(Answers([(ticket, Prediction("any", 1.0)) for ticket in self.in_flight], 0, 0, 0))

    def say(self, something: object) -> None:
        self._far_end.send(something)

    def take_back(self, answers: Answers) -> list[tuple[Record, Prediction | BadRecordError]]:
        self.deaths_in_a_row = 0
        return [(self.in_flight.pop(ticket), answer) for ticket, answer in answers.answers]

    def die(self) -> None:
        self._life.send("dead")  # not closed: that would race with ``close`` in the watching thread

    def kill(self) -> None:
        self.die()

    def close(self, _timeout_s: float) -> None:
        for end in (self.pipe, self._far_end, self.sentinel, self._life):
            end.close()


class Bench:
    """A dispatcher over pretended processes, and what came of the records."""

    def __init__(self, *, processes: int = 1, restarts: int = 5) -> None:
        PretendedProcess.made = []
        self.outcomes: dict[int, str] = {}
        self._changed = threading.Condition()
        settings = Settings(inference_restarts=restarts)
        self.dispatcher = Dispatcher(settings, ["cpu"] * processes, Metrics(), self._answered)
        self.until(lambda: self.dispatcher.is_warm)

    def _answered(self, answered: list[Answered]) -> None:
        with self._changed:
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


def test_several_deadly_records_in_one_flight_cost_only_themselves(bench: Callable[..., Bench]) -> None:
    one = bench()
    deadly = set(range(0, 32, 8))
    one.dispatcher.submit([make_record(n, payload=b"die" if n in deadly else b"good") for n in range(32)])
    one.until(lambda: len(one.outcomes) == 32)
    assert {n for n, outcome in one.outcomes.items() if outcome == "dead-lettered"} == deadly
    assert one.dispatcher.failure is None


def test_all_processes_dying_at_once_is_one_death_of_each(bench: Callable[..., Bench]) -> None:
    one = bench(processes=3, restarts=1)
    for process in list(PretendedProcess.made):
        process.die()
    one.until(lambda: len(PretendedProcess.made) == 6 and one.dispatcher.is_warm)
    assert one.dispatcher.failure is None


def test_processes_that_keep_dying_in_one_place_end_it(bench: Callable[..., Bench]) -> None:
    one = bench(restarts=2)
    for n in range(3):
        one.until(lambda n=n: len(PretendedProcess.made) == n + 1 and one.dispatcher.is_warm)  # type: ignore[misc]  # mypy does not infer a lambda's default
        PretendedProcess.made[-1].die()
    one.until(lambda: one.dispatcher.failure is not None)
    assert "3 inference processes in a row" in str(one.dispatcher.failure)


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
    PretendedProcess.made[0].say(Answers([(99, Prediction("any", 1.0))], 0, 0, 0))
    one.until(lambda: one.dispatcher.failure is not None)
    assert "KeyError" in str(one.dispatcher.failure)
