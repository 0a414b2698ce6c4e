"""What a result looks like as a Kafka message."""

import json
import math
from dataclasses import replace
from typing import Any

import pytest

from tests.results import make_result
from velox.records import Headers
from velox.settings import Settings
from velox.sinks.documents import document
from velox.sinks.kafka import outgoing, results_topic


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


def test_a_trace_goes_on_and_nothing_else_of_the_records_headers() -> None:
    trace: Headers = [("traceparent", b"00-4bf9-00f0-01"), ("tracestate", b"a=1")]
    result = make_result()
    record = replace(result.record, headers=[*trace, ("velox-id", b"b"), ("secret", b"c")])
    headers = outgoing(replace(result, record=record), "results")["headers"]
    assert [header for header in headers if header[0] in {"traceparent", "tracestate", "secret"}] == trace
    assert [value for name, value in headers if name == "velox-id"] == [b"image_data-0-0"]
