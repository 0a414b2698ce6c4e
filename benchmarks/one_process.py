"""What one inference process gets through, and what bounds it: ``python -m benchmarks.one_process --help``."""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import cycle, islice
from queue import Empty, SimpleQueue
from typing import Final

from rich.table import Table

from benchmarks import report
from benchmarks.rig import console, notes
from benchmarks.timing import seconds_each
from velox.allocator import keep_large_blocks
from velox.consumer.dispatch import Dispatcher
from velox.consumer.topology import decode_threads, placements, prepare_environment
from velox.core.deadline import Deadline
from velox.errors import VeloxError
from velox.loading import load_class
from velox.metrics.consumer import ConsumerMetrics
from velox.models.model import Model
from velox.records import Position, Record
from velox.settings import Settings, load
from velox.sources import open_source

_PAYLOADS: Final = 256
_SIZES: Final = (1, 8, 64, 256)
_LEAST_S: Final = 2.0
"""Each term is repeated for at least so long."""
_START_S: Final = 120.0


def main(argv: Sequence[str] | None = None) -> int:
    """Measure each term by itself, then a process with all of them; print a table, write the figures."""
    args = _parser().parse_args(argv)
    where = report.circumstances()
    try:
        settings = load()
        device = placements(settings)[0]
        threads = decode_threads(settings, [device])
        settings = settings.model_copy(update={"batch_size": args.batch, "decode_threads": threads})
        prepare_environment(1)
        payloads = [item.payload for item in islice(open_source(settings, args.source), _PAYLOADS)]
        rates = terms(settings, device, payloads)
        notes.print("One inference process")
        rates[f"one inference process, batches of up to {args.batch}"] = of_process(settings, device, payloads)
    except VeloxError as error:
        notes.print(f"benchmark: {error}", style="red", markup=False)
        return 2
    table = Table("what", "images/s", title=f"One inference process on {device}, {threads} decoding threads")
    for what, per_s in rates.items():
        table.add_row(what, f"{per_s:,.0f}")
    console.print(f"\n{where.text()}", highlight=False)
    console.print(table)
    path = report.save("one-process", where, {"device": device, "threads": threads, "images_per_s": rates})
    console.print(f"Figures in {path.relative_to(report.REPOSITORY)}", highlight=False)
    return 0


def terms(settings: Settings, device: str, payloads: Sequence[bytes]) -> dict[str, float]:
    """Time decoding and predicting, each by itself, in images a second.

    Predicting includes stacking the pixels and copying them to the device and the answers back.
    """
    keep_large_blocks()
    notes.print(f"Loading the model on {device}")
    model: Model = load_class(settings.model)(settings)
    model.load(device)
    inputs = [model.decode(payload) for payload in payloads]
    rates = {"decode, one thread": len(payloads) * per_s(lambda: [model.decode(payload) for payload in payloads])}
    if settings.decode_threads > 1:
        with ThreadPoolExecutor(settings.decode_threads) as threads:
            rate = per_s(lambda: list(threads.map(model.decode, payloads)))
        rates[f"decode, {settings.decode_threads} threads"] = len(payloads) * rate
    for size in sorted({size for size in _SIZES if size <= settings.batch_size} | {settings.batch_size}):
        batch = list(islice(cycle(inputs), size))
        rates[f"predict, batches of {size}"] = size * per_s(partial(model.predict, batch))
    return rates


def of_process(settings: Settings, device: str, payloads: Sequence[bytes]) -> float:
    """Time a process as the fetcher runs it: bytes through a pipe, answers back; in images a second."""
    answered: SimpleQueue[int] = SimpleQueue()
    dispatcher = Dispatcher(settings, [device], ConsumerMetrics(), lambda answers: answered.put(len(answers)))
    nowhere = Position("", 0, 0)
    records = cycle(Record(id="", position=nowhere, payload=payload, produced_at=0.0) for payload in payloads)
    try:
        deadline = Deadline(_START_S)
        while not dispatcher.is_warm and dispatcher.failure is None and not deadline.has_passed():
            time.sleep(0.01)
        if dispatcher.failure is not None:
            raise dispatcher.failure
        dispatcher.submit(list(islice(records, 8 * settings.batch_size)))
        began, done = time.monotonic(), 0
        while time.monotonic() - began < 2 * _LEAST_S:
            count = _next(answered, dispatcher)
            dispatcher.submit(list(islice(records, count)))
            done += count
        return done / (time.monotonic() - began)
    finally:
        dispatcher.close(Deadline(_START_S))


def _next(answered: "SimpleQueue[int]", dispatcher: Dispatcher) -> int:
    while True:
        try:
            return answered.get(timeout=1)
        except Empty:
            if dispatcher.failure is not None:
                raise dispatcher.failure from None


def per_s(step: Callable[[], object]) -> float:
    """Answer how often a step goes by in a second."""
    return 1 / seconds_each(step, clock=time.monotonic, least_s=_LEAST_S)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.one_process",
        description="Measures what one inference process gets through, without Kafka and sinks: decoding and "
        "predicting each by itself, then both as they run together. The lowest of them is the bound. Settings and "
        "model are those of a consumer started here: DEVICE, BACKEND, PRECISION, DECODE_THREADS, MODEL_PATH.",
    )
    parser.add_argument("--batch", type=int, default=256, metavar="N", help="records predicted together (default: 256)")
    parser.add_argument("--source", default="shapes", help="of the images: shapes or folder:PATH (default: shapes)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
