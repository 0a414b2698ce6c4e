"""An inference process that is stopped, wherever it is, is killed in time and replaced; the others go on."""

import os
import signal
import struct
import threading
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection

import psutil
import pytest

from tests.e2e.fragile import LengthModel
from tests.e2e.pipeline import wait_until
from tests.fakes import make_record
from velox.consumer import inference
from velox.consumer.dispatch import Dispatcher
from velox.consumer.inference import answer
from velox.consumer.messages import Ready, Reply, Work
from velox.consumer.portions import Portions
from velox.core.deadline import Deadline
from velox.metrics.consumer import ConsumerMetrics
from velox.records import Answered, ModelInfo, Prediction
from velox.settings import Settings

Start = Callable[..., Dispatcher]
MIB = 1024 * 1024


def stop_in_the_middle(settings: Settings, device: str, pipe: "Connection[Reply, Work | None]") -> None:
    """Serve as an inference process does, but at the payload ``stop`` send half an answer and stop."""
    model = LengthModel(settings)
    pipe.send(Ready(ModelInfo(model.name, model.version, tuple(model.labels), device)))
    while (work := pipe.recv()) is not None:
        if any(payload == b"stop" for _, payload in work.payloads):
            os.write(pipe.fileno(), struct.pack("!i", MIB) + b"half")
            os.kill(os.getpid(), signal.SIGSTOP)
        pipe.send(answer(model, work.payloads, portions=Portions(1)))


@pytest.fixture
def outcomes() -> dict[int, str]:
    return {}


@pytest.fixture
def start(outcomes: dict[int, str]) -> Iterator[Start]:
    made: list[Dispatcher] = []
    lock = threading.Lock()

    def note(answered: list[Answered]) -> None:
        with lock:
            for each in answered:
                good = isinstance(each.answer, Prediction)
                outcomes[each.record.position.offset] = "predicted" if good else "dead-lettered"

    def make(**settings: object) -> Dispatcher:
        chosen = {"model": "tests.e2e.fragile:LengthModel", **settings}
        made.append(Dispatcher(Settings(**chosen), ["cpu", "cpu"], ConsumerMetrics()))  # type: ignore[arg-type]  # any setting
        made[-1].start(note)
        wait_until(lambda: made[-1].is_warm, what="both processes ready")
        return made[-1]

    yield make
    for each in made:
        assert each.close(Deadline(10))


def test_a_process_stopped_in_the_middle_of_an_answer_holds_up_no_other(
    start: Start, outcomes: dict[int, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inference, "serve", stop_in_the_middle)
    dispatcher = start(inference_timeout_s=5, batch_size=1)
    dispatcher.submit([make_record(0, payload=b"stop")])
    goods = range(1, 50)
    for offset in goods:  # one by one: also to the idle one of the two, which is not the stopped one
        dispatcher.submit([make_record(offset, payload=b"good")])
        wait_until(lambda offset=offset: offset in outcomes or len(outcomes) > 40, what=f"{offset} predicted")  # type: ignore[misc]  # mypy does not infer a lambda's default
    wait_until(lambda: len(outcomes) == 50, what="the stopped process replaced, and its record blamed")
    assert outcomes == {0: "dead-lettered"} | dict.fromkeys(goods, "predicted")
    assert dispatcher.failure is None


def test_a_process_stopped_while_large_payloads_are_sent_to_it_is_replaced(
    start: Start, outcomes: dict[int, str]
) -> None:
    dispatcher = start(inference_timeout_s=5, batch_size=2)
    first, _ = (child for child in psutil.Process().children() if "spawn_main" in " ".join(child.cmdline()))
    first.suspend()
    dispatcher.submit([make_record(offset, payload=bytes(4 * MIB)) for offset in range(16)])
    wait_until(lambda: len(outcomes) >= 8, what="its neighbour goes on")
    assert first.is_running(), "before the stopped one is killed"
    wait_until(lambda: len(outcomes) == 16, what="what the stopped one had, predicted by others")
    assert set(outcomes.values()) == {"predicted"}
    assert not first.is_running()
    assert dispatcher.failure is None


def test_a_record_that_kills_while_it_is_decoded_ahead_costs_only_itself(
    start: Start, outcomes: dict[int, str]
) -> None:
    dispatcher = start(model="tests.e2e.fragile:DeadlyDecodeModel", batch_size=4, decode_threads=3)
    deadly = 30
    dispatcher.submit([make_record(n, payload=b"die" if n == deadly else b"good") for n in range(60)])
    wait_until(lambda: len(outcomes) == 60, what="all accounted for")
    assert outcomes == {n: "dead-lettered" if n == deadly else "predicted" for n in range(60)}
    assert dispatcher.failure is None
