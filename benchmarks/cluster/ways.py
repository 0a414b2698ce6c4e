"""One way to have frames predicted by two models, measured: a process of its own in Ray's environment."""

import argparse
import itertools
import json
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import ray
from ray import serve

from benchmarks.cluster import naive
from benchmarks.cluster.window import Window, measure
from velox.cluster.config import parse
from velox.cluster.frames import Frame, Seen
from velox.cluster.handle import ServeHandle
from velox.cluster.serving import APPLICATION, application
from velox.cluster.starting import join_or_start
from velox.consumer.dispatch import Dispatcher
from velox.core.deadline import Deadline
from velox.metrics.consumer import ConsumerMetrics
from velox.records import Answered, Pointer, Position, Record
from velox.settings import InferenceSettings, ObjectSettings, Settings, load

LIST: Final = 32
_PORT: Final = 18123
_POLL_S: Final = 0.1
_CONFIG: Final = """
classifier1: {num_cpus: 0.5, max_batch_size: 32, batch_wait_timeout_s: 0.005, max_ongoing_requests: 64}
classifier2: {num_cpus: 0.5, max_batch_size: 32, batch_wait_timeout_s: 0.005, max_ongoing_requests: 64}
inference: {max_ongoing_requests: 64}
"""
Found = dict[str, Window]


def _in_turn(keys: Sequence[str]) -> Callable[[int], list[str]]:
    """Answer the next so many keys, for whichever thread asks."""
    endless, lock = itertools.cycle(keys), threading.Lock()

    def some(count: int) -> list[str]:
        with lock:
            return list(itertools.islice(endless, count))

    return some


def _asking(port: int, some: Callable[[int], list[str]]) -> Callable[[], int]:
    def step() -> int:
        body = json.dumps({"img_path": some(1)[0], "camera_id": "camera_1"}).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{port}/inference", data=body, method="POST")
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - the same
            answer.read()
        return 1

    return step


def by_naive(settings: Settings, folder: Path, keys: Sequence[str], lasts_s: float) -> Found:
    """Measure the plain way, with Ray's defaults."""
    ray.init(address="local", include_dashboard=False, log_to_driver=False)
    serve.start(http_options={"port": _PORT})
    serve.run(naive.application(settings.part(InferenceSettings), folder), route_prefix="/inference")
    step = _asking(_PORT, _in_turn(keys))
    return {f"http_naive_{many}": measure(step, lasts_s=lasts_s, at_a_time=many) for many in (1, 16)}


def by_service(settings: Settings, folder: Path, keys: Sequence[str], lasts_s: float) -> Found:
    """Measure Velox's deployments: over HTTP, by a handle one by one, and in lists."""
    join_or_start()
    config = parse(_CONFIG, folder)
    own = settings.part(InferenceSettings).model_copy(update={"decode_threads": 1})
    serve.start(http_options={"port": _PORT})
    models = {entry.name: own for entry in config.classifiers}
    serve.run(application(config, models, settings.part(ObjectSettings)), name=APPLICATION)
    some = _in_turn(keys)
    handle = ServeHandle(settings)
    handle.connect()

    def asking(count: int) -> Callable[[], int]:
        def step() -> int:
            reply = handle.ask([Frame(pointer=Pointer(key=key)) for key in some(count)])
            if not isinstance(reply, Seen):
                raise TypeError(reply)
            return count

        return step

    return {
        "http_velox_16": measure(_asking(_PORT, some), lasts_s=lasts_s, at_a_time=16),
        "handle_1": measure(asking(1), lasts_s=lasts_s, at_a_time=16),
        "handle_list": measure(asking(LIST), lasts_s=lasts_s, at_a_time=6),
    }


@contextmanager
def _dispatcher(settings: Settings, answered: Callable[[list[Answered]], None]) -> Iterator[Dispatcher]:
    own = settings.part(InferenceSettings).model_copy(update={"decode_threads": 1})
    made = Dispatcher(own, ["cpu"], ConsumerMetrics())
    made.start(answered)
    try:
        yield made
    finally:
        made.close(Deadline(10))


def by_processes(settings: Settings, folder: Path, keys: Sequence[str], lasts_s: float) -> Found:
    """Measure Velox's own inference processes, one for each model, as two consumer groups have them."""
    some = _in_turn(keys)
    arrived = threading.Condition()
    left: dict[int, int] = {}
    numbers = itertools.count()

    def answered(answers: list[Answered]) -> None:
        with arrived:
            for each in answers:
                left[each.record.epoch] -= 1
            arrived.notify_all()

    with _dispatcher(settings, answered) as first, _dispatcher(settings, answered) as second:

        def step() -> int:
            number = next(numbers)
            records = [
                Record(id=key, position=Position("camera_1", 0, at), epoch=number, payload=payload, produced_at=0.0)
                for at, key in enumerate(some(LIST))
                if (payload := (folder / key).read_bytes())
            ]
            # A consumer of each group reads the frame by itself.
            again = [(folder / record.id).read_bytes() for record in records]
            with arrived:
                left[number] = 2 * len(again)
            first.submit(records)
            second.submit(records)
            with arrived:
                arrived.wait_for(lambda: not left[number])
                del left[number]
            return LIST

        while not (first.is_warm and second.is_warm):
            time.sleep(_POLL_S)
        return {"processes": measure(step, lasts_s=lasts_s, at_a_time=6)}


_WAYS: Final = {"naive": by_naive, "service": by_service, "processes": by_processes}


def main() -> int:
    """Measure one way, and write what was found as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("way", choices=_WAYS)
    parser.add_argument("--folder", type=Path, required=True, help="the bucket's")
    parser.add_argument("--lasts-s", type=float, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    keys = sorted(str(path.relative_to(args.folder)) for path in args.folder.rglob("*.jpg"))
    found: dict[str, Any] = _WAYS[args.way](load(), args.folder, keys, args.lasts_s)
    args.out.write_text(json.dumps({name: window._asdict() for name, window in found.items()}))
    ray.shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
