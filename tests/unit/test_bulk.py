"""What becomes of records that several models look at."""

from pathlib import Path

from tests.fakes import make_record
from velox.consumer.bulk import Bulk
from velox.errors import BadRecordError, Reason
from velox.records import Answered, Failure, ModelInfo, Prediction, Record, Result
from velox.settings import Settings
from velox.sinks.disk import DiskSink
from velox.sinks.documents import document

CIRCLES, COLOURS = (ModelInfo(name, "1", (), "cpu") for name in ("circles", "colours"))
TORN = BadRecordError(Reason.UNDECODABLE, "torn")


def answered(record: Record, *answers: Prediction | BadRecordError) -> Answered:
    first, second = (
        Answered(record, answer, model, is_of_several=True)
        for answer, model in zip(answers, (CIRCLES, COLOURS), strict=True)
    )
    return first._replace(beside=(second,))


def result(one: Answered, prediction: Prediction, model: ModelInfo) -> Result:
    return Result(one.record, prediction, model, True, 0.0, "", is_of_several=one.is_of_several)


def bulk(*each: Answered) -> Bulk:
    return Bulk(each, result)


RED, ROUND = Prediction("red", 0.9), Prediction("round", 0.8)


def test_each_model_has_a_result_of_its_own_and_the_record_is_done_once() -> None:
    record = make_record(1)
    one = bulk(answered(record, ROUND, RED))
    assert [each.id for each in one.results] == ["image_data-0-1/circles", "image_data-0-1/colours"]
    assert one.fine == [record]
    assert one.bad == []


def test_a_document_says_which_model_it_is_of() -> None:
    (first, _) = bulk(answered(make_record(1), ROUND, RED)).results
    fields = document(first)
    assert (fields["_id"], fields["model"], fields["predicted_label"]) == ("image_data-0-1/circles", "circles", "round")


def test_what_one_model_cannot_read_is_a_dead_letter_and_the_others_result_is_kept() -> None:
    record = make_record(1)
    one = bulk(answered(record, TORN, RED))
    assert [each.id for each in one.results] == ["image_data-0-1/colours"]
    assert one.bad == [(record, TORN)]
    assert one.fine == [], "it is done with its dead letter"


def test_what_no_model_can_read_is_one_dead_letter() -> None:
    record = make_record(1)
    one = bulk(answered(record, TORN, TORN))
    assert one.bad == [(record, TORN)]
    assert one.results == []


def test_a_result_that_is_refused_makes_a_dead_letter_of_the_record_once() -> None:
    record = make_record(1)
    one = bulk(answered(record, ROUND, RED))
    ids = [each.id for each in one.results]
    assert [letter.id for letter, _ in one.refuse({ids[0]: "too large"})] == [record.id]
    assert [each.id for each in one.results] == ids[1:]
    assert one.refuse({ids[1]: "too large"}) == []
    assert (one.fine, len(one.bad)) == ([], 1)


def test_the_failure_of_a_record_counts_more_than_a_result() -> None:
    one = bulk(answered(make_record(1), TORN, RED))
    assert {type(outcome) for outcome in one.outcomes(0.0)} == {Failure}


def test_the_image_of_a_record_is_kept_once(tmp_path: Path) -> None:
    sink = DiskSink(Settings(storage_path=tmp_path))
    sink.write(bulk(answered(make_record(1), ROUND, RED)).results)
    assert [path.name for path in tmp_path.iterdir()] == ["hit_image_data-0-1.jpg"]
