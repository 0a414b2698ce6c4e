"""What an inference process answers to one batch."""

import pickle
import re
import threading
from collections.abc import Iterator, Sequence
from functools import partial
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from time import monotonic
from typing import Any

import pytest

from tests.fakes import FakeClock, FakeModel
from velox.consumer import inference
from velox.consumer.decoding import Decoding
from velox.consumer.inference import BatchWait, answer, rehearse, step
from velox.consumer.messages import Work
from velox.consumer.portions import Portions
from velox.core.batching import Batcher
from velox.core.pace import Pace
from velox.errors import BadRecordError, Reason
from velox.models.remarks import remark, take_remark
from velox.records import Prediction

Answered = dict[int, Prediction | BadRecordError]


def ask(model: FakeModel, *payloads: bytes) -> Answered:
    """Predict a batch whose tickets are 100, 101, …, and check that each is answered once."""
    batch = [(100 + i, payload) for i, payload in enumerate(payloads)]
    answers = answer(model, batch, portions=Portions(8)).answers
    assert sorted(ticket for ticket, _ in answers) == [100 + i for i in range(len(payloads))]
    return dict(answers)


def reasons(answered: Answered) -> dict[int, Reason]:
    return {ticket: a.reason for ticket, a in answered.items() if isinstance(a, BadRecordError)}


def test_each_payload_gets_its_own_prediction() -> None:
    assert ask(FakeModel(), b"red_circle:0.9", b"green_square:0.8", b"red_circle:0.7") == {
        100: Prediction("red_circle", 0.9),
        101: Prediction("green_square", 0.8),
        102: Prediction("red_circle", 0.7),
    }


def test_a_batch_is_predicted_in_one_call() -> None:
    model = FakeModel()
    ask(model, b"a:0.1", b"b:0.2", b"c:0.3")
    assert model.predicted == [[("a", 0.1), ("b", 0.2), ("c", 0.3)]]


@pytest.mark.parametrize(("poison", "reason"), [(b"bad", Reason.NOT_AN_IMAGE), (b"crash", Reason.UNDECODABLE)])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_one_bad_payload_costs_only_itself(poison: bytes, reason: Reason, place: int) -> None:
    payloads = [b"red_circle:0.9", b"green_square:0.8"]
    payloads.insert(place, poison)
    answered = ask(FakeModel(), *payloads)
    assert reasons(answered) == {100 + place: reason}
    assert [a for _, a in sorted(answered.items()) if isinstance(a, Prediction)] == [
        Prediction("red_circle", 0.9),
        Prediction("green_square", 0.8),
    ]


def test_an_error_in_decode_is_named_with_its_place() -> None:
    error = ask(FakeModel(), b"crash")[100]
    assert isinstance(error, BadRecordError)
    assert re.fullmatch(r"RuntimeError in decode \(fakes\.py:\d+\): a defect in decode", error.detail)


def test_the_model_is_not_asked_about_nothing() -> None:
    model = FakeModel()
    assert reasons(ask(model, b"bad", b"bad")) == {100: Reason.NOT_AN_IMAGE, 101: Reason.NOT_AN_IMAGE}
    assert model.predicted == []


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_wrong_number_of_predictions_is_a_failure_of_the_process(count: int) -> None:
    model = FakeModel()
    model.edit = lambda _same: [Prediction("red_circle", 0.9)] * count
    with pytest.raises(ValueError, match=rf"FakeModel.predict returned {count} predictions for 2 inputs"):
        ask(model, b"a:0.1", b"b:0.2")


def test_an_error_in_predict_is_a_failure_of_the_process() -> None:
    class Broken(FakeModel):
        def predict(self, inputs: Sequence[object]) -> list[Prediction | BadRecordError]:
            msg = "a defect"
            raise RuntimeError(msg)

    with pytest.raises(RuntimeError, match="a defect"):
        ask(Broken(), b"a:0.1")


@pytest.mark.parametrize("confidence", ["nan", "inf", "-inf", "1.01", "-0.01"])
def test_a_confidence_that_is_none_is_a_dead_letter_for_that_record_alone(confidence: str) -> None:
    answered = ask(FakeModel(), b"red_circle:0.9", f"red_circle:{confidence}".encode())
    assert reasons(answered) == {101: Reason.BAD_PREDICTION}


@pytest.mark.parametrize("confidence", ["0", "1"])
def test_the_bounds_of_a_confidence_are_confidences(confidence: str) -> None:
    assert ask(FakeModel(), f"red_circle:{confidence}".encode()) == {100: Prediction("red_circle", float(confidence))}


def test_a_model_may_refuse_an_input_of_its_own_accord() -> None:
    model = FakeModel()
    refusal = BadRecordError(Reason.UNDECODABLE, "nothing in it")
    model.edit = lambda same: [refusal, *same[1:]]
    assert ask(model, b"a:0.1", b"b:0.2") == {100: refusal, 101: Prediction("b", 0.2)}


def test_times_are_told_apart() -> None:
    answers = answer(FakeModel(), [(1, b"a:0.1")], portions=Portions(8), waited_s=0.5)
    assert answers.queue_s == 0.5
    assert answers.decode_s >= 0
    assert answers.inference_s >= 0


class OwnError(BadRecordError):
    """A user's own error: as an exception it is pickled with the base's two arguments, and cannot be built again."""

    def __init__(self, what: str) -> None:
        super().__init__(Reason.UNDECODABLE, what)


def test_a_users_own_kind_of_bad_record_error_crosses_to_the_fetcher() -> None:
    model = FakeModel()
    model.edit = lambda same: [OwnError("no"), *same[1:]]
    answered = pickle.loads(pickle.dumps(ask(model, b"red_circle:0.9", b"red_circle:0.9")))  # noqa: S301 - its own
    assert (answered[100].reason, answered[100].detail) == (Reason.UNDECODABLE, "no")
    assert answered[101] == Prediction("red_circle", 0.9)


def test_a_label_that_is_no_text_is_a_defect_of_the_model() -> None:
    class Numbers(FakeModel):
        def predict(self, inputs: Sequence[str]) -> list[Prediction | BadRecordError]:
            return [Prediction(7, 1.0) for _ in inputs]  # type: ignore[arg-type]  # that is the point

    with pytest.raises(TypeError, match="the label 7; labels are text"):
        ask(Numbers(), b"red_circle:0.9")


def test_a_payload_for_which_there_is_no_memory_to_decode_costs_only_itself() -> None:
    class Swelling(FakeModel):
        def decode(self, payload: bytes) -> tuple[str, float]:
            if payload == b"bomb":
                raise MemoryError
            return super().decode(payload)

    assert reasons(ask(Swelling(), b"red_circle:0.9", b"bomb")) == {101: Reason.OUT_OF_MEMORY}


def test_a_batch_too_large_for_memory_is_answered_all_the_same_and_the_limit_told() -> None:
    class Hungry(FakeModel):
        def predict(self, inputs: Sequence[object]) -> list[Prediction | BadRecordError]:
            if len(inputs) > 2:
                raise MemoryError
            return super().predict(inputs)

    answers = answer(Hungry(), [(n, b"a:0.1") for n in range(8)], portions=Portions(8))
    assert [ticket for ticket, _ in answers.answers] == list(range(8))
    assert answers.batch_limit == 2


@pytest.fixture
def ends() -> Iterator[tuple["Connection[Any, Any]", "Connection[Any, Any]"]]:
    ours, theirs = Pipe()
    with ours, theirs:
        yield ours, theirs


def test_all_that_has_come_meanwhile_is_in_the_next_batch(
    ends: tuple["Connection[Any, Any]", "Connection[Any, Any]"],
) -> None:
    fetcher, pipe = ends
    model = FakeModel()
    batcher = Batcher[tuple[int, bytes]](Pace(size=8, target_s=1))
    wait = BatchWait()
    for ticket in range(3):  # one by one, while the process predicted others
        fetcher.send(Work(monotonic(), [(ticket, b"a:0.1")]))
    assert step(partial(answer, model, portions=Portions(8)), batcher, pipe, wait, Decoding(model.decode))
    assert [ticket for ticket, _ in fetcher.recv().answers] == [0, 1, 2]
    fetcher.send(None)
    assert not step(partial(answer, model, portions=Portions(8)), batcher, pipe, wait, Decoding(model.decode))


def test_a_rehearsal_stays_within_the_bound_and_teaches() -> None:
    model = FakeModel()
    pace = Pace(size=6, target_s=1)
    rehearse(model, b"a:0.1", Portions(6), pace)
    assert [len(inputs) for inputs in model.predicted] == [1, 2, 4]
    assert pace.curve.is_known


def test_a_rehearsal_of_a_slow_model_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeClock()
    monkeypatch.setattr(inference, "monotonic", clock)

    class Slow(FakeModel):
        def predict(self, inputs: Sequence[object]) -> list[Prediction | BadRecordError]:
            clock.advance(0.04 * len(inputs))
            return super().predict(inputs)

    model = Slow()
    rehearse(model, b"a:0.1", Portions(64), Pace(size=64, target_s=1))
    assert [len(inputs) for inputs in model.predicted] == [1, 2], "four more would take 0.28 s"


def test_what_was_decoded_ahead_is_what_is_predicted_and_an_error_costs_only_its_record() -> None:
    model = FakeModel()
    decoding = Decoding(model.decode, threads=2)
    batch = [(1, b"a:0.1"), (2, b"nonsense"), (3, b"b:0.2")]
    decoding.expect(batch)
    ahead = answer(model, batch, portions=Portions(8), decoding=decoding).answers
    at_once = answer(model, batch, portions=Portions(8)).answers
    assert [(ticket, str(found)) for ticket, found in ahead] == [(ticket, str(found)) for ticket, found in at_once]


class Remarking(FakeModel):
    """Remarks on what is ``odd`` or ``bad``."""

    def decode(self, payload: bytes) -> tuple[str, float]:
        if payload.startswith((b"odd", b"bad")):
            remark(f"{payload.decode()}\nwith a second line")
        return super().decode(payload)


@pytest.mark.parametrize("threads", [1, 3])
def test_what_decode_remarks_on_is_told_with_its_batch_and_of_that_payload_alone(threads: int) -> None:
    model = Remarking()
    decoding = Decoding(model.decode, threads=threads)
    batch = [(7, b"odd:0.5"), (8, b"bad"), (9, b"fine:0.5"), (10, b"odder:0.5")]
    decoding.expect(batch)
    first = answer(model, batch, portions=Portions(8), decoding=decoding)
    assert first.remarks == ((7, "odd:0.5 with a second line"), (10, "odder:0.5 with a second line"))
    assert answer(model, [(11, b"fine:0.5")], portions=Portions(8), decoding=decoding).remarks == ()


def test_a_remark_is_short() -> None:
    remark("x" * 10_000)
    assert len(take_remark()) == 200


@pytest.mark.parametrize("threads", [1, 3])
def test_each_payload_is_decoded_once_ahead_on_threads_or_when_it_is_asked_for(threads: int) -> None:
    decoded: list[tuple[bytes, threading.Thread]] = []
    all_decoded = threading.Semaphore(0)

    def decode(payload: bytes) -> str:
        decoded.append((payload, threading.current_thread()))
        all_decoded.release()
        return payload.decode()

    decoding = Decoding(decode, threads=threads)
    decoding.expect([(7, b"seven"), (8, b"eight")])
    if threads > 1:
        assert all(all_decoded.acquire(timeout=60) for _ in range(2))
    assert len(decoded) == (2 if threads > 1 else 0)
    assert decoding.take(8, b"eight") == "eight"
    assert decoding.take(7, b"seven") == "seven"
    assert sorted(payload for payload, _ in decoded) == [b"eight", b"seven"]
    assert all((thread is threading.current_thread()) == (threads == 1) for _, thread in decoded)
