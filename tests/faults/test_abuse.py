"""Strangers send whatever they like, the broker restarts all the time: memory, log and ledger stay as promised.

A minute of it, or as long as ``--abuse-s`` says, with the payloads in ``--abuse-inputs`` besides.
"""

import random
import re
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import psutil
import pytest

from tests.e2e.pipeline import BOTH_DELIVERIES, ConsumerProgram, Pipeline, headers, read, wait_until
from tests.faults.abuse import MIB, Due, Strangers
from tests.faults.conftest import LedgerFactory
from tests.servers.kafka import KafkaServer
from tests.small_model import install

RESTART_EVERY_S = 60.0
FETCHER_MIB = 700
"""QUEUE_BYTES (256), the last hand-over, what the driver prefetches and decompresses, and the program itself."""
LINES_A_SECOND = 5
_PER_DETECTION = re.compile(r"TARGET MATCH|Saved to database")


class Watch:
    """The most memory that each kind of process had, as seen several times a second."""

    def __init__(self, consumer: ConsumerProgram) -> None:
        self.most: Counter[str] = Counter()
        self._main = psutil.Process(consumer.process.pid)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def end(self) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(0.2):
            with suppress(psutil.Error):
                self._saw("fetcher", self._main)
                for child in self._main.children():
                    self._saw("inference", child)

    def _saw(self, what: str, process: psutil.Process) -> None:
        self.most[what] = max(self.most[what], process.memory_info().rss // MIB)


@pytest.mark.fault("strangers send all that is odd, the broker restarts all the time", "memory and log stay bounded")
@pytest.mark.timeout(0)
@BOTH_DELIVERIES
def test_whatever_strangers_send_costs_only_itself(
    ledger: LedgerFactory,
    small_model: Path,
    request: pytest.FixtureRequest,
    record_property: Callable[[str, object], None],
    delivery: str,
) -> None:
    for_s = float(request.config.getoption("--abuse-s", default=60.0))
    inputs = request.config.getoption("--abuse-inputs", default=None)
    own = [path.read_bytes() for path in sorted(Path(inputs).rglob("*")) if path.is_file()] if inputs else []
    with KafkaServer() as broker:
        pipeline = ledger(
            broker=broker,
            DELIVERY=delivery,
            SINKS="sqlite",
            CODEC="framed",
            MODEL="velox.models.image_classifier:ImageClassifier",
            MODEL_ARCH="tiny_cnn",
            QUEUE_SIZE=200,
            BATCH_SIZE=16,
            DEAD_LETTER_RATIO=0,
            MAX_POLL_INTERVAL_MS=60_000,  # as long a restarted broker may wait for a member that it remembers
        ).pipeline
        install(small_model, pipeline.folder)
        strangers = Strangers(pipeline.bootstrap, pipeline.topic, own)
        consumer = pipeline.consume()
        consumer.wait_until_ready()
        watch = Watch(consumer)
        strangers.begin()
        restart_again_and_again(broker, for_s)
        took_s = for_s
        strangers.end()
        wait_until(lambda: pipeline.uncommitted() == 0, what=lambda: consumer.output[-3000:], timeout_s=300)
        watch.end()
        assert consumer.stop() == 0, consumer.output[-3000:]
        lines = [line for line in consumer.output.splitlines() if not _PER_DETECTION.search(line)]
        record_property("records", len(strangers.due))
        record_property("memory_mib", dict(watch.most))
        record_property("log_lines_a_second", round(len(lines) / took_s, 2))
        check(pipeline, strangers)
        assert not consumer.says("Traceback"), consumer.output
        assert watch.most["fetcher"] < FETCHER_MIB
        assert len(lines) / took_s < LINES_A_SECOND, "\n".join(lines[-200:])


def restart_again_and_again(broker: KafkaServer, for_s: float) -> None:
    """Kill or stop it once in a while, and start it again after some seconds."""
    draw = random.Random(7)  # noqa: S311 - the same again
    end = time.monotonic() + for_s
    every_s = min(RESTART_EVERY_S, for_s / 3)
    while (left_s := end - time.monotonic()) > every_s:
        time.sleep(every_s)  # the fault comes on time, whatever state the rest is in
        (broker.kill if draw.random() < 0.5 else broker.stop)()
        time.sleep(draw.uniform(0, 8))
        broker.start()
    time.sleep(max(0.0, left_s))


def check(pipeline: Pipeline, strangers: Strangers) -> None:
    """Reconcile: each record is where it has to be, and nowhere else."""
    with closing(sqlite3.connect(pipeline.folder / "velox.db")) as database:
        stored = {identity for (identity,) in database.execute("SELECT id FROM predictions")}
    letters = {headers(letter)["velox-dlq-id"] for letter in read(pipeline.bootstrap, f"{pipeline.topic}.dlq")}
    due, found = strangers.due, stored | letters
    nowhere = [i for i in due if due[i] is not Due.NOTHING and i not in found]
    assert not nowhere, f"{len(nowhere)} are nowhere: {nowhere[:5]}"
    assert not stored & letters, f"stored and dead letters: {sorted(stored & letters)[:5]}"
    assert not found - due.keys(), "what nobody has sent"
    wrongly = {
        Due.STORED: [i for i in stored if due[i] in {Due.DEAD_LETTER, Due.NOTHING}],
        Due.DEAD_LETTER: [i for i in letters if due[i] in {Due.STORED, Due.NOTHING}],
    }
    assert wrongly == {Due.STORED: [], Due.DEAD_LETTER: []}
    if pipeline.settings["DELIVERY"] == "exactly_once":
        seen = Counter((message.key() or b"").decode() for message in pipeline.visible())
        assert set(seen) == stored
        assert max(seen.values()) == 1
