"""What a result looks like as a Kafka message."""

import json
import math
from dataclasses import replace
from typing import Any

import pytest

from tests.results import make_result
from velox.kafka.delivery import message_bytes
from velox.records import Headers, Prediction
from velox.settings import Settings
from velox.sinks.documents import Extras, document
from velox.sinks.kafka import outgoing, refusals, results_topic


def value(**changes: Any) -> dict[str, Any]:  # noqa: ANN401 - any argument of make_result
    return dict(json.loads(outgoing(make_result(7, **changes), "results")["value"] or b""))


def test_the_topic_is_named_after_the_records_unless_it_has_a_name() -> None:
    assert results_topic(Settings(kafka_topic="camera_7")) == "camera_7.results"
    assert results_topic(Settings(kafka_topic="camera_7", results_topic="seen")) == "seen"


def test_results_never_become_records_again() -> None:
    with pytest.raises(ValueError, match="RESULTS_TOPIC=camera_7 is KAFKA_TOPIC too"):
        Settings(kafka_topic="camera_7", results_topic="camera_7")


def test_the_value_is_the_document_of_the_databases() -> None:
    assert value() == document(make_result(7))


def test_the_key_is_the_prediction_id() -> None:
    message = outgoing(make_result(7, record_id="0190-a"), "results")
    assert (message["topic"], message["key"]) == ("results", b"0190-a")


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_what_json_cannot_say_is_null(number: float) -> None:
    assert value(produced_at=number)["timestamp"] is None


def test_the_headers_name_id_model_and_position() -> None:
    assert dict(outgoing(make_result(7, record_id="a"), "results")["headers"]) == {
        "velox-id": b"a",
        "velox-model": b"mobilenet_v2",
        "velox-model-version": b"4f1c",
        "velox-position": b"image_data-1-7",
    }


TRACE: Headers = [
    ("traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ("tracestate", b"rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"),
]


def handed_on(*headers: tuple[str, bytes | None]) -> list[tuple[str, bytes | None]]:
    """What a result carries on of a record's headers."""
    result = make_result()
    carried = outgoing(replace(result, record=replace(result.record, headers=headers)), "results")["headers"]
    return [header for header in carried if not header[0].startswith("velox-")]


def test_a_trace_goes_on_and_nothing_else_of_the_records_headers() -> None:
    assert handed_on(*TRACE, ("velox-id", b"b"), ("secret", b"c")) == TRACE


def test_of_a_trace_that_is_said_twice_the_first_goes_on() -> None:
    assert handed_on(*TRACE, ("tracestate", b"a=1"), *TRACE) == TRACE


@pytest.mark.parametrize(
    "odd",
    [
        ("traceparent", None),
        ("traceparent", b"00-4bf9-00f0-01"),
        ("traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-and more"),
        ("traceparent", b"00-" + b"0" * 1_000_000),
        ("tracestate", b""),
        ("tracestate", b"a" * 513),
        ("tracestate", b"a=1\r\nb=2"),
        ("tracestate", b"a" * 10_485_400),
    ],
    ids=lambda odd: f"{odd[0]}, {len(odd[1] or b'')} bytes",
)
def test_what_is_no_trace_is_not_handed_on(odd: tuple[str, bytes | None]) -> None:
    assert handed_on(odd) == []


def test_a_result_has_a_bounded_size_whatever_its_record_carries() -> None:
    result = make_result(label="x" * 1000)
    hostile = replace(
        result.record,
        headers=[("tracestate", b"a" * 10_000_000), ("other", b"b" * 10_000_000), *TRACE],
        key=b"k" * 10_000_000,
        ground_truth="y" * 257,
    )
    assert message_bytes(outgoing(replace(result, record=hostile), "results")) < 4096


def test_results_that_are_too_large_for_the_topic_are_named_with_the_reason() -> None:
    small, large = (make_result(number, label=label) for number, label in enumerate(("x", "x" * 900)))
    messages = [outgoing(result, "seen") for result in (small, large)]
    assert list(refusals(messages, 1200)) == [large.id]
    assert "seen takes 1200" in refusals(messages, 1200)[large.id]
    assert refusals(messages, 10_000) == {}


def test_scores_and_what_is_stored_besides_are_in_the_message() -> None:
    scored = replace(make_result(7), prediction=Prediction("cat", 0.75, (("cat", 0.75),)))
    said = json.loads(outgoing(scored, "results", Extras(text=4))["value"] or b"")
    assert (said["scores"], said["text"]) == ([{"label": "cat", "score": 0.75}], "payl")
