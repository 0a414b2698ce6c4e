import math
from dataclasses import replace
from typing import cast

import pytest

from tests.results import make_result
from velox.records import UNLABELLED, Box, Prediction, Timings
from velox.settings import Settings
from velox.sinks.documents import Extras, document, documents, excerpt


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
    assert math.isnan(float(str(document(make_result(produced_at=math.nan))["timestamp"])))


def test_of_results_with_one_id_the_last_counts() -> None:
    first, other = make_result(1), make_result(2)
    last = replace(first, predicted_at=first.predicted_at + 1)
    assert documents([first, other, last]) == [document(last), document(other)]


def test_no_results_are_no_documents() -> None:
    assert documents([]) == []


SCORED = Prediction("cat", 0.75, (("cat", 0.75), ("\ud800", 0.25)), (Box("cat", 0.5, 0.1, 0.2, 0.3, 0.4),))
TIMED = replace(make_result(7), timings=Timings(0.0015, 0.00025, 0.25, 8))
ALL = Extras(timings=True, text=5)


def test_scores_and_boxes_are_there_when_the_model_gives_them() -> None:
    fields = document(replace(make_result(7), prediction=SCORED))
    assert fields["scores"] == [{"label": "cat", "score": 0.75}, {"label": "?", "score": 0.25}]
    (box,) = cast("list[object]", fields["boxes"])
    assert box == {"label": "cat", "confidence": 0.5, "left": 0.1, "top": 0.2, "right": 0.3, "bottom": 0.4}
    assert {"scores", "boxes"}.isdisjoint(document(make_result(7)))


def test_timings_are_stored_in_milliseconds_when_the_settings_say_so() -> None:
    expected = {"queue_ms": 1.5, "decode_ms": 0.25, "inference_ms": 250.0, "batch_size": 8}
    assert document(TIMED, Extras(timings=True)) == document(TIMED) | expected
    assert document(make_result(7), Extras(timings=True)) == document(make_result(7)), "nobody has measured any"


@pytest.mark.parametrize(
    ("payload", "text"),
    [(b"schoen genug", "schoe"), ("schön genug".encode(), "schön"), (b"a\xff\x00b", "a\ufffd\ufffdb"), (b"", "")],
)
def test_the_beginning_of_a_text_is_stored_when_the_settings_say_so(payload: bytes, text: str) -> None:
    result = make_result(7, payload=payload)
    assert document(result, Extras(text=5)) == document(result) | {"text": text}
    assert "text" not in document(result)


def test_an_emoji_is_one_character() -> None:
    assert excerpt("😀😀😀".encode(), 2) == "😀😀"


def test_what_is_stored_besides_is_what_the_settings_say() -> None:
    assert Extras.of(Settings()) == Extras(timings=False, text=0)
    assert Extras.of(Settings(store_timings=True, store_text=5)) == ALL
