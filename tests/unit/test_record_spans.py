"""Spans of records: who passes a consumer's parts is told of, if it came with a sampled trace, and of nobody else."""

from dataclasses import replace

import pytest

from tests.fakes import FakeSpans, make_record
from velox.consumer.tracing import RecordSpans
from velox.errors import BadRecordError, Reason
from velox.records import Answered, ModelInfo, Pointer, Prediction, Record, Timings

MODEL = ModelInfo("vader", "1", ("POSITIVE",), "cpu")
TIMINGS = Timings(queued_s=0.5, decoded_s=0.25, inferred_s=0.5, batch_size=3)
AT = 1_700_000_100.0


def parent(number: int, flags: str = "01") -> bytes:
    return f"00-{number:032x}-{number:016x}-{flags}".encode()


def record(number: int, flags: str = "01") -> Record:
    headers = [("traceparent", parent(number, flags))] if number else []
    return replace(make_record(number), headers=headers, timed_from=AT - 3)


def answered(each: Record, *, is_bad: bool = False) -> Answered:
    answer = BadRecordError(Reason.UNDECODABLE, "no text") if is_bad else Prediction("POSITIVE", 0.9)
    return Answered(each, answer, MODEL, AT, TIMINGS)


@pytest.fixture
def spans() -> FakeSpans:
    return FakeSpans()


def test_a_batch_has_a_span_that_is_linked_with_those_of_its_records(spans: FakeSpans) -> None:
    passed: list[Answered] = []
    batch = [answered(record(1)), answered(record(0)), answered(record(2, "00")), answered(record(3), is_bad=True)]
    RecordSpans(spans).answered(passed.extend)(batch)
    assert passed == batch
    (told,) = spans.named("batch")
    assert (told.parent, told.links) == (b"", [parent(1), parent(3)])
    assert (told.began, told.ended) == (AT - 0.75, AT)
    assert told.attributes["messaging.batch.message_count"] == 3
    assert [each.parent for each in spans.named("queue")] == [parent(1), parent(3)]
    assert {(each.began, each.ended) for each in spans.named("queue")} == {(AT - 3, AT - 0.75)}
    assert [(each.parent, each.error) for each in spans.named("inference")] == [
        (parent(1), None),
        (parent(3), "undecodable"),
    ]
    assert {tuple(each.links) for each in spans.named("inference")} == {(told.traceparent,)}


def test_storing_is_told_of_when_it_is_done(spans: FakeSpans) -> None:
    told = RecordSpans(spans)
    told.answered(lambda _: None)([answered(record(1)), answered(record(2), is_bad=True)])
    assert spans.named("write") == []
    passed: list[Record] = []
    done = told.done(lambda fine, bad: passed.extend([*fine, *bad]))
    done([record(1)], [record(2)])
    done([record(1)], [])
    assert passed == [record(1), record(2), record(1)]
    assert [(each.parent, each.began, each.error) for each in spans.named("write")] == [
        (parent(1), AT, None),
        (parent(2), AT, "undecodable"),
    ]


def test_a_record_that_never_reached_a_model_has_only_the_span_of_its_end(spans: FakeSpans) -> None:
    told = RecordSpans(spans)
    told.answered(lambda _: None)([Answered(record(1), BadRecordError(Reason.EMPTY, "nothing"))])
    told.done(lambda _fine, _bad: None)([], [record(1)])
    assert [(each.name, each.error) for each in spans.told] == [("write", "empty")]


def test_a_download_is_told_of_when_the_payload_is_there(spans: FakeSpans) -> None:
    told = RecordSpans(spans)
    apart = [replace(record(number), pointer=Pointer(key="a.jpg")) for number in (0, 1)]
    here = record(2)
    passed: list[Record] = []
    told.wanting(passed.extend)([*apart, here])
    told.downloaded(passed.extend)([replace(each, payload=b"jpeg") for each in [*apart, here]])
    assert len(passed) == 6
    (download,) = spans.named("download")
    assert (download.parent, download.attributes) == (parent(1), {"velox.object.bytes": 4})


def test_a_clock_that_is_ahead_makes_no_span_that_ends_before_it_begins(spans: FakeSpans) -> None:
    RecordSpans(spans).answered(lambda _: None)([answered(replace(record(1), timed_from=AT + 60))])
    (queue,) = spans.named("queue")
    assert queue.began == queue.ended == AT - 0.75
