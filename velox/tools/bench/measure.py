"""Times a model in processes like the consumer's inference processes: all at once, one for each device or core."""

import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import cycle, islice
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier
from threading import BrokenBarrierError
from time import perf_counter
from typing import Any

from velox.allocator import keep_large_blocks
from velox.consumer.topology import placements, prepare_environment
from velox.errors import BadRecordError, ModelError
from velox.loading import load_class
from velox.models.model import Model
from velox.settings import InferenceSettings

_DECODE_SHARE = 0.2
"""Of the time there is; the batch sizes share the rest."""


@dataclass(frozen=True, slots=True)
class Timing:
    """One step of one process."""

    records: int
    seconds: float

    @property
    def each_s(self) -> float:
        """Seconds a record."""
        return self.seconds / self.records


@dataclass(frozen=True, slots=True)
class Measured:
    """What one process found."""

    model: str
    version: str
    bad: int
    """Payloads that the model refuses to decode."""
    decode: Timing
    predict: dict[int, Timing]
    """By batch size."""


def batch_sizes(largest: int) -> list[int]:
    """Answer the powers of two below BATCH_SIZE, and itself."""
    return [*(2**n for n in range(largest.bit_length()) if 2**n < largest), largest]


def measure(settings: InferenceSettings, payloads: Sequence[bytes], for_s: float) -> list[Measured]:
    """Time all processes for about so long, once their models are loaded.

    Raises:
        VeloxError: the model cannot be loaded, or dies.
    """
    devices = placements(settings)
    prepare_environment(len(devices))
    context = get_context("spawn")
    start = context.Barrier(len(devices))
    with ProcessPoolExecutor(len(devices), context, initializer=_prepare, initargs=(start,)) as pool:
        futures = [
            pool.submit(_measure, settings.part(InferenceSettings), device, payloads, for_s) for device in devices
        ]
        wait(futures, return_when=FIRST_EXCEPTION)
        failed = [error for error in (future.exception() for future in futures) if error]
        for failure in sorted(failed, key=lambda error: isinstance(error, BrokenBarrierError)):
            if isinstance(failure, BrokenProcessPool):
                msg = f"a process died while it measured {settings.model}; is there enough memory?"
                raise ModelError(msg) from failure
            raise failure
        return [future.result() for future in futures]


_start: Barrier


def _prepare(start: Barrier) -> None:
    global _start  # noqa: PLW0603 - how a pool's processes are given what cannot be pickled
    _start = start
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    keep_large_blocks()


def _measure(settings: InferenceSettings, device: str, payloads: Sequence[bytes], for_s: float) -> Measured:
    try:
        model, inputs = _loaded(settings, device, payloads)
    except BaseException:
        _start.abort()  # nobody is to wait for this one
        raise
    _start.wait(settings.inference_start_timeout_s)
    sizes = batch_sizes(settings.batch_size)
    decode = _time(_batches(payloads, 1), lambda batch: sum(1 for _ in _decoded(model, batch)), for_s * _DECODE_SHARE)
    slice_s = for_s * (1 - _DECODE_SHARE) / len(sizes)
    predict = {size: _time(_batches(inputs, size), lambda b: len(model.predict(b)), slice_s) for size in sizes}
    return Measured(model.name, model.version, len(payloads) - len(inputs), decode, predict)


def _loaded(settings: InferenceSettings, device: str, payloads: Sequence[bytes]) -> tuple[Model, list[Any]]:
    model: Model = load_class(settings.model)(settings)
    model.load(device)
    if inputs := list(_decoded(model, payloads)):
        return model, inputs
    msg = f"{model.name} can decode none of the {len(payloads)} payloads; is it the model for KAFKA_TOPIC, and CODEC?"
    raise ModelError(msg)


def _decoded(model: Model, payloads: Sequence[bytes]) -> Iterator[Any]:
    for payload in payloads:
        try:
            yield model.decode(payload)
        except BadRecordError:
            continue


def _batches(items: Sequence[Any], size: int) -> Iterator[list[Any]]:
    endless = cycle(items)
    while True:
        yield list(islice(endless, size))


def _time(batches: Iterator[list[Any]], step: Callable[[list[Any]], int], for_s: float) -> Timing:
    """Count what a step gets done; the first one only warms up. At least one counts, however long it takes."""
    step(next(batches))
    records = 0
    started = now = perf_counter()
    while not records or now - started < for_s:
        records += step(next(batches))
        now = perf_counter()
    return Timing(records, now - started)
