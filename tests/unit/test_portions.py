"""A batch that does not fit into memory is predicted in parts; only what does not fit alone is bad."""

from collections.abc import Sequence
from typing import Any

import pytest

from tests.fakes import FakeModel
from velox.consumer.portions import Portions, is_out_of_memory
from velox.errors import BadRecordError, Reason
from velox.records import Prediction

SIZE = 8


class Hungry(FakeModel):
    """Has memory for so many inputs at once; an input of None never fits."""

    def __init__(self, fits: int) -> None:
        super().__init__()
        self.fits = fits
        self.tried: list[int] = []

    def predict(self, inputs: Sequence[Any]) -> list[Prediction | BadRecordError]:
        self.tried.append(len(inputs))
        if len(inputs) > self.fits or None in inputs:
            msg = "no memory"
            raise MemoryError(msg)
        return [Prediction(str(each), 1.0) for each in inputs]


def labels(answers: Sequence[Prediction | BadRecordError]) -> list[str]:
    return [answer.label if isinstance(answer, Prediction) else answer.reason.value for answer in answers]


def test_a_batch_that_fits_is_predicted_whole() -> None:
    model = Hungry(SIZE)
    Portions(SIZE).predict(model, range(SIZE))
    assert model.tried == [SIZE]


@pytest.mark.parametrize("fits", range(1, SIZE + 1))
def test_one_that_does_not_is_predicted_in_parts_and_in_order(fits: int) -> None:
    assert labels(Portions(SIZE).predict(Hungry(fits), range(SIZE))) == [str(n) for n in range(SIZE)]


def test_what_fitted_is_learnt() -> None:
    model, portions = Hungry(3), Portions(SIZE)
    portions.predict(model, range(SIZE))
    assert portions.limit == 2
    model.tried.clear()
    portions.predict(model, range(SIZE))
    assert model.tried == [2, 2, 2, 2]


def test_when_there_is_memory_again_batches_grow_back_step_by_step_to_their_size_and_no_further() -> None:
    model, portions = Hungry(1), Portions(SIZE)
    portions.predict(model, range(SIZE))
    assert portions.limit == 1
    model.fits = 100
    limits = []
    for _ in range(400):
        portions.predict(model, range(SIZE))
        limits.append(portions.limit)
    assert sorted(set(limits)) == [1, 2, 4, 8]
    assert limits == sorted(limits)
    assert max(model.tried) == SIZE


@pytest.mark.parametrize("place", range(SIZE))
def test_an_input_that_does_not_fit_alone_is_bad_and_its_neighbours_keep_their_batches(place: int) -> None:
    inputs: list[int | None] = list(range(SIZE))
    inputs[place] = None
    portions = Portions(SIZE)
    answered = labels(portions.predict(Hungry(SIZE), inputs))
    assert answered == ["out_of_memory" if n == place else str(n) for n in range(SIZE)]
    assert portions.limit == SIZE


def test_what_fits_is_learnt_also_beside_inputs_that_never_fit() -> None:
    model, portions = Hungry(2), Portions(SIZE)
    batch: list[int | None] = [0, 1, 2, 3, 4, None, 6, None]
    for _ in range(2):
        model.tried.clear()
        assert labels(portions.predict(model, batch)).count("out_of_memory") == 2
        assert portions.limit == 2
    assert max(model.tried) == 2, "what failed before is not tried again"


def test_several_inputs_that_never_fit_cost_no_more_attempts_than_there_are_inputs() -> None:
    model, portions = Hungry(SIZE), Portions(SIZE)
    assert labels(portions.predict(model, [None] * SIZE)) == ["out_of_memory"] * SIZE
    assert model.tried == [8, 4, 2, *[1] * SIZE]
    assert portions.limit == SIZE


def test_the_reason_carries_what_the_framework_said() -> None:
    (error,) = Portions(SIZE).predict(Hungry(0), [1])
    assert isinstance(error, BadRecordError)
    assert (error.reason, error.detail) == (Reason.OUT_OF_MEMORY, "MemoryError: no memory")


class OutOfMemoryError(RuntimeError):
    """Named as torch's is."""


@pytest.mark.parametrize(
    ("error", "is_one"),
    [
        (MemoryError(), True),
        (OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB."), True),
        (RuntimeError("CUDA error: out of memory"), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:119] . DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("CUDA error: device-side assert triggered"), False),
        (ValueError("a defect"), False),
    ],
)
def test_the_errors_of_frameworks_are_told_apart(error: Exception, is_one: bool) -> None:
    assert is_out_of_memory(error) == is_one
