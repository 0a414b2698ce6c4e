"""A real inference process learns what its model's batches cost, and chooses them by that."""

import threading
from collections.abc import Callable, Iterator, Sequence
from time import sleep

import pytest

from tests.e2e.fragile import LengthModel
from tests.e2e.pipeline import wait_until
from tests.fakes import make_record
from velox.consumer.dispatch import Dispatcher
from velox.core.deadline import Deadline
from velox.metrics.consumer import ConsumerMetrics
from velox.records import Answered, Prediction
from velox.settings import Settings

RECORDS = 64
"""Four full batches."""


class AffineModel(LengthModel):
    """Takes 20 ms for a batch and 0.1 ms for each record."""

    def predict(self, inputs: Sequence[str]) -> Sequence[Prediction]:
        sleep(0.020 + 0.0001 * len(inputs))
        return super().predict(inputs)


class LinearModel(LengthModel):
    """Takes 20 ms for each record, and offers a sample."""

    def sample(self) -> bytes:
        return b"like those to come"

    def predict(self, inputs: Sequence[str]) -> Sequence[Prediction]:
        sleep(0.020 * len(inputs))
        return super().predict(inputs)


class Bench:
    """One inference process, and the metrics of what it does."""

    def __init__(self, model: type[LengthModel], **settings: object) -> None:
        self.metrics = ConsumerMetrics()
        self._answered = 0
        self._lock = threading.Lock()
        path = f"{model.__module__}:{model.__name__}"
        chosen = Settings(model=path, batch_size=16, **settings)  # type: ignore[arg-type]  # any setting
        self.dispatcher = Dispatcher(chosen, ["cpu"], self.metrics)
        self.dispatcher.start(self._note)
        wait_until(lambda: self.dispatcher.is_warm, what="the process ready")

    def _note(self, answered: list[Answered]) -> None:
        with self._lock:
            self._answered += len(answered)

    def metric(self, name: str, **labels: str) -> float:
        value = self.metrics.registry.get_sample_value(name, labels)
        assert value is not None, name
        return value

    def predict(self, count: int) -> float:
        """Have so many records predicted that come at once; answer in how many batches."""
        due, before = self._answered + count, self.metric("velox_batch_size_count")
        self.dispatcher.submit([make_record(offset, payload=b"any") for offset in range(count)])
        wait_until(lambda: self._answered == due, what="all predicted")
        wait_until(lambda: self.metric("velox_batch_size_sum") >= due, what="all counted")
        return self.metric("velox_batch_size_count") - before


@pytest.fixture
def bench() -> Iterator[Callable[..., Bench]]:
    made: list[Bench] = []

    def make(model: type[LengthModel], **settings: object) -> Bench:
        made.append(Bench(model, **settings))
        return made[-1]

    yield make
    for each in made:
        assert each.dispatcher.close(Deadline(10))


def test_a_model_that_gains_from_batches_gets_full_ones_when_records_wait(bench: Callable[..., Bench]) -> None:
    one = bench(AffineModel)
    assert one.predict(4 * RECORDS) <= 1.5 * 4 * RECORDS / 16
    assert one.metric("velox_compute_seconds", per="batch") > 5 * one.metric("velox_compute_seconds", per="record")
    assert one.metric("velox_arrival_rate_records") > 0


def test_a_model_that_gains_nothing_answers_each_record_as_soon_as_it_can(bench: Callable[..., Bench]) -> None:
    one = bench(LinearModel)
    assert one.predict(1) == 1
    assert one.metric("velox_batch_aim_records") == 1, "what it does to a batch was learnt before the first record"
    assert one.metric("velox_batch_wait_seconds") == 0
    assert one.predict(RECORDS) > 1.5 * RECORDS / 16
    assert one.metric("velox_compute_seconds", per="batch") < one.metric("velox_compute_seconds", per="record")


def test_a_fixed_wait_is_kept_whatever_was_learnt(bench: Callable[..., Bench]) -> None:
    one = bench(LinearModel, batch_timeout_ms=50)
    assert one.predict(RECORDS) == RECORDS / 16
    assert one.metric("velox_batch_aim_records") == 16
    assert one.metric("velox_batch_wait_seconds") == 0.05
