"""Payloads come from a bucket: many at a time, tried again as long as that makes sense; none waits for a slow one."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.fakes import FakeBucket, make_record
from velox.consumer import bucket_health, downloads, reads, wanted
from velox.consumer.downloads import Downloads
from velox.consumer.flight import Flight
from velox.core.circuit import Circuit
from velox.core.deadline import Deadline
from velox.errors import BadRecordError, BucketUnavailableError, ObjectDeniedError, Reason
from velox.metrics.consumer import ConsumerMetrics
from velox.records import Answered, Partition, Pointer, Record
from velox.settings import Settings

PATIENCE_S = 30


def wanting(offset: int, key: str, *, epoch: int = 0) -> Record:
    """A record with a pointer, of 100 bytes before its payload is here."""
    record = make_record(offset, epoch=epoch, head=key.encode(), payload=b"")
    return replace(record, is_apart=True, pointer=Pointer(key=key))


class Bench:
    """Downloads from a fake bucket; what comes of a record is kept."""

    def __init__(self, bucket: FakeBucket, *, queue_bytes: int = 2**28, **settings: Any) -> None:  # noqa: ANN401 - any
        usual = {"codec": "key", "bucket_url": "memory:///", "downloads": 4, "object_retry_s": 0.0}
        self.settings = Settings(**{**usual, **settings})
        self.bucket = bucket
        self.metrics = ConsumerMetrics()
        circuit = Circuit(ratio=0, window=10, run=0)
        self.flight = Flight(max_records=1000, max_bytes=queue_bytes, circuit=circuit)
        self.passed: list[Record] = []
        self.failed: list[tuple[Record, BadRecordError]] = []
        self.downloads = Downloads(self.settings, bucket, self.flight, self.metrics)

    def start(self) -> None:
        self.downloads.start(onward=self.passed.extend, failed=self._fail)

    def submit(self, *records: Record) -> None:
        for record in records:
            self.flight.add(record)
        self.downloads.submit(records)

    def value(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(name, labels) or 0.0

    def reasons(self) -> list[Reason]:
        return [error.reason for _, error in self.failed]

    def payloads(self) -> dict[int, bytes]:
        return {record.position.offset: record.payload for record in self.passed}

    def blocked_by(self) -> str | None:
        return self.downloads.blocked_by

    def until_passed(self, count: int) -> None:
        until(lambda: len(self.passed) >= count)

    def finish(self, number: int) -> None:
        """Be done with the record that was passed on as the ``number``-th, from 0."""
        self.flight.done(self.passed[number : number + 1])
        self.flight.settle()

    def _fail(self, answered: list[Answered]) -> None:
        for record, answer, model, *_ in answered:
            assert isinstance(answer, BadRecordError)
            assert model is None
            self.failed.append((record, answer))


Start = Callable[..., Bench]


@pytest.fixture(autouse=True)
def usual_level(caplog: pytest.LogCaptureFixture) -> None:
    """Another test may have set the level of all logs."""
    caplog.set_level(logging.WARNING)


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Starts downloads, and ends them after the test. Waits between tries are short."""
    begun: list[Bench] = []
    monkeypatch.setattr(bucket_health, "_FAILURES_EVERY_S", 3600.0)
    for module in (downloads, wanted):
        monkeypatch.setattr(module, "backoff_s", lambda: iter(lambda: 0.001, None))

    def make(bucket: FakeBucket, **settings: Any) -> Bench:  # noqa: ANN401 - any setting
        bench = Bench(bucket, **settings)
        begun.append(bench)
        bench.start()
        return bench

    yield make
    for bench in begun:
        for gate in bench.bucket.slow.values():
            gate.set()
        bench.downloads.close(Deadline(PATIENCE_S))


def until(holds: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < end, "never"
        time.sleep(0.001)


def test_a_record_gets_the_payload_that_it_points_to_and_its_size_counts(start: Start) -> None:
    bench = start(FakeBucket(a=b"payload of a", b=b"b's"))
    bench.submit(wanting(0, "a"), wanting(1, "b"))
    until(lambda: len(bench.passed) == 2)
    assert bench.payloads() == {0: b"payload of a", 1: b"b's"}
    assert {record.position.offset: record.size_bytes for record in bench.passed} == {0: 112, 1: 103}
    assert bench.flight.bytes == 215
    assert [record.value for record in sorted(bench.passed, key=lambda r: r.position)] == [b"a", b"b"], "as in Kafka"
    bench.flight.done(bench.passed)
    bench.flight.settle()
    assert (bench.flight.bytes, bench.flight.records, bench.downloads.in_hand) == (0, 0, 0)
    assert bench.value("velox_object_bytes_total") == 15
    assert bench.value("velox_stage_seconds_count", stage="download", model="") == 2
    assert bench.value("velox_objects_in_progress") == 0


def test_a_record_that_has_its_payload_passes_straight_on_even_while_the_bucket_is_down(start: Start) -> None:
    bucket = FakeBucket()
    bucket.problem = "no such folder"
    bench = start(bucket)
    bench.submit(make_record(0, payload=b"here"))
    assert bench.payloads() == {0: b"here"}
    assert bench.downloads.in_hand == 0


def test_a_slow_object_holds_up_no_other(start: Start) -> None:
    bucket = FakeBucket(**{f"o{number}": b"payload" for number in range(50)})
    bucket.slow["o0"] = threading.Event()
    bench = start(bucket, downloads=2)
    bench.submit(*(wanting(number, f"o{number}") for number in range(50)))
    until(lambda: len(bench.passed) == 49)
    assert 0 not in bench.payloads()
    assert bench.downloads.in_hand == 1
    assert bench.blocked_by() is None
    bench.flight.done(bench.passed)
    bench.flight.settle()
    assert bench.flight.offsets.committable() == {}, "its partition's commit waits"
    bucket.slow["o0"].set()
    until(lambda: len(bench.passed) == 50)
    bench.flight.done(bench.passed[49:])
    bench.flight.settle()
    assert bench.flight.offsets.committable() == {Partition("image_data", 0): 50}


def test_no_more_are_read_at_a_time_than_asked_for(start: Start) -> None:
    bucket = FakeBucket(**{f"o{number}": b"payload" for number in range(9)})
    bucket.slow = {key: threading.Event() for key in bucket.objects}
    bench = start(bucket, downloads=3)
    bench.submit(*(wanting(number, f"o{number}") for number in range(9)))
    until(lambda: len(bucket.asked) == 3)
    assert bench.value("velox_objects_in_progress") == 3
    for number, gate in enumerate(bucket.slow.values()):
        assert len(bucket.asked) <= 3 + number
        gate.set()
    until(lambda: len(bench.passed) == 9)


@pytest.mark.parametrize(
    ("reason", "tries"),
    [(Reason.TOO_LARGE, 1), (Reason.FORBIDDEN_POINTER, 1), (Reason.OBJECT_MISSING, 1), (Reason.CHECKSUM_MISMATCH, 2)],
)
def test_a_bad_pointer_or_object_costs_its_own_record(start: Start, reason: Reason, tries: int) -> None:
    bucket = FakeBucket(a=b"payload", b=b"payload")
    bucket.failures["a"] = [BadRecordError(reason, "it says so")] * 2
    bench = start(bucket)
    bench.submit(wanting(0, "a"), wanting(1, "b"))
    until(lambda: bench.failed and bench.passed)
    assert bench.reasons() == [reason]
    assert bench.failed[0][0].value == b"a"
    assert bench.payloads() == {1: b"payload"}
    assert bucket.asked.count("a") == tries
    assert bench.value("velox_object_errors_total", reason=reason.value) == tries
    assert bench.downloads.in_hand == 0
    bench.flight.done(bench.passed, [bench.failed[0][0]])
    bench.flight.settle()
    assert bench.flight.bytes == 0


def test_an_object_of_no_bytes_is_no_payload(start: Start) -> None:
    bench = start(FakeBucket(a=b""))
    bench.submit(wanting(0, "a"))
    until(lambda: bench.failed)
    assert bench.reasons() == [Reason.EMPTY]


def test_an_object_that_was_written_while_it_was_read_is_whole_the_second_time(start: Start) -> None:
    bucket = FakeBucket(a=b"payload")
    bucket.failures["a"] = [BadRecordError(Reason.CHECKSUM_MISMATCH, "half of it")]
    bench = start(bucket)
    bench.submit(wanting(0, "a"))
    until(lambda: bench.passed)
    assert (bench.payloads(), bench.failed) == ({0: b"payload"}, [])


def test_an_object_that_comes_after_its_key_is_waited_for(start: Start) -> None:
    bucket = FakeBucket()
    bench = start(bucket, object_retry_s=600)
    bench.submit(wanting(0, "late"))
    until(lambda: bucket.asked.count("late") >= 3)
    assert bench.blocked_by() is None, "the bucket is well"
    bucket.put("late", b"payload")
    until(lambda: bench.passed)
    assert bench.failed == []


def test_a_missing_object_is_given_up_when_its_time_is_over(start: Start) -> None:
    bench = start(FakeBucket(), object_retry_s=0.05)
    began = time.monotonic()
    bench.submit(wanting(0, "never"))
    until(lambda: bench.failed)
    assert time.monotonic() - began >= 0.05
    assert bench.reasons() == [Reason.OBJECT_MISSING]


def test_a_bucket_that_is_down_blocks_and_nothing_is_lost_or_given_up(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    bucket = FakeBucket(a=b"payload", b=b"payload")
    bench = start(bucket, object_retry_s=0)
    until(lambda: bucket.opened and bench.blocked_by() is None)
    with caplog.at_level(logging.INFO):
        bucket.problem = "no such folder"
        bench.submit(wanting(0, "a"), wanting(1, "b"), wanting(2, "nothing"))
        until(lambda: len(bucket.asked) >= 30)
        assert bench.blocked_by() == "bucket photos"
        assert bench.downloads.in_hand == 3
        assert (bench.passed, bench.failed) == ([], [])
        assert bench.value("velox_bucket_up") == 0
        assert bench.value("velox_object_errors_total", reason="unavailable") >= 20
        bucket.problem = ""
        until(lambda: len(bench.passed) == 2 and bench.failed)
    assert bench.reasons() == [Reason.OBJECT_MISSING], "now the bucket has said so"
    assert bench.blocked_by() is None
    assert bench.value("velox_bucket_up") == 1
    # The bucket may come back between a read that failed and the look for the reason.
    assert [message for message in caplog.messages if "photos" in message and "object" not in message] == [
        "bucket photos: no such folder; trying again",
        "bucket photos is back",
    ]


def test_when_the_bucket_is_back_nobody_waits_for_a_back_off_that_had_grown_long(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wanted, "backoff_s", lambda: iter([3600.0]))
    bucket = FakeBucket(a=b"payload", b=b"payload")
    bench = start(bucket)
    until(lambda: bench.blocked_by() is None)
    bucket.problem = "no such folder"
    bench.submit(wanting(0, "a"))
    until(bench.blocked_by)
    bucket.problem = ""
    bench.submit(wanting(1, "b"))
    until(lambda: len(bench.passed) == 2)


def test_one_object_that_cannot_be_read_holds_up_no_other_and_is_read_when_it_can_be(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    bucket = FakeBucket(a=b"payload", **{f"o{number}": b"payload" for number in range(50)})
    bucket.failures["a"] = [BucketUnavailableError("a bad sector")] * 1000
    bench = start(bucket)
    until(lambda: bench.blocked_by() is None)
    bench.submit(wanting(0, "a"))
    until(lambda: bucket.asked.count("a") >= 20)
    assert bench.blocked_by() is None, "the bucket opens"
    bench.submit(*(wanting(1 + number, f"o{number}") for number in range(50)))
    bench.until_passed(50)
    assert bench.blocked_by() is None
    bucket.failures["a"] = []
    bench.until_passed(51)
    assert bench.failed == []
    assert caplog.messages == ["bucket photos: object a: a bad sector; trying again"], "one line, not one a try"


def test_an_object_that_is_denied_while_others_come_is_given_up(start: Start) -> None:
    bucket = FakeBucket(a=b"payload", b=b"payload")
    bucket.failures["a"] = [ObjectDeniedError("access denied")] * 100_000
    bench = start(bucket)
    until(lambda: bench.blocked_by() is None)
    bench.submit(wanting(0, "a"))
    until(lambda: bucket.asked.count("a") >= 20)
    assert bench.failed == [], "nobody knows yet whether the others are denied as well"
    bench.submit(wanting(1, "b"))
    until(lambda: bench.failed)
    assert bench.reasons() == [Reason.FORBIDDEN_POINTER]
    assert bench.payloads() == {1: b"payload"}
    assert bench.downloads.in_hand == 0


def test_a_bucket_that_opens_and_fails_for_one_object_after_the_other_is_down(start: Start) -> None:
    bucket = FakeBucket(**{f"o{number}": b"payload" for number in range(5)})
    bucket.failures = {key: [BucketUnavailableError("a bad disk")] * 100_000 for key in bucket.objects}
    bench = start(bucket, downloads=4)
    until(lambda: bench.blocked_by() is None)
    bench.submit(*(wanting(number, f"o{number}") for number in range(4)))
    until(lambda: len(bucket.asked) >= 40)
    assert bench.blocked_by() is None
    bench.submit(wanting(4, "o4"))
    until(bench.blocked_by)
    bucket.failures = {}
    bench.until_passed(5)
    assert bench.blocked_by() is None


def test_an_outage_ends_also_with_an_object_that_is_forbidden_then(start: Start) -> None:
    bucket = FakeBucket()
    bench = start(bucket)
    until(lambda: bench.blocked_by() is None)
    bucket.problem = "no such folder"
    bench.submit(wanting(0, "a"))
    until(bench.blocked_by)
    bucket.failures["a"] = [BadRecordError(Reason.FORBIDDEN_POINTER, "not ours")]
    bucket.problem = ""
    until(lambda: bench.failed)
    assert bench.blocked_by() is None, "else nothing would be fetched that could end it"


def test_a_forbidden_pointer_does_not_end_an_outage(start: Start) -> None:
    bucket = FakeBucket(a=b"payload")
    bench = start(bucket)
    until(lambda: bench.blocked_by() is None)
    bucket.problem = "no such folder"
    bench.submit(wanting(0, "a"))
    until(bench.blocked_by)
    bucket.failures["b"] = [BadRecordError(Reason.FORBIDDEN_POINTER, "not in BUCKETS_ALLOWED")]
    bench.submit(wanting(1, "b"))
    until(lambda: bench.failed)
    assert bench.blocked_by() == "bucket photos"


def test_a_bucket_that_is_not_there_at_the_start_is_waited_for(start: Start) -> None:
    bucket = FakeBucket(a=b"payload")
    bucket.problem = "no such folder"
    bench = start(bucket)
    bench.submit(wanting(0, "a"))
    assert bench.blocked_by() == "bucket photos"
    bucket.problem = ""
    until(lambda: bench.passed)
    assert bench.blocked_by() is None
    assert bench.value("velox_bucket_up") == 1


def test_a_bucket_that_answers_no_read_at_all_is_down(
    start: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    bucket = FakeBucket(a=b"payload", b=b"payload", c=b"payload")
    bucket.slow = {key: threading.Event() for key in "ab"}
    bench = start(bucket, downloads=2, object_timeout_s=10)
    bench.submit(wanting(0, "a"))
    until(lambda: bucket.asked == ["a"])
    monkeypatch.setattr(reads, "monotonic", lambda: time.monotonic() + 11)
    assert bench.blocked_by() is None, "one of two is free"
    bench.submit(wanting(1, "b"))
    until(lambda: len(bucket.asked) == 2)
    assert bench.blocked_by() is None, "that one has just begun"
    monkeypatch.setattr(reads, "monotonic", lambda: time.monotonic() + 22)
    assert bench.blocked_by() == "bucket photos"
    until(lambda: bench.value("velox_bucket_up") == 0)
    until(
        lambda: "bucket photos: no object has come for 10 s, every read hangs (DOWNLOADS=2); waiting" in caplog.messages
    )
    bucket.slow["b"].set()
    until(lambda: bench.blocked_by() is None)
    until(lambda: bench.value("velox_bucket_up") == 1)
    assert caplog.messages.count("bucket photos is back") == 1


def test_all_reads_that_end_without_an_answer_of_the_bucket_are_the_end_of_hanging_too(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = FakeBucket()
    bucket.slow["a"] = threading.Event()
    bucket.failures["a"] = [BadRecordError(Reason.FORBIDDEN_POINTER, "not ours to read")]
    bench = start(bucket, downloads=1, object_timeout_s=10)
    bench.submit(wanting(0, "a"))
    until(lambda: bucket.asked)
    monkeypatch.setattr(reads, "monotonic", lambda: time.monotonic() + 11)
    until(lambda: bench.value("velox_bucket_up") == 0)
    bucket.slow["a"].set()
    until(lambda: bench.value("velox_bucket_up") == 1)
    assert bench.blocked_by() is None
    assert bench.reasons() == [Reason.FORBIDDEN_POINTER]


def test_objects_that_hang_are_named_once_and_hold_up_no_other(
    start: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    bucket = FakeBucket(a=b"payload", b=b"payload", c=b"payload")
    bucket.slow["a"] = threading.Event()
    bench = start(bucket, downloads=2, object_timeout_s=10)
    bench.submit(wanting(0, "a"), wanting(1, "b"))
    until(lambda: bench.passed)
    assert not caplog.messages
    monkeypatch.setattr(reads, "monotonic", lambda: time.monotonic() + 11)
    until(lambda: caplog.messages)
    assert caplog.messages == [
        "bucket photos: object a has not come within OBJECT_TIMEOUT_S=10; still waiting for it",
    ]
    bench.submit(wanting(2, "c"))
    bench.until_passed(2)
    assert bench.value("velox_bucket_up") == 1
    bucket.slow["a"].set()
    bench.until_passed(3)
    assert len(caplog.messages) == 1


def test_a_read_that_lasts_too_long_is_told_of_once(monkeypatch: pytest.MonkeyPatch) -> None:
    under_way = reads.Reads(most=1, late_after_s=10)
    with under_way.of("a"):
        told = [(under_way.newly_late(), under_way.all_hang)]
        monkeypatch.setattr(reads, "monotonic", lambda: time.monotonic() + 11)
        told += [(under_way.newly_late(), under_way.all_hang) for _ in range(2)]
    told.append((under_way.newly_late(), under_way.all_hang))
    assert told == [([], False), (["a"], True), ([], True), ([], False)]


def test_no_object_is_begun_while_the_bytes_in_flight_are_used_up(start: Start) -> None:
    bucket = FakeBucket(**{f"o{number}": bytes(1000) for number in range(8)})
    bench = start(bucket, downloads=2, queue_bytes=2500)
    bench.submit(*(wanting(number, f"o{number}") for number in range(8)))
    until(lambda: bench.flight.bytes >= 2500)
    until(lambda: bench.value("velox_objects_in_progress") == 0)
    assert bench.flight.bytes <= 2500 + 2 * 1000, "no more beyond than there are threads"
    for number in range(8):
        bench.until_passed(number + 1)
        assert bench.flight.bytes <= 2500 + 2 * 1000
        bench.finish(number)


def test_keys_alone_never_keep_all_payloads_out(start: Start) -> None:
    """Else nothing would ever be done that could make room."""
    bucket = FakeBucket(**{f"o{number}": bytes(10) for number in range(8)})
    bench = start(bucket, queue_bytes=400)
    bench.submit(*(wanting(number, f"o{number}") for number in range(8)))
    assert bench.flight.bytes >= 800
    for number in range(8):
        bench.until_passed(number + 1)
        bench.finish(number)


def test_an_object_that_comes_after_its_partition_went_is_passed_on_and_counts_for_nothing(start: Start) -> None:
    bucket = FakeBucket(a=b"old")
    bucket.slow["a"] = threading.Event()
    bench = start(bucket)
    bench.submit(wanting(5, "a", epoch=bench.flight.offsets.epoch))
    until(lambda: bucket.asked)
    bench.flight.forget([Partition("image_data", 0)])
    again = wanting(5, "b", epoch=bench.flight.offsets.epoch)
    bench.flight.add(again)
    bucket.slow["a"].set()
    until(lambda: bench.passed)
    bench.flight.done(bench.passed)
    bench.flight.settle()
    assert bench.flight.offsets.committable() == {}, "it was fetched again, and that one is not done"
    bench.flight.done([again])
    bench.flight.settle()
    assert bench.flight.offsets.committable() == {Partition("image_data", 0): 6}
    assert (bench.flight.records, bench.flight.bytes) == (0, 0)


def test_a_defect_ends_it_and_is_told(start: Start) -> None:
    bucket = FakeBucket(a=b"payload")
    defect = ZeroDivisionError("a defect")
    bucket.failures["a"] = [defect]
    bench = start(bucket)
    bench.submit(wanting(0, "a"))
    until(lambda: bench.downloads.failure is defect)


@pytest.mark.parametrize("state", ["idle", "down", "not open", "waiting for room"])
def test_it_ends_at_once_whatever_it_waits_for(start: Start, state: str) -> None:
    bucket = FakeBucket(a=bytes(1000), b=b"payload")
    if state == "not open":
        bucket.problem = "no such folder"
    bench = start(bucket, queue_bytes=1000, downloads=1)
    bench.submit(wanting(0, "a"))
    if state != "not open":
        until(lambda: bench.passed)
    if state == "down":
        bench.flight.done(bench.passed)
        bench.flight.settle()
        bucket.problem = "no such folder"
    if state in {"down", "waiting for room"}:
        bench.submit(wanting(1, "b"))
    if state == "down":
        until(bench.blocked_by)
    assert bench.downloads.close(Deadline(PATIENCE_S))
    assert bucket.closed


def test_a_read_that_does_not_return_is_left_behind_and_told(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "_END_S", 0.05)
    bucket = FakeBucket(a=b"payload")
    bucket.slow["a"] = threading.Event()
    bench = start(bucket)
    bench.submit(wanting(0, "a"))
    until(lambda: bucket.asked)
    assert not bench.downloads.close(Deadline(0))
    assert not bucket.closed, "somebody is using it"


def test_what_was_never_started_is_closed_all_the_same() -> None:
    bench = Bench(FakeBucket())
    assert bench.downloads.close(Deadline(0))
