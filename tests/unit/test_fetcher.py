"""One turn of the fetcher's loop: what is fetched goes on, what is done is committed, what is blocked pauses."""

import time
from collections.abc import Sequence
from typing import Any, cast

import pytest
from confluent_kafka import Message

from tests.fakes import FakeDispatcher, FakeKafka
from velox.consumer import fetcher as fetching
from velox.consumer.dispatch import Dispatcher
from velox.consumer.downloads import Downloads
from velox.consumer.fetcher import Fetcher
from velox.consumer.flight import Flight
from velox.consumer.stages import Stages
from velox.consumer.writer import Writer
from velox.core import admission
from velox.core.circuit import Circuit
from velox.core.envelope import frame
from velox.core.idleness import Cause
from velox.errors import InferenceFailedError, Reason, VeloxError
from velox.kafka.client import KafkaClient
from velox.metrics.consumer import ConsumerMetrics
from velox.records import Answered, Partition, Record
from velox.settings import Settings

P0, P1 = Partition("image_data", 0), Partition("image_data", 1)


GOOD = frame({"timestamp": 1700000000.0}, b"jpeg")


def message(offset: int, *, partition: int = 0, value: bytes | None = GOOD, key: bytes | None = None) -> Message:
    stamp = (1, 1700000000000)
    return Message(topic="image_data", partition=partition, offset=offset, key=key, value=value, timestamp=stamp)


class FakeWriter:
    def __init__(self) -> None:
        self.failure: Exception | None = None
        self.blocked_by: str | None = None
        self.answered: list[Answered] = []

    def submit(self, answered: list[Answered]) -> None:
        self.answered.extend(answered)


class FakeDownloads:
    def __init__(self) -> None:
        self.failure: Exception | None = None
        self.blocked_by: str | None = None
        self.in_hand = 0
        self.records: list[Record] = []

    def submit(self, records: Sequence[Record]) -> None:
        self.records.extend(records)


class Bench:
    """A fetcher with fakes on all sides. Waits are cut to nothing; every turn commits."""

    def __init__(self, *, downloads: FakeDownloads | None = None, **changes: Any) -> None:  # noqa: ANN401 - any setting
        settings = Settings(**{"batch_size": 8, "queue_size": 200, "commit_interval_s": 1e-9, **changes})
        self.kafka = FakeKafka()
        self.dispatcher = FakeDispatcher()
        self.writer = FakeWriter()
        self.metrics = ConsumerMetrics()
        circuit = Circuit(ratio=0, window=10, run=2)
        self.flight = Flight(max_records=settings.queue_size, max_bytes=settings.queue_bytes, circuit=circuit)
        stages = Stages(
            downloads=cast("Downloads | None", downloads),
            dispatcher=cast("Dispatcher", self.dispatcher),
            writer=cast("Writer", self.writer),
            flight=self.flight,
        )
        self.fetcher = Fetcher(settings, self.metrics, cast("KafkaClient", self.kafka), stages)
        self.fetcher.start(onward=(downloads or self.dispatcher).submit, failed=self.writer.submit)

    def finish(self, *offsets: int) -> None:
        self.flight.done([r for r in self.dispatcher.records if r.position.offset in offsets])


@pytest.fixture(autouse=True)
def _without_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "POLL_S", 0)
    monkeypatch.setattr(admission, "PATIENCE_S", -1)


def test_what_is_fetched_is_in_flight_and_goes_to_the_dispatcher() -> None:
    bench = Bench()
    bench.kafka.ready = [message(0), message(1)]
    bench.fetcher.step()
    assert [record.position.offset for record in bench.dispatcher.records] == [0, 1]
    assert bench.flight.records == 2


def test_a_bad_record_goes_to_the_writer_with_its_reason_and_its_neighbours_go_on() -> None:
    bench = Bench()
    bench.kafka.ready = [message(0), message(1, value=b"\x00"), message(2)]
    bench.fetcher.step()
    assert [record.position.offset for record in bench.dispatcher.records] == [0, 2]
    ((record, error, model, *_),) = bench.writer.answered
    assert (record.position.offset, cast("Any", error).reason, model) == (1, Reason.BAD_ENVELOPE, None)
    assert bench.flight.records == 3, "a dead letter is in flight until the broker has it"


def test_only_what_is_done_is_committed() -> None:
    bench = Bench()
    bench.kafka.ready = [message(0), message(1), message(2)]
    bench.fetcher.step()
    bench.fetcher.step()
    assert all(commit == {} for commit in bench.kafka.commits)
    bench.finish(0, 2)
    bench.fetcher.step()
    assert bench.kafka.commits[-1] == {P0: 1}


def test_no_more_is_fetched_than_there_is_room_for() -> None:
    bench = Bench(batch_size=2, queue_size=20)
    bench.kafka.ready = [message(offset) for offset in range(100)]
    for _ in range(50):
        bench.fetcher.step()
        assert bench.flight.records <= 20
    assert bench.flight.records >= 17


def test_polling_goes_on_while_the_flight_is_full_and_fetching_when_there_is_room_again() -> None:
    bench = Bench(batch_size=2, queue_size=4)
    bench.kafka.ready = [message(offset) for offset in range(8)]
    bench.fetcher.step()
    bench.fetcher.step()
    assert bench.kafka.is_paused()
    polled = len(bench.kafka.asked_for)
    bench.fetcher.step()
    assert len(bench.kafka.asked_for) == polled + 1
    bench.finish(0, 1, 2, 3)
    bench.fetcher.step()
    assert not bench.kafka.is_paused()
    assert len(bench.dispatcher.records) == 8


def test_a_sink_that_is_down_pauses_and_its_return_resumes() -> None:
    bench = Bench()
    bench.kafka.ready = [message(0)]
    bench.writer.blocked_by = "mongo"
    bench.fetcher.step()
    assert bench.kafka.is_paused()
    assert bench.dispatcher.records == []
    bench.writer.blocked_by = None
    bench.fetcher.step()
    assert [record.position.offset for record in bench.dispatcher.records] == [0]


def test_an_open_circuit_stops_fetching_for_good_and_says_what_to_do(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    bench.fetcher.assigned({P0: 0})
    bench.kafka.ready = [message(0), message(1), message(2)]
    bench.fetcher.step()
    bench.flight.done([], bench.dispatcher.records[:2])
    bench.kafka.ready = [message(3)]
    for _ in range(3):
        bench.fetcher.step()
    cause = "circuit open: the last 2 records of image_data-0 were all bad"
    assert bench.fetcher.ready() == cause
    assert bench.fetcher.live() is None
    assert bench.kafka.is_paused()
    assert len(bench.dispatcher.records) == 3, "nothing after it was fetched"
    assert bench.kafka.commits[-1] == {P0: 2}, "what is done is committed"
    assert bench.metrics.registry.get_sample_value("velox_circuit_open") == 1
    (told,) = (r.getMessage() for r in caplog.records if r.levelname == "ERROR")
    assert "image_data.dlq" in told
    assert "start again" in told


def test_a_key_that_kafka_is_told_to_delete_is_passed_over_and_counted() -> None:
    bench = Bench()
    bench.kafka.ready = [message(0), message(1, key=b"camera", value=None), message(2, value=None)]
    bench.fetcher.step()
    assert [record.position.offset for record in bench.dispatcher.records] == [0]
    assert [answered.record.position.offset for answered in bench.writer.answered] == [2], "no key, nothing to delete"
    labels = {"topic": "image_data"}
    assert bench.metrics.total("velox_dropped_records_total", cause="null_value", **labels) == 1
    assert bench.metrics.total("velox_records_total", outcome="dropped", model="", **labels) == 1
    bench.finish(0)
    bench.fetcher.step()
    assert bench.kafka.commits[-1] == {P0: 2}


def test_what_was_fetched_before_a_partition_went_says_nothing_once_it_is_back() -> None:
    bench = Bench(revoke_wait_s=0)
    bench.kafka.ready = [message(0), message(1)]
    bench.fetcher.step()
    old = list(bench.dispatcher.records)
    bench.fetcher.revoked([P0])
    bench.fetcher.assigned({P0: 0})
    bench.kafka.ready = [message(0), message(1)]
    bench.fetcher.step()
    bench.flight.done(old)
    bench.fetcher.step()
    assert bench.kafka.commits[-1] == {}
    bench.flight.done(bench.dispatcher.records[2:])
    bench.fetcher.step()
    assert bench.kafka.commits[-1] == {P0: 2}


def test_kafkas_own_marks_are_committed_when_nothing_is_left_before_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "_TICK_S", 0)
    bench = Bench()
    bench.fetcher.assigned({P0: 0})
    bench.kafka.ready = [message(0)]
    bench.kafka.at = {P0: 2}
    bench.fetcher.step()
    bench.fetcher.step()
    assert bench.kafka.commits[-1] == {}
    bench.finish(0)
    bench.fetcher.step()
    bench.fetcher.step()
    assert bench.kafka.commits[-1] == {P0: 2}


def test_what_was_skipped_as_damaged_is_counted_and_told(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "_TICK_S", 0)
    bench = Bench()
    bench.kafka.damaged = {P0: 20, P1: 0}
    bench.kafka.skipped = {P0: 20}
    bench.fetcher.step()
    value = bench.metrics.registry.get_sample_value
    assert value("velox_damaged_partitions") == 2
    assert value("velox_damaged_records_total") == 20
    assert "Lost up to 20 records of image_data-0" in caplog.text


def test_standing_still_counts_only_while_something_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "_TICK_S", 0)
    bench = Bench(batch_size=2, queue_size=4)
    bench.kafka.ready = [message(offset) for offset in range(8)]
    for _ in range(4):
        bench.fetcher.step()
    assert bench.kafka.was_reading == [False, True, False, False]


def test_a_refused_commit_is_counted_by_its_error() -> None:
    bench = Bench()
    bench.fetcher.refused("GROUP_AUTHORIZATION_FAILED")
    labels = {"code": "GROUP_AUTHORIZATION_FAILED"}
    assert bench.metrics.registry.get_sample_value("velox_commits_refused_total", labels) == 1


def test_records_that_expired_unread_are_counted_and_told(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "_TICK_S", 0)
    bench = Bench()
    bench.fetcher.assigned({P0: 50, P1: 9})
    bench.kafka.ready = [message(70), message(9, partition=1)]
    bench.fetcher.step()
    bench.fetcher.step()
    assert bench.metrics.registry.get_sample_value("velox_expired_records_total") == 20
    assert [r.getMessage()[:31] for r in caplog.records if r.levelname == "ERROR"] == [
        "Lost 20 records of image_data-0"
    ]


def test_a_draining_consumer_fetches_nothing_and_still_commits() -> None:
    bench = Bench()
    bench.kafka.ready = [message(0)]
    bench.fetcher.step()
    bench.kafka.ready = [message(1)]
    bench.fetcher.stop_fetching()
    bench.finish(0)
    bench.fetcher.step()
    assert len(bench.dispatcher.records) == 1
    assert bench.kafka.commits[-1] == {P0: 1}


def test_revoked_partitions_are_committed_before_they_go_and_forgotten_after() -> None:
    bench = Bench(revoke_wait_s=0)
    bench.kafka.ready = [message(0), message(1), message(5, partition=1)]
    bench.fetcher.step()
    bench.finish(0, 5)
    bench.flight.settle()
    bench.fetcher.revoked([P0])
    assert bench.kafka.commits_now == [{P0: 1}]
    assert bench.flight.offsets.committable() == {P1: 6}
    bench.finish(1)
    bench.flight.settle()
    assert bench.flight.offsets.committable() == {P1: 6}, "the rest belongs to the next owner"


def test_a_revocation_waits_for_what_is_in_flight() -> None:
    bench = Bench(revoke_wait_s=60)
    bench.kafka.ready = [message(0)]
    bench.fetcher.step()
    bench.finish(0)
    bench.fetcher.revoked([P0])
    assert bench.kafka.commits_now == [{P0: 1}]


def test_a_revocation_does_not_wait_for_a_sink_that_is_down(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(revoke_wait_s=60)
    bench.kafka.ready = [message(0)]
    bench.fetcher.step()
    bench.writer.blocked_by = "mongo"
    monkeypatch.setattr(bench.flight, "wait", lambda _timeout_s: pytest.fail("it waits for a sink that is down"))
    bench.fetcher.revoked([P0])
    assert bench.kafka.commits_now == [{}]


def test_nothing_is_committed_for_lost_partitions() -> None:
    bench = Bench()
    bench.kafka.ready = [message(0)]
    bench.fetcher.step()
    bench.finish(0)
    bench.flight.settle()
    bench.fetcher.lost([P0])
    assert bench.kafka.commits_now == []
    assert bench.flight.offsets.committable() == {}


def test_it_is_ready_when_model_sinks_and_partitions_are() -> None:
    bench = Bench()
    bench.dispatcher.is_warm = False
    bench.dispatcher.ready_processes = 0
    assert bench.fetcher.ready() == "loading the model"
    bench.dispatcher.is_warm = True
    bench.dispatcher.ready_processes = 1
    assert bench.fetcher.ready() == "no partitions assigned"
    bench.fetcher.assigned({P0: 0})
    assert bench.fetcher.ready() is None
    bench.writer.blocked_by = "mongo"
    assert bench.fetcher.ready() == "blocked by mongo"
    bench.writer.blocked_by = None
    bench.kafka.damaged = {P0: 20}
    assert bench.fetcher.ready() == "damaged batch: image_data-0 stands still at offset 20"
    bench.kafka.damaged = {}
    bench.fetcher.lost([P0])
    assert bench.fetcher.ready() == "no partitions assigned"
    bench.kafka.problem = "localhost:1 cannot be reached"
    assert bench.fetcher.ready() == "no partitions assigned: localhost:1 cannot be reached"
    bench.fetcher.stop_fetching()
    assert bench.fetcher.ready() == "draining"


def test_one_process_of_many_being_replaced_does_not_make_it_unready() -> None:
    bench = Bench()
    bench.fetcher.assigned({P0: 0})
    assert bench.fetcher.ready() is None
    bench.dispatcher.is_warm = False
    assert bench.fetcher.ready() is None
    bench.dispatcher.ready_processes = 0
    assert bench.fetcher.ready() == "loading the model"


def test_it_is_alive_while_the_loop_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    bench.fetcher.step()
    assert bench.fetcher.live() is None
    monkeypatch.setattr(fetching, "monotonic", lambda: time.monotonic() + 100)
    assert str(bench.fetcher.live()).startswith("the poll loop has not turned for 100 s")


def test_it_is_alive_while_it_waits_for_kafka_before_its_first_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    monkeypatch.setattr(fetching, "monotonic", lambda: time.monotonic() + 100)
    assert bench.fetcher.live() is None


@pytest.mark.parametrize(
    ("settings", "longest_s"),
    [
        ({}, 80),
        ({"revoke_wait_s": 60}, 135),
        ({"delivery": "exactly_once", "sinks": ("kafka",), "session_timeout_ms": 300_000}, 365),
    ],
)
def test_a_turn_may_take_as_long_as_all_that_it_may_wait_for(
    settings: dict[str, Any], longest_s: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(**settings)
    bench.fetcher.step()
    monkeypatch.setattr(fetching, "monotonic", lambda: time.monotonic() + longest_s - 1)
    assert bench.fetcher.live() is None
    monkeypatch.setattr(fetching, "monotonic", lambda: time.monotonic() + longest_s + 1)
    assert bench.fetcher.live() is not None


def test_a_failed_part_ends_it() -> None:
    bench = Bench()
    bench.dispatcher.failure = InferenceFailedError("they keep dying")
    with pytest.raises(InferenceFailedError, match="they keep dying"):
        bench.fetcher.step()
    bench.dispatcher.failure = None
    bench.writer.failure = ValueError("a defect")
    with pytest.raises(VeloxError, match="the writer failed: ValueError"):
        bench.fetcher.step()


def test_a_turn_updates_what_is_measured() -> None:
    bench = Bench()
    bench.fetcher.assigned({P0: 0})
    bench.fetcher.step()
    value = bench.metrics.registry.get_sample_value
    assert value("velox_ready") == 1
    assert value("velox_consumer_lag_records", {"topic": "image_data", "partition": "0"}) == 7
    assert value("velox_assigned_partitions") == 2
    labels = {"outcome": "dead_lettered", "topic": "image_data", "model": ""}
    assert value("velox_records_total", labels) == 0, "a rate needs the zero before the first record"


def lack(bench: Bench) -> Cause:
    """What the fetcher says it lacks while it waits, after two turns."""
    bench.fetcher.step()
    bench.fetcher.step()
    return bench.dispatcher.lacks[-1]


def test_what_kafka_holds_and_has_not_given_yet_is_a_lack_of_fetching_and_nothing_in_it_a_lack_of_work() -> None:
    bench = Bench()
    bench.fetcher.assigned({P0: 0})
    assert lack(bench) == Cause.FETCH
    bench = Bench()
    bench.kafka.behind = 0
    assert lack(bench) == Cause.FETCH, "nothing is known of a topic before the group is joined"
    bench.fetcher.assigned({P0: 0})
    assert lack(bench) == Cause.NO_WORK
    bench = Bench()
    bench.kafka.behind = None
    bench.fetcher.assigned({P0: 0})
    assert lack(bench) == Cause.LAG_UNKNOWN, "nobody says"


def test_records_on_their_way_through_the_fetcher_are_a_lack_of_fetching() -> None:
    bench = Bench()
    bench.fetcher.assigned({P0: 0})
    bench.kafka.behind = 0
    bench.kafka.ready = [message(0)]
    bench.fetcher.step()
    assert bench.dispatcher.lacks == [Cause.NO_WORK, Cause.FETCH]


@pytest.mark.parametrize(("in_hand", "cause"), [(2, Cause.SINK), (3, Cause.QUEUE_SIZE)])
def test_a_full_flight_is_the_sinks_fault_unless_inference_processes_have_most_of_it(
    in_hand: int, cause: Cause
) -> None:
    bench = Bench(batch_size=2, queue_size=4)
    bench.kafka.ready = [message(offset) for offset in range(8)]
    bench.dispatcher.in_hand = in_hand
    assert lack(bench) == cause


def test_a_sink_that_is_down_an_open_circuit_and_draining_are_what_is_lacking() -> None:
    bench = Bench()
    bench.writer.blocked_by = "mongo"
    assert lack(bench) == Cause.SINK
    bench.flight.circuit.cause = "too much"
    assert lack(bench) == Cause.CIRCUIT
    bench.fetcher.stop_fetching()
    assert lack(bench) == Cause.NO_WORK


def test_with_a_bucket_what_is_fetched_goes_to_the_downloads_first() -> None:
    downloads = FakeDownloads()
    bench = Bench(downloads=downloads)
    bench.kafka.ready = [message(0), message(1, value=b"\x00")]
    bench.fetcher.step()
    assert [record.position.offset for record in downloads.records] == [0]
    assert bench.dispatcher.records == []
    assert len(bench.writer.answered) == 1, "a bad record has nothing to download"


def test_a_bucket_that_is_down_pauses_and_its_return_resumes() -> None:
    downloads = FakeDownloads()
    bench = Bench(downloads=downloads)
    bench.fetcher.assigned({P0: 0})
    bench.kafka.ready = [message(0)]
    downloads.blocked_by = "bucket photos"
    assert lack(bench) == Cause.DOWNLOAD
    assert bench.kafka.is_paused()
    assert bench.fetcher.ready() == "blocked by bucket photos"
    assert downloads.records == []
    downloads.blocked_by = None
    bench.fetcher.step()
    assert bench.fetcher.ready() is None
    assert [record.position.offset for record in downloads.records] == [0]


def test_records_that_wait_for_their_payloads_are_a_lack_of_downloads() -> None:
    downloads = FakeDownloads()
    bench = Bench(downloads=downloads, batch_size=2, queue_size=4)
    bench.kafka.ready = [message(offset) for offset in range(8)]
    downloads.in_hand = 3
    assert lack(bench) == Cause.DOWNLOAD


def test_a_revocation_does_not_wait_for_a_bucket_that_is_down(monkeypatch: pytest.MonkeyPatch) -> None:
    downloads = FakeDownloads()
    bench = Bench(downloads=downloads, revoke_wait_s=60)
    bench.kafka.ready = [message(0)]
    bench.fetcher.step()
    downloads.blocked_by = "bucket photos"
    monkeypatch.setattr(bench.flight, "wait", lambda _timeout_s: pytest.fail("it waits for a bucket that is down"))
    bench.fetcher.revoked([P0])
    assert bench.kafka.commits_now == [{}]


def test_downloads_that_failed_end_it() -> None:
    downloads = FakeDownloads()
    bench = Bench(downloads=downloads)
    downloads.failure = ValueError("a defect")
    with pytest.raises(VeloxError, match="the downloads failed: ValueError"):
        bench.fetcher.step()
