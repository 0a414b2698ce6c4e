"""Done means: every sink has it, or the dead-letter topic. An outage delays that and changes nothing else."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from tests.fakes import FakeDeadLetters, FakeOutcomeSink, FakeSink, make_record
from velox.consumer import writer as writing
from velox.consumer.writer import BULK, Writer
from velox.core.deadline import Deadline
from velox.errors import BadRecordError, Reason, RefusedResultsError
from velox.kafka.dead_letters import DeadLetters
from velox.metrics.consumer import ConsumerMetrics
from velox.records import Answered, ModelInfo, Pointer, Prediction, Record, Timings
from velox.settings import Settings

MODEL = ModelInfo("fake", "1", ("red_circle", "green_square"), "cpu")
SETTINGS = Settings(sinks=("sqlite", "disk"), storage_path=Path("hits"), target_labels=("red_*",))
FOR_EVER = float("inf")
LONG_S = 3600


def detection(offset: int, *, label: str = "red_circle", sent_s_ago: float | None = 1.0) -> Answered:
    timed_from = None if sent_s_ago is None else time.time() - sent_s_ago
    record = replace(make_record(offset), timed_from=timed_from)
    return Answered(record, Prediction(label, 0.98), MODEL, at=1700000007.5)


def other(offset: int) -> Answered:
    return detection(offset, label="green_square")


def bad(offset: int) -> Answered:
    return Answered(make_record(offset), BadRecordError(Reason.NOT_AN_IMAGE, "no"))


def late(offset: int) -> Answered:
    return Answered(make_record(offset), BadRecordError(Reason.DEADLINE_PASSED, "1.0 s before it was read"))


class Desk:
    """A writer with everything around it, and a journal of what happened in which order."""

    def __init__(self, *sinks: FakeSink, dead_letters: FakeDeadLetters | None = None, settings: Settings) -> None:
        self.journal: list[str] = []
        self.done: list[Record] = []
        self.bad: list[Record] = []
        self.blocked_by: list[str | None] = []
        """What the writer said at each try of anything."""
        self.before_try: Callable[[], None] = lambda: None
        self.metrics = ConsumerMetrics()
        self.sinks = sinks
        self.settings = settings
        self.dead_letters = dead_letters or FakeDeadLetters()
        for sink in sinks:
            sink.journal = self.journal
        self.dead_letters.journal = self.journal
        self.writer = Writer(settings, sinks, cast("DeadLetters", self.dead_letters), self.metrics)

    def backoff_s(self) -> Iterator[float]:
        """Wait for nothing, but note the state."""
        while True:
            self.blocked_by.append(self.writer.blocked_by)
            self.before_try()
            yield 0

    def write(self, *answered: Answered) -> None:
        """Let it write one bulk and end."""
        self.writer.submit(list(answered))
        self.start()
        assert self.writer.close(60)

    def start(self, is_behind: Callable[[], bool] = lambda: False) -> None:
        self.writer.start(done=self._note_done, is_behind=is_behind)

    def until_done(self, count: int) -> None:
        deadline = Deadline(60)
        while len(self.done) < count and not deadline.has_passed():
            time.sleep(0.01)
        assert len(self.done) == count

    def value(self, name: str, **labels: str) -> float:
        return self.metrics.total(name, **labels)

    def _note_done(self, records: Sequence[Record], bad: Sequence[Record]) -> None:
        self.journal.append("done")
        self.done.extend([*records, *bad])
        self.bad.extend(bad)


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Desk]:
    def build(*sinks: FakeSink, dead_letters: FakeDeadLetters | None = None, settings: Settings = SETTINGS) -> Desk:
        built = Desk(*sinks, dead_letters=dead_letters, settings=settings)
        monkeypatch.setattr(writing, "backoff_s", built.backoff_s)
        return built

    return build


Build = Callable[..., Desk]


def offsets(batch: Sequence[Any]) -> list[int]:
    return [getattr(item, "record", item).position.offset for item in batch]


def test_done_comes_last_after_dead_letters_and_every_sink_in_order(desk: Build) -> None:
    at = desk(FakeSink("disk"), FakeSink("mongo"))
    at.write(bad(0), detection(1))
    assert at.journal == ["dead_letters", "disk", "mongo", "done"]
    assert sorted(offsets(at.done)) == [0, 1]


def test_a_sink_that_is_down_gets_the_same_batch_again_and_only_then_is_it_done(desk: Build) -> None:
    at = desk(FakeSink("disk"), FakeSink("mongo", failing_writes=3))
    at.write(detection(0), detection(1))
    assert at.journal == ["disk", "mongo down", "mongo down", "mongo down", "mongo", "done"]
    assert [offsets(attempt) for attempt in at.sinks[1].attempts] == [[0, 1]] * 4
    assert at.value("velox_sink_retries_total", sink="mongo") == 3


def test_a_dead_letter_topic_that_is_down_is_waited_for_too(desk: Build) -> None:
    at = desk(FakeSink(), dead_letters=FakeDeadLetters(failing_writes=2))
    at.write(bad(0))
    assert at.journal == ["dead_letters", "done"]
    assert at.value("velox_sink_retries_total", sink="dead_letters") == 2


def test_a_record_past_its_deadline_is_told_of_and_done_but_neither_dead_nor_bad(desk: Build) -> None:
    outcomes, images = FakeOutcomeSink(), FakeSink("disk")
    at = desk(outcomes, images)
    at.write(late(0), detection(1), late(2), bad(3))
    assert at.journal == ["dead_letters", "disk", "outcomes", "done"]
    assert [record.position.offset for record, _ in at.dead_letters.letters] == [3]
    assert [getattr(each, "reason", None) for each in outcomes.batches[0]] == [
        Reason.DEADLINE_PASSED,
        None,
        Reason.DEADLINE_PASSED,
        Reason.NOT_AN_IMAGE,
    ]
    assert sorted(offsets(at.done)) == [0, 1, 2, 3]
    assert offsets(at.bad) == [3], "which is what the circuit counts"
    assert at.value("velox_dropped_records_total", cause="deadline_passed", topic="image_data") == 2
    assert at.value("velox_records_total", outcome="dropped", topic="image_data", model="") == 2
    assert at.value("velox_dead_letters_total") == 1
    assert at.value("velox_records_total") == 4


def test_what_blocks_is_named_while_it_blocks_and_not_after(desk: Build) -> None:
    at = desk(FakeSink("disk"), FakeSink("mongo", failing_writes=2))
    at.write(detection(0))
    opening, writing_disk, tries_of_mongo = at.blocked_by[:2], at.blocked_by[2], at.blocked_by[3:]
    assert None not in opening
    assert writing_disk is None
    assert tries_of_mongo == [None, "mongo", "mongo"]
    assert at.writer.blocked_by is None


def test_it_is_blocked_until_the_last_sink_is_open(desk: Build) -> None:
    at = desk(FakeSink("disk"), FakeSink("mongo", failing_opens=2))
    at.write()
    assert at.blocked_by == ["opening the sinks", "opening the sinks", "mongo", "mongo"]
    assert at.writer.blocked_by is None


def test_an_abandoned_outage_leaves_the_records_undone(desk: Build) -> None:
    at = desk(FakeSink("disk"), FakeSink("mongo", failing_writes=FOR_EVER))
    at.before_try = lambda: at.writer.abandon() if len(at.sinks[1].attempts) == 5 else None
    at.write(detection(0))
    assert at.done == []
    assert at.writer.failure is None
    assert all(sink.closed for sink in at.sinks)
    assert at.dead_letters.closed


def test_a_sink_that_never_opens_can_be_abandoned(desk: Build) -> None:
    at = desk(FakeSink(failing_opens=1000))
    at.before_try = lambda: at.writer.abandon() if len(at.blocked_by) == 5 else None
    at.write(detection(0))
    assert at.done == []
    assert at.sinks[0].closed


def test_a_defect_is_reported_not_retried(desk: Build) -> None:
    at = desk(FakeSink())
    at.sinks[0].defect = ValueError("a defect")
    at.write(detection(0))
    assert at.writer.failure is at.sinks[0].defect
    assert at.done == []
    assert len(at.sinks[0].attempts) == 1
    assert at.sinks[0].closed


def test_sinks_get_what_they_take(desk: Build) -> None:
    at = desk(FakeSink("disk", takes="detections"), FakeSink("sqlite", takes="all"))
    at.write(detection(0), other(1), bad(2), detection(3))
    assert [offsets(batch) for batch in at.sinks[0].batches] == [[0, 3]]
    assert [offsets(batch) for batch in at.sinks[1].batches] == [[0, 1, 3]]
    assert offsets([record for record, _ in at.dead_letters.letters]) == [2]
    assert sorted(offsets(at.done)) == [0, 1, 2, 3]


def test_a_sink_is_not_asked_to_store_nothing(desk: Build) -> None:
    at = desk(FakeSink("disk", takes="detections"))
    at.write(other(0))
    assert at.sinks[0].attempts == []
    assert offsets(at.done) == [0]


def test_only_a_detections_image_has_a_path(desk: Build) -> None:
    at = desk(FakeSink())
    at.write(detection(0), other(1))
    assert [result.file_path for result in at.sinks[0].batches[0]] == ["hits/hit_image_data-0-0.jpg", ""]


def test_without_the_disk_sink_there_is_no_path(desk: Build) -> None:
    at = desk(FakeSink(), settings=Settings(sinks=("sqlite",)))
    at.write(detection(0))
    assert at.sinks[0].batches[0][0].file_path == ""


@pytest.mark.parametrize(("sinks", "path"), [(("sqlite",), "s3://photos/red/1.jpg"), (("sqlite", "disk"), "")])
def test_without_a_copy_a_result_names_the_object_that_its_payload_was(
    desk: Build, sinks: tuple[str, ...], path: str
) -> None:
    at = desk(FakeSink("sqlite"), settings=SETTINGS.model_copy(update={"sinks": sinks}))
    told = Settings(bucket_url="s3://photos/red")
    at.writer = Writer(at.settings, at.sinks, cast("DeadLetters", at.dead_letters), at.metrics, told.object_url)
    keyed = other(0)._replace(record=replace(make_record(0), pointer=Pointer(key="red/1.jpg")))
    at.write(keyed, other(1))
    assert [result.file_path for result in at.sinks[0].batches[0]] == [path, ""]


def test_answers_that_wait_are_written_together_in_bulks_of_bounded_size(desk: Build) -> None:
    at = desk(FakeSink())
    for first in range(0, 3 * BULK, 8):
        at.writer.submit([detection(first + i) for i in range(8)])
    at.write()
    sizes = [len(batch) for batch in at.sinks[0].batches]
    assert max(sizes) < BULK + 8
    assert len(sizes) <= 4
    assert offsets(at.done) == list(range(sum(sizes)))


def test_while_records_queue_for_inference_a_bulk_waits_for_the_next_answers(
    desk: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "LINGER_S", LONG_S)
    at = desk(FakeSink())
    at.writer.submit([detection(0)])
    at.start(lambda: True)
    time.sleep(0.1)
    at.writer.submit([detection(1)])
    assert at.writer.close(60)
    assert [offsets(batch) for batch in at.sinks[0].batches] == [[0, 1]]


def test_no_more_than_a_quarter_of_what_may_be_in_flight_waits_there(
    desk: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "LINGER_S", LONG_S)
    at = desk(FakeSink(), settings=SETTINGS.model_copy(update={"queue_size": 16}))
    at.start(lambda: True)
    for offset in range(4):
        at.writer.submit([detection(offset)])
    at.until_done(4)
    assert at.writer.close(60)


def test_it_waits_no_longer_than_records_queue(desk: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "LINGER_S", LONG_S)
    behind = [True, True, False]
    at = desk(FakeSink())
    at.start(lambda: behind.pop(0))
    for offset in range(3):
        at.writer.submit([detection(offset)])
    at.until_done(3)
    assert at.writer.close(60)


def test_what_is_done_is_counted(desk: Build) -> None:
    at = desk(FakeSink())
    at.write(detection(0), detection(1), other(2), bad(3))
    assert at.value("velox_records_total", outcome="predicted") == 3
    assert at.value("velox_records_total", outcome="dead_lettered") == 1
    assert at.value("velox_dead_letters_total", reason="not_an_image") == 1
    assert at.value("velox_detections_total", label="red_circle") == 2
    assert at.value("target_shapes_found_total") == 2
    assert at.value("velox_end_to_end_seconds_count") == 3


def from_topic(topic: str, answered: Answered) -> Answered:
    record = answered.record
    return answered._replace(record=replace(record, position=record.position._replace(topic=topic)))


def test_what_is_done_is_counted_for_each_topic(desk: Build) -> None:
    at = desk(FakeSink())
    at.write(
        *(from_topic("camera_1", answered) for answered in (detection(0), other(1), bad(2))),
        *(from_topic("camera_2", answered) for answered in (detection(3), bad(4), bad(5))),
    )
    for topic, predicted, dead in (("camera_1", 2, 1), ("camera_2", 1, 2)):
        assert at.value("velox_records_total", outcome="predicted", topic=topic, model="fake") == predicted
        assert at.value("velox_records_total", outcome="dead_lettered", topic=topic, model="") == dead
        assert at.value("velox_dead_letters_total", reason="not_an_image", topic=topic) == dead
        assert at.value("velox_detections_total", label="red_circle", topic=topic) == 1
        assert at.value("velox_end_to_end_seconds_count", topic=topic, model="fake") == predicted
    assert at.value("velox_records_total") == 6
    assert at.value("target_shapes_found_total") == 2


def test_of_many_dead_letters_one_of_each_reason_is_logged(desk: Build, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        desk(FakeSink()).write(
            *map(bad, range(5)), Answered(make_record(7), BadRecordError(Reason.EMPTY, "nothing")), bad(8)
        )
    assert [message for message in caplog.messages if message.startswith("Dead letter")] == [
        "Dead letter image_data-0-0: not_an_image: no",
        "Dead letter image_data-0-7: empty: nothing",
    ]


@pytest.mark.parametrize(("sent_s_ago", "counted"), [(None, 0), (31 * 86400, 0), (29 * 86400, 1), (-100, 1)])
def test_a_latency_is_counted_only_where_one_is_known(desk: Build, sent_s_ago: float | None, counted: int) -> None:
    at = desk(FakeSink())
    at.write(detection(0, sent_s_ago=sent_s_ago))
    assert at.value("velox_end_to_end_seconds_count") == counted
    assert 0 <= at.value("velox_end_to_end_seconds_sum") < 30 * 86400


def test_a_latency_ends_only_when_the_last_sink_has_it(desk: Build) -> None:
    class Slow(FakeSink):
        def write(self, batch: Sequence[Any]) -> None:
            time.sleep(0.2)
            super().write(batch)

    at = desk(Slow())
    at.write(detection(0, sent_s_ago=0))
    assert at.value("velox_end_to_end_seconds_sum") >= 0.2


def test_a_result_says_when_it_was_predicted_not_when_it_was_written(desk: Build) -> None:
    at = desk(FakeSink())
    at.write(detection(0))
    assert at.sinks[0].batches[0][0].predicted_at == 1700000007.5


def test_a_model_that_makes_up_labels_does_not_make_as_many_series(
    desk: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "_MOST_LABELS", 2)
    at = desk(FakeSink())
    at.write(*(detection(number, label=f"red_{number % 4}") for number in range(8)))
    found = {label: at.value("velox_detections_total", label=label) for label in ("red_0", "red_1", "red_2", "other")}
    assert found == {"red_0": 2, "red_1": 2, "red_2": 0, "other": 4}
    assert at.value("target_shapes_found_total") == 8


def test_a_result_that_a_sink_will_never_take_is_a_dead_letter_and_its_neighbours_are_stored(desk: Build) -> None:
    class Narrow(FakeSink):
        def write(self, batch: Sequence[Any]) -> None:
            super().write([result for result in batch if result.id != "image_data-0-1"])
            raise RefusedResultsError({"image_data-0-1": "too large"})

    at = desk(FakeSink("mongo"), Narrow("narrow"), FakeSink("last"))
    at.write(detection(0), detection(1), detection(2))
    assert at.journal == ["mongo", "narrow", "last", "dead_letters", "done"]
    ((record, error),) = at.dead_letters.letters
    assert (record.position.offset, str(error)) == (1, "result_refused: too large")
    assert sorted(offsets(at.done)) == [0, 1, 2]
    assert at.value("velox_records_total", outcome="predicted") == 2
    assert at.value("velox_records_total", outcome="dead_lettered") == 1
    assert at.value("target_shapes_found_total") == 2


def test_a_sink_that_fails_to_close_keeps_none_of_the_others_open(
    desk: Build, caplog: pytest.LogCaptureFixture
) -> None:
    class Stuck(FakeSink):
        def close(self) -> None:
            raise RuntimeError("a defect in close")

    last = FakeSink("last")
    at = desk(Stuck("stuck"), last)
    at.write(detection(0))
    assert last.closed
    assert at.dead_letters.closed
    assert "stuck did not close" in caplog.text


def test_the_log_lines_are_the_compatible_ones(desk: Build, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    desk(FakeSink("mongo")).write(detection(0), other(1))
    assert "TARGET MATCH: red_circle (Conf: 0.98)" in caplog.messages
    assert "Saved to database: red_circle" in caplog.messages
    assert not any("green_square" in message for message in caplog.messages)


@pytest.mark.parametrize("name", ["disk", "kafka"])
def test_without_a_database_nothing_is_said_to_be_saved_in_one(
    desk: Build, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    desk(FakeSink(name, takes="detections")).write(detection(0))
    assert any(message.startswith("TARGET MATCH") for message in caplog.messages)
    assert not any(message.startswith("Saved to database") for message in caplog.messages)


def test_a_sink_that_takes_outcomes_hears_of_results_and_failures_in_their_order_and_last(desk: Build) -> None:
    outcomes = FakeOutcomeSink()
    at = desk(outcomes, FakeSink("disk", takes="detections"), FakeSink("sqlite"))
    at.write(detection(0), bad(1), other(2), bad(3), detection(4))
    assert at.journal == ["dead_letters", "disk", "sqlite", "outcomes", "done"]
    assert outcomes.heard == [
        *((0, "red_circle"), (1, "not_an_image"), (2, "green_square"), (3, "not_an_image"), (4, "red_circle")),
    ]
    failure = outcomes.batches[0][1]
    assert (failure.id, failure.detail) == ("image_data-0-1", "no")
    assert failure.at == pytest.approx(time.time(), abs=60)


def test_failures_alone_are_told_too(desk: Build) -> None:
    outcomes, other_sink = FakeOutcomeSink(), FakeSink()
    at = desk(outcomes, other_sink)
    at.write(bad(0))
    assert outcomes.heard == [(0, "not_an_image")]
    assert other_sink.attempts == []
    assert at.journal == ["dead_letters", "outcomes", "done"]


def test_nothing_is_done_before_the_sink_that_takes_outcomes_has_them(desk: Build) -> None:
    at = desk(FakeOutcomeSink(failing_writes=2))
    at.write(bad(0), detection(1))
    assert at.journal == ["dead_letters", "outcomes down", "outcomes down", "outcomes", "done"]
    assert at.value("velox_sink_retries_total", sink="outcomes") == 2


def test_a_failure_is_not_told_before_its_dead_letter_is_acknowledged(desk: Build) -> None:
    outcomes = FakeOutcomeSink()
    at = desk(outcomes, dead_letters=FakeDeadLetters(failing_writes=3))
    at.before_try = lambda: at.writer.abandon() if len(at.blocked_by) == 4 else None
    at.write(bad(0))
    assert outcomes.attempts == []
    assert at.done == []


def test_a_result_that_another_sink_refuses_is_a_failure_to_sinks_that_take_outcomes(desk: Build) -> None:
    class Narrow(FakeSink):
        def write(self, batch: Sequence[Any]) -> None:
            super().write(batch)
            raise RefusedResultsError({"image_data-0-1": "too large"})

    outcomes = FakeOutcomeSink()
    at = desk(outcomes, Narrow("narrow"))
    at.write(detection(0), detection(1), bad(2))
    assert at.journal == ["dead_letters", "narrow", "dead_letters", "outcomes", "done"]
    assert outcomes.heard == [(0, "red_circle"), (1, "result_refused"), (2, "not_an_image")]
    assert sorted(offsets(at.done)) == [0, 1, 2]


def test_a_result_that_it_refuses_itself_comes_to_all_of_its_kind_again_as_a_failure(desk: Build) -> None:
    first, second = FakeOutcomeSink("first"), FakeOutcomeSink("second")
    second.refusing = {"image_data-0-1": "no such request"}
    at = desk(first, second)
    at.write(detection(0), detection(1))
    assert first.heard == [(0, "red_circle"), (1, "red_circle"), (1, "result_refused")]
    assert second.heard == first.heard
    assert at.journal == ["first", "second", "dead_letters", "first", "second", "done"]
    assert [str(error) for _, error in at.dead_letters.letters] == ["result_refused: no such request"]
    assert at.value("velox_records_total", outcome="predicted") == 1
    assert at.value("velox_records_total", outcome="dead_lettered") == 1


def test_a_failure_that_it_refuses_is_logged_and_done_as_its_dead_letter_tells_of_it(
    desk: Build, caplog: pytest.LogCaptureFixture
) -> None:
    outcomes = FakeOutcomeSink()
    outcomes.refusing = {"image_data-0-0": "no such request"}
    at = desk(outcomes)
    at.write(bad(0))
    assert offsets(at.done) == [0]
    assert len(at.dead_letters.letters) == 1
    assert "does not take a failure, image_data-0-0: no such request" in caplog.text


def test_records_with_one_id_have_an_outcome_each(desk: Build) -> None:
    outcomes = FakeOutcomeSink()
    twin = detection(1)._replace(record=replace(make_record(1), id="image_data-0-0"))
    desk(outcomes).write(detection(0), twin)
    assert [offset for offset, _ in outcomes.heard] == [0, 1]


def test_a_result_carries_the_timings_of_its_batch(desk: Build) -> None:
    timings = Timings(0.1, 0.2, 0.3, 8)
    at = desk(FakeSink())
    at.write(detection(0)._replace(timings=timings), detection(1))
    assert [result.timings for result in at.sinks[0].batches[0]] == [timings, None]
