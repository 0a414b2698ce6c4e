import math
from dataclasses import replace

from tests.results import make_result
from velox.records import UNLABELLED
from velox.sinks.documents import document, documents


def test_a_document_has_exactly_these_flat_fields() -> None:
    assert document(make_result(7)) == {
        "_id": "image_data-1-7",
        "timestamp": 1700000000.5,
        "confidence": 0.98,
        "predicted_label": "red_circle",
        "ground_truth": "red_circle",
        "file_path": "discoveries/hit_image_data-1-7.jpg",
        "is_detection": True,
        "topic": "image_data",
        "partition": 1,
        "offset": 7,
        "model": "mobilenet_v2",
        "model_version": "4f1c",
        "predicted_at": 1700000001.25,
    }


def test_numbers_have_the_promised_types_even_if_a_producer_counts_in_whole_seconds() -> None:
    stored = document(make_result(produced_at=1700000000))
    assert type(stored["timestamp"]) is float
    assert type(stored["confidence"]) is float
    assert type(stored["file_path"]) is str


def test_a_record_without_labels_has_the_ground_truth_unknown_unknown() -> None:
    assert document(make_result(ground_truth=UNLABELLED))["ground_truth"] == "unknown_unknown"


def test_half_a_surrogate_pair_becomes_a_question_mark() -> None:
    stored = document(make_result(label="\ud800", ground_truth="\udfff_ö"))
    assert (stored["predicted_label"], stored["ground_truth"]) == ("?", "?_ö")


def test_a_timestamp_that_is_no_number_stays_one_value() -> None:
    assert math.isnan(float(document(make_result(produced_at=math.nan))["timestamp"]))


def test_of_results_with_one_id_the_last_counts() -> None:
    first, other = make_result(1), make_result(2)
    last = replace(first, predicted_at=first.predicted_at + 1)
    assert documents([first, other, last]) == [document(last), document(other)]


def test_no_results_are_no_documents() -> None:
    assert documents([]) == []
