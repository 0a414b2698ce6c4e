"""What is handed to OpenTelemetry, and what becomes of spans that nobody takes."""

import logging
from collections.abc import Sequence

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from velox.errors import SettingsError
from velox.otlp import OtlpSpans
from velox.settings.tracing import TracingSettings
from velox.spans import connect

TRACE = 0x0AF7651916CD43DD8448EB211C80319C
PARENT = f"00-{TRACE:032x}-b7ad6b7169203331-01".encode()


class Exporter(SpanExporter):
    """Keeps spans, or refuses them."""

    def __init__(self, result: SpanExportResult = SpanExportResult.SUCCESS) -> None:
        self.result = result
        self.spans: list[ReadableSpan] = []

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.spans += spans
        return self.result


def test_a_span_says_what_it_was_told_and_continues_its_trace() -> None:
    exporter = Exporter()
    spans = OtlpSpans("http://collector:4318", "velox-test", exporter=exporter)
    begun = spans.begin("first", "producer", parent=PARENT, links=[PARENT], at=1.5, attributes={"a": 1})
    begun.end(at=2.5, name="better", error="no broker", attributes={"b": "c"})
    below = spans.begin("below", "internal", parent=begun.traceparent)
    below.end()
    spans.begin("alone", "server").end()
    spans.close()
    first, second, third = exporter.spans
    assert (first.name, first.start_time, first.end_time) == ("better", 1_500_000_000, 2_500_000_000)
    assert (first.context.trace_id, first.status.description) == (TRACE, "no broker")
    assert dict(first.attributes or {}) == {"a": 1, "b": "c"}
    assert [link.context.trace_id for link in first.links] == [TRACE]
    assert first.resource.attributes["service.name"] == "velox-test"
    assert second.parent is not None and second.parent.span_id == first.context.span_id
    assert begun.traceparent.startswith(PARENT[:36]) and begun.traceparent != PARENT
    assert third.parent is None and third.context.trace_id != TRACE


def test_below_a_trace_that_is_not_sampled_nothing_is_sent() -> None:
    exporter = Exporter()
    spans = OtlpSpans("http://collector:4318", "velox-test", exporter=exporter)
    begun = spans.begin("silent", "server", parent=PARENT.removesuffix(b"01") + b"00")
    begun.end()
    spans.close()
    assert exporter.spans == []
    assert begun.traceparent.endswith(b"-00")


def test_that_spans_do_not_arrive_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        spans = OtlpSpans("http://collector:4318", "velox-test", exporter=Exporter(SpanExportResult.FAILURE))
        for _ in range(3000):
            spans.begin("lost", "internal").end()
        spans.close()
    (line,) = caplog.messages
    assert line == "Spans do not reach OTEL_EXPORTER_OTLP_ENDPOINT=http://collector:4318, and are dropped"


def test_without_a_collector_there_are_no_spans_and_without_the_packages_the_remedy_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert connect(TracingSettings(), "gateway") is None
    monkeypatch.setitem(__import__("sys").modules, "velox.otlp", None)
    with pytest.raises(SettingsError, match=r"pip install 'velox\[otlp\]'"):
        connect(TracingSettings(otel_exporter_otlp_endpoint="http://collector:4318"), "gateway")


@pytest.mark.parametrize("url", ["collector:4318", "grpc://collector:4317", "http://", "http:// x"])
def test_what_is_no_collectors_address_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="is no address of a collector"):
        TracingSettings(otel_exporter_otlp_endpoint=url)
