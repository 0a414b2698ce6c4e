"""What each stage of the pipeline costs by itself, in CPU time: ``python -m benchmarks.throughput.stages --help``."""

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Final, TypeVar

import psutil

from benchmarks.programs import BenchmarkError
from velox import logs
from velox.allocator import keep_large_blocks, return_large_blocks
from velox.consumer.dispatch import Dispatcher
from velox.consumer.topology import core_count, prepare_environment
from velox.consumer.writer import Writer
from velox.core.deadline import Deadline
from velox.errors import VeloxError
from velox.kafka.client import KafkaClient
from velox.kafka.dead_letters import DeadLetters
from velox.kafka.parsing import parse
from velox.loading import load_class
from velox.metrics.consumer import ConsumerMetrics
from velox.models.model import Model
from velox.records import Answered, ModelInfo, Partition, Prediction, Record
from velox.settings import Settings, load
from velox.sinks import paths
from velox.sources import open_source

_PAYLOADS: Final = 48
_LEAST_S: Final = 0.7
"""Each stage is repeated for at least so long."""
_WAIT_S: Final = 30.0
_IN_HAND: Final = 64
"""Records that the writer has at once: about what two inference processes answer while it writes."""

T = TypeVar("T")
Costs = dict[str, float]
"""CPU milliseconds a record, by stage; what several threads or processes use is added up."""


def main(argv: Sequence[str] | None = None) -> int:
    """Measure one part of the pipeline and write what each of its stages costs."""
    args = _parser().parse_args(argv)
    try:
        settings = load()
        logs.configure(level=settings.log_level, form=settings.log_format)
        costs = of_model(settings, args.source) if args.part == "model" else of_path(settings, args.count)
    except (VeloxError, BenchmarkError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    args.result.write_text(json.dumps(costs))
    return 0


def of_model(settings: Settings, source: str) -> Costs:
    """Time what an inference process does with a record, on one thread as there; and who runs the model.

    Raises:
        ModelError: the model cannot run with these settings.
    """
    # Takes half a second to import, which the other part of this file need not wait for.
    import simplejpeg  # noqa: PLC0415

    prepare_environment(core_count())
    keep_large_blocks()
    model: Model = load_class(settings.model)(settings)
    model.load("cpu")
    payloads = [item.payload for item in islice(open_source(settings, source), _PAYLOADS)]
    inputs = [model.decode(payload) for payload in payloads]
    size = inputs[0].shape[0] if settings.preprocessing == "fast" else 0
    batches = [inputs[start : start + settings.batch_size] for start in range(0, len(inputs), settings.batch_size)]
    decode = cpu_ms(
        lambda: [simplejpeg.decode_jpeg(payload, "RGB", min_height=size, min_width=size) for payload in payloads]
    )
    whole = cpu_ms(lambda: [model.decode(payload) for payload in payloads])
    predict = cpu_ms(lambda: [model.predict(batch) for batch in batches])
    return {
        "decode": decode / len(payloads),
        "resize": max(0.0, whole - decode) / len(payloads),
        "predict": predict / len(payloads),
    }


def of_path(settings: Settings, count: int) -> Costs:
    """Time what becomes of a record outside the model."""
    return_large_blocks()
    polling, records = poll_and_parse(settings, count)
    return {"poll, parse": polling, "hand over": hand_over(settings, records), "store": store(settings, records)}


def poll_and_parse(settings: Settings, count: int) -> tuple[float, list[Record]]:
    """Time fetching and taking apart the topic's records, from when partitions are assigned; answer records, too."""
    listener = _Assignments()
    client = KafkaClient(settings)
    client.subscribe(listener, lambda _offsets: None)
    records: list[Record] = []
    deadline = Deadline(_WAIT_S)
    while len(records) < count:
        if deadline.has_passed():
            raise BenchmarkError(f"{len(records)} of {count} records of {settings.kafka_topic} after {_WAIT_S:g} s")
        for message in client.fetch(4 * settings.batch_size, 0.1):
            records.append(parse(message, codec=settings.codec, max_bytes=settings.max_message_bytes)[0])
    used_s = time.process_time() - listener.began_s
    client.close()
    return 1000 * used_s / len(records), records


def hand_over(settings: Settings, records: Sequence[Record]) -> float:
    """Time the way to an inference process and back, on both sides, with a model that costs nothing."""
    settings = settings.model_copy(update={"model": "benchmarks.null_model:NullModel"})
    answered: SimpleQueue[int] = SimpleQueue()
    dispatcher = Dispatcher(settings, ["cpu"], ConsumerMetrics())
    dispatcher.start(lambda answers: answered.put(len(answers)))
    deadline = Deadline(_WAIT_S)
    while not dispatcher.is_warm and not deadline.has_passed():
        time.sleep(0.01)
    began_s, done = _cpu_with_children_s(), 0
    while done == 0 or _cpu_with_children_s() - began_s < _LEAST_S:
        flow(records, dispatcher.submit, answered, most=settings.queue_size, at_once=4 * settings.batch_size)
        done += len(records)
    used_s = _cpu_with_children_s() - began_s
    dispatcher.close(Deadline(_WAIT_S))
    return 1000 * used_s / done


def store(settings: Settings, records: Sequence[Record]) -> float:
    """Time writing every record as a detection to all sinks, without what the servers use."""
    model = ModelInfo("none", "0", settings.labels, "cpu")
    answer = Prediction(settings.labels[0], 1.0)
    stored: SimpleQueue[int] = SimpleQueue()
    sinks = [load_class(path)(settings) for path in paths(settings.sinks)]
    writer = Writer(settings, sinks, DeadLetters(settings), ConsumerMetrics())

    def submit(some: Sequence[Record]) -> None:
        writer.submit([Answered(record, answer, model) for record in some])

    writer.start(done=lambda good, bad: stored.put(len(good) + len(bad)))
    flow(records[: settings.batch_size], submit, stored, most=_IN_HAND, at_once=settings.batch_size)  # opens the sinks
    rest = records[settings.batch_size :]
    began_s = time.process_time()
    flow(rest, submit, stored, most=_IN_HAND, at_once=settings.batch_size)
    used_s = time.process_time() - began_s
    writer.close(_WAIT_S)
    return 1000 * used_s / len(rest)


def cpu_ms(step: Callable[[], object]) -> float:
    """Return the CPU milliseconds that a step takes this process: repeated until it can be told, after a warm-up."""
    step()
    times, began_s = 0, time.process_time()
    while (used_s := time.process_time() - began_s) < _LEAST_S:
        step()
        times += 1
    return 1000 * used_s / times


def flow(
    records: Sequence[T],
    submit: Callable[[Sequence[T]], Any],
    done: "SimpleQueue[int]",
    *,
    most: int,
    at_once: int,
) -> None:
    """Submit records, no more than ``most`` at a time without an answer, until all are done."""
    flying = 0
    for start in range(0, len(records), at_once):
        some = records[start : start + at_once]
        while flying + len(some) > most:
            flying -= done.get(timeout=_WAIT_S)
        submit(some)
        flying += len(some)
    while flying:
        flying -= done.get(timeout=_WAIT_S)


def _cpu_with_children_s() -> float:
    own = psutil.Process()
    times = [process.cpu_times() for process in (own, *own.children())]
    return sum(each.user + each.system for each in times)


class _Assignments:
    """Notes when fetching begins."""

    began_s = 0.0

    def assigned(self, starts: Mapping[Partition, int]) -> None:
        self.began_s = time.process_time()

    def revoked(self, partitions: Sequence[Partition]) -> None:
        """Nothing was committed, nothing has to be."""

    def lost(self, partitions: Sequence[Partition]) -> None:
        """As above."""

    def refused(self, error: str) -> None:
        """As above."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.throughput.stages",
        description="Measures what each stage costs by itself, as CPU milliseconds a record: `model` the work of an "
        "inference process (decode, resize, predict; one thread), `path` the work around it (poll and parse, hand over "
        "to a process and back, store), which needs the broker, topic and sinks of the settings. `make bench` runs "
        "both; their sum is what the roofline is made of: no pipeline of these stages does more than cores / sum.",
    )
    parser.add_argument("part", choices=["model", "path"])
    parser.add_argument("--result", type=Path, required=True, metavar="PATH", help="file for the costs (JSON)")
    parser.add_argument("--source", default="shapes", help="of the images for `model` (default: shapes)")
    parser.add_argument(
        "--count", type=int, default=1000, metavar="N", help="records of the topic for `path` (default: 1000)"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
