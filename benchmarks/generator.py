"""The load of an open loop, a process of its own: ``python -m benchmarks.generator --help``."""

import argparse
import gc
import os
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import numpy as np
from confluent_kafka import KafkaError, Producer

from benchmarks.open_loop import Times, due_times
from velox.settings import Settings, load
from velox.sources import open_source
from velox.tools.verify.numbered import Records

NUMBERED: Final = "numbered"
"""The source whose payloads are the numbered ones, which the model of ``velox verify`` reads."""
_LEAD_S: Final = 0.1
_NICE: Final = -10
"""A generator on a machine of its own would not have to share cores with what it loads."""
_FLUSH_S: Final = 60.0
_SLICE_S: Final = 0.05
"""Longest single wait: how soon a failed delivery is noticed."""


class Generator:
    """Sends each record when it is due, without linger, and notes when that really was."""

    def __init__(self, settings: Settings, source: str) -> None:
        """Connect in the background."""
        self.failed = 0
        payloads = None if source == NUMBERED else open_source(settings, source)
        self._records = Records(run="load", codec=settings.codec, poison=0.0, source=payloads)
        self._topic = settings.kafka_topic
        self._producer = Producer(
            {
                "bootstrap.servers": settings.kafka_bootstrap_server,
                "compression.type": settings.compression_type,
                "linger.ms": 0,
            }
        )

    def send(self, due: Times) -> Times:
        """Send the record with number ``i`` at ``due[i]`` by the monotonic clock; answer when each was handed over."""
        sent = np.full(len(due), np.nan)
        for number, at in enumerate(due.tolist()):
            while (wait_s := at - time.monotonic()) > 0:
                self._producer.poll(0)
                time.sleep(min(wait_s, _SLICE_S))
            self._send(number)
            sent[number] = time.monotonic()
        self.failed += self._producer.flush(_FLUSH_S)
        return sent

    def _send(self, number: int) -> None:
        value, headers = self._records.build(number)
        while True:
            try:
                self._producer.produce(self._topic, value, headers=list(headers), on_delivery=self._delivered)
            except BufferError:
                self._producer.poll(_SLICE_S)
            else:
                self._producer.poll(0)
                return

    def _delivered(self, error: KafkaError | None, _message: Any) -> None:  # noqa: ANN401 - not looked at
        self.failed += error is not None


def main(argv: Sequence[str] | None = None) -> int:
    """Send, write the times; 1 when the broker did not acknowledge every record."""
    args = _parser().parse_args(argv)
    generator = Generator(load(), args.source)
    plan = due_times(args.rate, lasts_s=args.for_s, seed=args.seed, is_steady=args.steady)
    _hurry()
    due = time.monotonic() + _LEAD_S + plan
    sent = generator.send(due)
    np.savez(args.result, due=due, sent=sent)
    if generator.failed:
        sys.stderr.write(f"{generator.failed} records were not acknowledged\n")
    return 1 if generator.failed else 0


def _hurry() -> None:
    """Let nothing hold up what is due: neither a collection nor, where that is permitted, what is measured."""
    gc.freeze()
    gc.disable()
    with suppress(PermissionError):
        os.nice(_NICE)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.generator",
        description="Sends numbered records to KAFKA_TOPIC when they are due, however long the consumer takes.",
    )
    parser.add_argument("--rate", type=float, required=True, metavar="N", help="records a second")
    parser.add_argument("--for", dest="for_s", type=float, required=True, metavar="S", help="seconds")
    parser.add_argument("--seed", type=int, default=0, help="of the gaps between records (default: 0)")
    parser.add_argument("--steady", action="store_true", help="equal gaps instead of random ones")
    parser.add_argument("--source", default="shapes", help="of the payloads (default: shapes)")
    parser.add_argument("--result", type=Path, required=True, metavar="PATH", help="file for the times (.npz)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
