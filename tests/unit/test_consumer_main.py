"""The consumer's life in one process: its parts are real, but for Kafka, the inference processes and the port."""

import logging
import os
import signal
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Message
from prometheus_client import CollectorRegistry

from tests.fakes import FakeBroker, FakeDeadLetters, FakeDispatcher, FakeKafka
from velox import logs
from velox.consumer import exactly_once, main, pipeline
from velox.consumer import fetcher as fetching
from velox.core import admission
from velox.errors import ModelError, Reason, SettingsError
from velox.records import Partition
from velox.settings import Settings
from velox.sinks import kafka as kafka_sink

P0 = Partition("image_data", 0)
Probe = Callable[[], str | None]


class FakeProbes:
    """A port on which nobody asks."""

    is_taken = False

    def __init__(self, port: int, registry: CollectorRegistry) -> None:
        if self.is_taken:
            raise SettingsError(f"METRICS_PORT={port} is taken")
        self.registry = registry
        self.live: Probe = lambda: "not asked yet"
        self.ready: Probe = lambda: "not asked yet"
        self.closed = False

    def serve(self, *, live: Probe, ready: Probe, reports: Mapping[str, object]) -> None:
        self.live, self.ready, self.reports = live, ready, reports

    def close(self) -> None:
        self.closed = True


class ExitedError(Exception):
    """The process has ended at once, with this code."""


class House:
    """Where a consumer lives: what is around it, and what it has made of it."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.kafka = FakeKafka()
        self.kafka.before_fetch = self._turn
        self.dispatchers: list[FakeDispatcher] = []
        self.probes: list[FakeProbes] = []
        self.dead_letters = FakeDeadLetters()
        self.topics: dict[str, tuple[int, float]] = {}
        """With their headroom, and how long they are waited for."""
        self.log: dict[str, str] = {}
        self.inherited: list[str | None] = []
        self.before_a_topic: Callable[[Callable[[], bool]], None] = lambda _is_stopping: None
        self.ends_when: Callable[[], bool] = lambda: self.kafka.commits[-1:] == [{P0: len(self._given)}]
        """Asked at each turn; then comes a SIGTERM."""
        self.hurry_when: Callable[[], bool] = lambda: False
        """Then comes another."""
        self._given: list[Message] = []
        self._turns = count(1)
        self._signals = 0
        patches = {
            (pipeline, "KafkaClient"): lambda _settings: self.kafka,
            (pipeline, "Dispatcher"): self._dispatcher,
            (pipeline, "DeadLetters"): lambda _settings: self.dead_letters,
            (main, "ProbeServer"): self._probe_server,
            (main, "ensure_topic"): self._ensure_topic,
            (main, "return_large_blocks"): lambda: None,
            (kafka_sink, "ensure_results_topic"): lambda _settings: None,
            (kafka_sink, "message_limit"): lambda settings, _topic: settings.max_message_bytes,
            (logs, "configure"): lambda **how: self.log.update(how),
            (logging, "shutdown"): lambda: None,
            (os, "_exit"): self._exit,
            (fetching, "POLL_S"): 0.001,
            (admission, "PATIENCE_S"): -1,
        }
        for (where, name), what in patches.items():
            monkeypatch.setattr(where, name, what)
        # Asked for, so that both are as they were afterwards.
        for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
            monkeypatch.setenv(name, "")
            monkeypatch.delenv(name)

    def put(self, *values: bytes) -> None:
        """Have records in partition 0."""
        at = len(self._given)
        self._given += [
            Message(topic="image_data", partition=0, offset=at + n, value=value, timestamp=(1, 1700000000000))
            for n, value in enumerate(values)
        ]
        self.kafka.ready += self._given[at:]

    def run(self, **changes: Any) -> int:  # noqa: ANN401 - any setting
        usual = {
            "sinks": ("sqlite",),
            "sqlite_path": self.folder / "velox.db",
            "storage_path": self.folder / "discoveries",
            "device": "cpu",
            "inference_processes": 2,
            "codec": "raw",
            "store": "all",
            "commit_interval_s": 1e-9,
        }
        return main.run(Settings(**{**usual, **changes}))

    @property
    def dispatcher(self) -> FakeDispatcher:
        return self.dispatchers[-1]

    @property
    def has_processes(self) -> bool:
        """Whether any were started, of which it is the dispatcher's to end them."""
        return any(dispatcher.is_started for dispatcher in self.dispatchers)

    def stored(self) -> list[str]:
        with sqlite3.connect(self.folder / "velox.db") as database:
            return [row[0] for row in database.execute("SELECT id FROM predictions ORDER BY id")]

    def value(self, name: str, **labels: str) -> float | None:
        return self.probes[-1].registry.get_sample_value(name, labels)

    def _turn(self) -> None:
        turn = next(self._turns)
        assert turn < 20_000, "it never came to the end of the test"
        if (self._signals == 0 and self.ends_when()) or (self._signals == 1 and self.hurry_when()):
            self._signals += 1
            signal.raise_signal(signal.SIGTERM)

    def _dispatcher(self, *args: Any, **named: Any) -> FakeDispatcher:  # noqa: ANN401 - what a Dispatcher takes
        self.inherited = [os.environ.get(name) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")]
        self.dispatchers.append(FakeDispatcher(*args, **named))
        return self.dispatcher

    def _probe_server(self, port: int, registry: CollectorRegistry) -> FakeProbes:
        self.probes.append(FakeProbes(port, registry))
        return self.probes[-1]

    def _ensure_topic(
        self,
        _settings: Settings,
        topic: str,
        *,
        headroom_bytes: int,
        wait_s: float = 60.0,
        is_stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self.topics[topic] = headroom_bytes, wait_s
        self.before_a_topic(is_stopping)

    def _exit(self, code: int) -> None:
        raise ExitedError(code)


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> House:
    return House(tmp_path, monkeypatch)


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[str], str]]:
    """Answers the only line that begins with some text."""

    def the_line(start: str) -> str:
        (line,) = (message for message in caplog.messages if message.startswith(start))
        return line

    with caplog.at_level(logging.INFO):
        yield the_line


def test_all_stored_and_committed_is_the_exit_code_0(house: House, said: Callable[[str], str]) -> None:
    house.put(b"one", b"two", b"three")
    assert house.run() == 0
    assert house.stored() == [f"image_data-0-{offset}" for offset in range(3)]
    assert house.kafka.closed
    assert house.dispatcher.given_to_end_s is not None
    assert house.probes[-1].closed
    assert said("Drained in ").endswith(
        " s: 3 predicted, 3 detections, 0 dead-lettered, 0 in flight left to be read again"
    )


def test_records_that_time_has_run_out_for_are_the_exit_code_1(house: House, said: Callable[[str], str]) -> None:
    house.put(b"one", b"hold")
    house.ends_when = lambda: house.kafka.commits[-1:] == [{P0: 1}]
    assert house.run(drain_s=0.05) == 1
    assert house.stored() == ["image_data-0-0"]
    assert said("Stopped in ").endswith("1 predicted, 1 detections, 0 dead-lettered, 1 in flight left to be read again")


def test_a_second_signal_ends_it_at_once_with_the_exit_code_1(house: House) -> None:
    house.put(b"hold")
    house.ends_when = lambda: len(house.dispatcher.records) == 1
    house.hurry_when = lambda: True
    assert house.run(drain_s=3600) == 1
    assert house.dispatcher.given_to_end_s == 0, "nothing waits for what nobody waits for"


def test_after_a_drain_what_is_left_of_its_time_is_for_the_processes_to_end(house: House) -> None:
    house.put(b"one")
    assert house.run(drain_s=3600) == 0
    assert 3000 < (house.dispatcher.given_to_end_s or 0) <= 3600


def test_a_last_commit_that_kafka_does_not_take_is_the_exit_code_1(house: House, said: Callable[[str], str]) -> None:
    house.put(b"one", b"two")
    house.kafka.accepts = False
    assert house.run(drain_s=0.05) == 1
    assert said("Stopped in ").endswith("0 in flight and 2 done but not committed, left to be read again")


def test_records_that_come_while_it_drains_stay_in_kafka(house: House) -> None:
    house.put(b"one", b"hold")
    house.ends_when = lambda: house.kafka.commits[-1:] == [{P0: 1}]

    def hurry() -> bool:
        house.put(b"late")
        return len(house.kafka.ready) > 3

    house.hurry_when = hurry
    house.run(drain_s=3600)
    assert [record.payload for record in house.dispatcher.records] == [b"one", b"hold"]


def test_a_part_that_hangs_does_not_hang_the_end_of_the_process(house: House) -> None:
    house.put(b"one")

    def hang() -> bool:
        house.dispatcher.ends = False
        return house.kafka.commits[-1:] == [{P0: 1}]

    house.ends_when = hang
    with pytest.raises(ExitedError, match="1"):
        house.run()
    assert house.stored() == ["image_data-0-0"]


def test_a_failure_ends_it_and_everything_is_closed_all_the_same(house: House) -> None:
    house.put(b"one")

    def fail() -> bool:
        house.dispatcher.failure = ModelError("the model does not load")
        return False

    house.ends_when = fail
    with pytest.raises(ModelError, match="does not load"):
        house.run()
    assert house.dispatcher.given_to_end_s == 0
    assert house.kafka.closed
    assert house.dead_letters.closed, "the writer has ended"
    assert house.probes[-1].closed


def test_a_client_that_cannot_be_made_leaves_no_processes_behind(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_settings: Settings) -> None:
        raise SettingsError("KAFKA_SSL_CA_LOCATION: no file")

    monkeypatch.setattr(pipeline, "KafkaClient", refuse)
    with pytest.raises(SettingsError, match="KAFKA_SSL_CA_LOCATION"):
        house.run()
    assert not house.has_processes
    assert house.probes[-1].closed


def test_processes_that_cannot_be_started_end_it_as_any_failure_does(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_dispatcher: FakeDispatcher, answered: object) -> None:
        raise OSError("too many processes")

    monkeypatch.setattr(FakeDispatcher, "start", refuse)
    with pytest.raises(OSError, match="too many processes"):
        house.run()
    assert house.dispatcher.given_to_end_s == 0, "it ends those that it has started"
    assert house.kafka.closed
    assert house.probes[-1].closed


@pytest.mark.parametrize("wrong", ["port", "sink", "failpoint"])
def test_what_is_wrong_with_the_settings_is_said_before_there_are_processes(
    house: House, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    monkeypatch.setattr(FakeProbes, "is_taken", wrong == "port")
    if wrong == "failpoint":
        monkeypatch.setenv("VELOX_FAILPOINT", "before_commit:1:kill")  # and no VELOX_TESTING
    with pytest.raises(SettingsError, match={"port": "METRICS_PORT=8000", "sink": "nowhere"}.get(wrong, "FAILPOINT")):
        house.run(sinks=("nowhere:Nothing",) if wrong == "sink" else ("sqlite",))
    assert not house.has_processes


@pytest.mark.parametrize("sinks", [("sqlite",), ("sqlite", "kafka")])
def test_the_topics_it_needs_are_made_before_it_joins(house: House, sinks: tuple[str, ...]) -> None:
    house.before_a_topic = lambda _is_stopping: pytest.fail("joined too early") if house.kafka.asked_for else None
    house.ends_when = lambda: True
    house.run(sinks=sinks, drain_s=0.05)
    mebibyte = 1024 * 1024
    dead_letters = {"image_data": (0, float("inf")), "image_data.dlq": (mebibyte, float("inf"))}
    assert house.topics == dead_letters | ({"image_data.results": (0, float("inf"))} if "kafka" in sinks else {})


def test_a_signal_while_it_waits_for_kafka_ends_it(house: House) -> None:
    def wait(is_stopping: Callable[[], bool]) -> None:
        for _ in range(3):
            assert not is_stopping() or house.kafka.listened > 3
        signal.raise_signal(signal.SIGTERM)
        assert is_stopping()

    house.before_a_topic = wait
    assert house.run() == 0
    assert house.kafka.listened >= 4, "why there is no answer is heard meanwhile"
    assert house.kafka.asked_for == []
    assert house.kafka.closed


def test_bad_records_in_a_row_open_the_circuit(house: House, said: Callable[[str], str]) -> None:
    house.put(b"", b"")
    house.ends_when = lambda: house.value("velox_circuit_open") == 1
    assert house.run(dead_letter_run=2, dead_letter_ratio=0) == 0
    assert said("Circuit open: the last 2 records of image_data-0 were all bad")
    assert len(house.dead_letters.letters) == 2


def test_a_share_of_bad_records_opens_the_circuit(house: House, said: Callable[[str], str]) -> None:
    house.put(*(b"", b"good") * 5)
    house.ends_when = lambda: house.value("velox_circuit_open") == 1
    assert house.run(dead_letter_run=0, dead_letter_ratio=0.5, dead_letter_window=10) == 0
    assert said("Circuit open: 5 of the last ")


@pytest.mark.parametrize(
    ("limits", "fetched"),
    [({"queue_size": 4}, 4), ({"queue_size": 100, "queue_bytes": 1024, "max_message_bytes": 1024}, 4)],
)
def test_no_more_is_in_flight_than_allowed(house: House, limits: dict[str, int], fetched: int) -> None:
    house.put(*[b"hold"] * 20)
    house.ends_when = lambda: house.kafka.paused and bool(house.dispatcher.records)
    house.hurry_when = lambda: True
    house.run(batch_size=1, **limits)
    assert len(house.dispatcher.records) == fetched


def test_what_does_not_change_is_measured_from_the_beginning(house: House) -> None:
    house.ends_when = lambda: True
    house.run(queue_size=40, queue_bytes=2**25, batch_size=4)
    assert house.value("velox_in_flight_limit_records") == 40
    assert house.value("velox_in_flight_limit_bytes") == 2**25
    assert house.value("velox_batch_limit_records") == 4
    assert (house.value("velox_start_time_seconds") or 0) > 1.7e9
    free = house.value("velox_storage_free_bytes")
    assert free != free, "the folder is not made yet"  # noqa: PLR0124 - what NaN is
    (house.folder / "discoveries").mkdir()
    assert (house.value("velox_storage_free_bytes") or 0) > 0


def test_the_log_and_the_inference_processes_are_as_the_settings_say(house: House, said: Callable[[str], str]) -> None:
    house.ends_when = lambda: True
    house.run(log_level="DEBUG", log_format="json", inference_processes=3)
    assert house.log == {"level": "DEBUG", "form": "json", "pipeline": "gpu_cluster_h100"}, "its consumer group's name"
    assert house.dispatcher.devices == ["cpu"] * 3
    assert house.dispatcher.settings is not None
    assert house.dispatcher.settings.decode_threads == 1, "decided, no longer auto"
    assert house.dispatcher.settings.pipeline == "gpu_cluster_h100", "inference processes know no group"
    assert all(int(threads or 0) >= 1 for threads in house.inherited), "before they are started"
    assert said("Velox ").endswith("image_data from localhost:9092, 3 inference processes")


def test_a_pipeline_may_have_a_name_of_its_own_in_the_log(house: House) -> None:
    house.ends_when = lambda: True
    house.run(pipeline="shapes")
    assert house.log["pipeline"] == "shapes"


def test_it_is_alive_while_fetcher_and_dispatcher_are(
    house: House, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    house.put(b"one")
    house.run()
    live = house.probes[-1].live
    assert live() is None
    house.dispatcher.stuck_because = "the dispatcher has not turned"
    assert live() == "the dispatcher has not turned"
    house.dispatcher.stuck_because = None
    monkeypatch.setattr(fetching, "monotonic", lambda: 1e9)
    assert str(live()).startswith("the poll loop has not turned")
    assert "Current thread" in capfd.readouterr().out


def test_it_says_why_it_is_not_ready(house: House) -> None:
    house.put(b"one")
    causes: list[str | None] = []

    def end() -> bool:
        causes.append(house.probes[-1].ready())
        return house.kafka.commits[-1:] == [{P0: 1}]

    house.ends_when = end
    house.run()
    assert causes[-1] is None
    assert house.probes[-1].ready() == "draining"


def test_bulks_are_as_large_as_what_queues_for_inference_asks_for(house: House) -> None:
    house.put(b"one")
    house.run()
    assert house.dispatcher.asked_if_behind


def test_exactly_once_takes_the_place_of_the_sink_kafka_and_of_the_commits(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = FakeBroker()
    monkeypatch.setattr(exactly_once, "TransactionalProducer", broker.producer)
    monkeypatch.setattr(exactly_once, "committed_offsets", broker.committed_offsets)
    monkeypatch.setattr(exactly_once, "ensure_results_topic", lambda _settings: None)
    monkeypatch.setattr(exactly_once, "message_limit", lambda settings, _topic: settings.max_message_bytes)
    house.put(b"one", b"two")
    house.ends_when = lambda: sum(len(transaction.batch) for transaction in broker.committed) == 2
    assert house.run(sinks=("sqlite", "kafka"), delivery="exactly_once") == 0
    assert house.stored() == ["image_data-0-0", "image_data-0-1"], "the other sinks are written as ever"
    assert broker.committed[-1].offsets == {P0: 2}
    assert house.kafka.commits == house.kafka.commits_now == []


def test_keys_become_results_when_their_objects_have_come_from_the_bucket(house: House) -> None:
    photos = house.folder / "photos"
    photos.mkdir()
    (photos / "a.jpg").write_bytes(b"the object")
    house.put(b"a.jpg", b"missing.jpg")
    photos_url = photos.as_uri()
    assert house.run(codec="key", bucket_url=photos_url, object_retry_s=0) == 0
    assert [record.payload for record in house.dispatcher.records] == [b"the object"]
    assert house.stored() == ["image_data-0-0"]
    ((letter, error),) = house.dead_letters.letters
    assert (letter.value, error.reason) == (b"missing.jpg", Reason.OBJECT_MISSING)
    assert house.value("velox_bucket_up") == 1


def test_a_bucket_that_is_not_there_keeps_it_unready_and_does_not_keep_it_from_ending(house: House) -> None:
    house.put(b"a.jpg")
    causes: set[str | None] = set()

    def is_told() -> bool:
        causes.add(house.probes[-1].ready())
        return "blocked by bucket photos" in causes

    house.ends_when = is_told
    photos_url = (house.folder / "photos").as_uri()
    assert house.run(codec="key", bucket_url=photos_url) == 0
    assert house.value("velox_bucket_up") == 0


def test_without_keys_no_bucket_is_opened(house: House) -> None:
    house.put(b"one")
    photos_url = (house.folder / "photos").as_uri()
    assert house.run(bucket_url=photos_url) == 0
    assert house.stored() == ["image_data-0-0"]
    assert house.value("velox_bucket_up") == 1, "nothing is wrong with what is not used"
