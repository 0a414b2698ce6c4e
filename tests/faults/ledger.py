"""The oracle of every fault: what Kafka acknowledged against what became of it."""

import json
import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
from confluent_kafka import Consumer, TopicPartition

from tests.e2e.pipeline import PATIENCE_S, ConsumerProgram, Pipeline, wait_until
from tests.faults import journal
from tests.faults.load import Load


class Ledger:
    """One pipeline under a fault.

    Every acknowledged record is one result in each sink or one dead letter, nothing is committed that is not done, and
    no process outlives its consumer. How long nothing was stored and what was stored twice is measured.
    """

    def __init__(self, pipeline: Pipeline, measured: Callable[[str, object], None]) -> None:
        self.pipeline = pipeline
        self.load = Load(pipeline.bootstrap, pipeline.topic)
        self.doomed: set[str] = set()
        """Texts that have to become dead letters, besides those that say they are bad."""
        self._measured = measured
        self._faulted_at = time.monotonic()

    def consume(self, failpoint: str = "", **settings: object) -> ConsumerProgram:
        """Start a consumer, with ``name:nth:action`` as its failpoint."""
        armed = {"VELOX_TESTING": "1", "VELOX_FAILPOINT": failpoint} if failpoint else {}
        return self.pipeline.consume(**armed, **settings)

    def wait_for_failpoint(self, name: str) -> None:
        """Wait until a process has reached it."""
        path = self.pipeline.folder / f"failpoint-{name}"
        wait_until(path.exists, what=lambda: f"the failpoint {name}:\n{self.pipeline.programs[0].output}")

    def fault(self) -> None:
        """Note that the fault happens now, or that an outage ends now: recovery is measured from here."""
        self._faulted_at = time.monotonic()

    def stored(self) -> int:
        """Count the distinct records that every sink has."""
        return len({record_id for _, record_id in self._journal()})

    def wait_until_stored(self, count: int) -> None:
        """Wait until at least so many records are stored."""
        wait_until(lambda: self.stored() >= count, what=lambda: f"{count} stored; {self._state()}")

    def wait_for_more(self, count: int = 50) -> None:
        """Wait until so many more are stored than now."""
        self.wait_until_stored(self.stored() + count)

    def wait_until_done(self) -> None:
        """Wait until each acknowledged record is stored or a dead letter, committed or not."""

        def undone() -> int:
            letters = {why["velox-dlq-id"] for _, why in self._dead_letters()}
            return len(self.load.acknowledged) - self.stored() - len(letters)

        wait_until(lambda: undone() == 0, what=lambda: f"all done; {self._state()}")

    def settle(self, *, timeout_s: float = PATIENCE_S) -> None:
        """End the load, wait until all is committed, and check every promise."""
        self.load.end()
        wait_until(
            lambda: self.pipeline.uncommitted() == 0,
            what=lambda: f"all committed; {self._state()}",
            timeout_s=timeout_s,
        )
        self.check_committed()
        self.check()
        times = [self._faulted_at, *sorted(at for at, _ in self._journal() if at > self._faulted_at)]
        gaps = [after - before for before, after in pairwise(times)]
        self._measured("recovery_s", round(max(gaps, default=0.0), 1))
        self._measured("records", len(self.load.acknowledged))
        self._measured("duplicates", self.duplicates())

    def finish(self, *consumers: ConsumerProgram, may_trace: bool = False) -> None:
        """Settle, stop the consumers, and see that no process is left, nor an unexpected error in their logs."""
        self.settle()
        for consumer in consumers:
            assert consumer.stop() == 0, consumer.output
            assert may_trace or not consumer.says("Traceback"), consumer.output
        self.check_no_orphans()

    def check(self) -> None:
        """Every acknowledged record has one result in each sink or one dead letter, and is what was sent."""
        expected = {i: text for i, text in self.load.acknowledged.items() if not self._is_bad(text)}
        for name, found in self._sinks().items():
            assert found == expected, f"{name}: {_difference(found, expected)}"
        if self._is_exactly_once:
            seen = Counter((message.key() or b"").decode() for message in self.pipeline.visible())
            assert max(seen.values(), default=1) == 1, f"seen more than once: {seen.most_common(5)}"
        letters = {why["velox-dlq-id"]: (letter.value() or b"").decode() for letter, why in self._dead_letters()}
        expected = {i: text for i, text in self.load.acknowledged.items() if self._is_bad(text)}
        assert letters == expected, f"dead letters: {_difference(letters, expected)}"

    def check_committed(self) -> None:
        """What is committed is done: each record before the committed offsets is in every sink or a dead letter."""
        committed = self.committed()
        letters = {why["velox-dlq-id"] for _, why in self._dead_letters()}
        for name, found in self._sinks().items():
            undone = []
            for record_id in set(self.load.acknowledged) - set(found) - letters:
                _, partition, offset = record_id.rsplit("-", 2)
                if int(offset) < committed[int(partition)]:
                    undone.append(record_id)
            assert not undone, f"committed, but neither in {name} nor dead letters: {undone}"

    def committed(self) -> dict[int, int]:
        """The group's offset in each partition; negative where there is none."""
        config = {"bootstrap.servers": self.pipeline.bootstrap, "log_level": 0}
        with closing(Consumer({**config, "group.id": self.pipeline.settings["KAFKA_CONSUMER_GROUP"]})) as consumer:
            partitions = consumer.list_topics(self.pipeline.topic, timeout=10).topics[self.pipeline.topic].partitions
            asked = [TopicPartition(self.pipeline.topic, number) for number in partitions]
            answers: list[TopicPartition] = []

            def is_stable() -> bool:  # no transaction is open that may move them
                answers[:] = consumer.committed(asked, timeout=10)
                return all(at.error is None for at in answers)

            wait_until(is_stable, what="the group's offsets are stable")
            return {at.partition: at.offset for at in answers}

    def check_no_orphans(self) -> None:
        """No process works in this pipeline's folder any more."""

        def left() -> list[psutil.Process]:
            found = []
            for process in psutil.process_iter():
                with suppress(psutil.Error):
                    if process.cwd() == str(self.pipeline.folder):
                        found.append(process)
            return found

        wait_until(lambda: not left(), what="no process left behind")

    def duplicates(self) -> int:
        """Count what was written again: results that sinks absorbed, and dead letters."""
        written = Counter(record_id for _, record_id in self._journal())
        written.update(why["velox-dlq-id"] for _, why in self._dead_letters())
        return written.total() - len(written)

    @property
    def _is_exactly_once(self) -> bool:
        return self.pipeline.settings.get("DELIVERY") == "exactly_once"

    def _is_bad(self, text: str) -> bool:
        return text.startswith("bad") or text in self.doomed

    def _state(self) -> str:
        tails = "\n".join(program.output[-2000:] for program in self.pipeline.programs[-2:])
        load = self.load
        return f"{self.stored()} stored of {len(load.acknowledged)}, refused: {load.refused[:3]}\n{tails}"

    def _journal(self) -> list[tuple[float, str]]:
        path = self.pipeline.folder / journal.PATH
        lines = path.read_text().splitlines() if path.exists() else []
        return [(float(at), record_id) for at, _, record_id in (line.partition(" ") for line in lines)]

    def _dead_letters(self) -> list[tuple[Any, dict[str, str]]]:
        return self.pipeline.dead_letters()

    def _path(self, setting: str, default: str) -> Path:
        return self.pipeline.folder / self.pipeline.settings.get(setting, default)

    def _sinks(self) -> dict[str, dict[str, str]]:
        """What each sink of this pipeline has: the text of each record, by its id."""
        names = self.pipeline.settings["SINKS"].split(",")
        found: dict[str, dict[str, str]] = {}
        if "disk" in names:
            files = self._path("STORAGE_PATH", "discoveries").glob("hit_*.jpg")
            found["disk"] = {file.stem.removeprefix("hit_"): file.read_text() for file in files}
        if "mongo" in names:
            found["mongo"] = {d["_id"]: d["predicted_label"] for d in self.pipeline.documents()}
        if "kafka" in names and self._is_exactly_once:
            results = (json.loads(message.value() or b"{}") for message in self.pipeline.visible())
            found["kafka"] = {result["_id"]: result["predicted_label"] for result in results}
        if "sqlite" in names:
            with (
                closing(sqlite3.connect(self._path("SQLITE_PATH", "velox.db"))) as database,
                suppress(sqlite3.OperationalError),
            ):
                found["sqlite"] = dict(database.execute("SELECT id, predicted_label FROM predictions").fetchall())
            found.setdefault("sqlite", {})
        return found


def _difference(found: dict[str, str], expected: dict[str, str]) -> str:
    missing, surplus = sorted(set(expected) - set(found)), sorted(set(found) - set(expected))
    other = [i for i in set(found) & set(expected) if found[i] != expected[i]]
    return (
        f"{len(missing)} missing {missing[:5]}, {len(surplus)} too many {surplus[:5]}, {len(other)} differ {other[:5]}"
    )
