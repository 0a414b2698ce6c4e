"""Sends spans to a collector, by OTLP over HTTP. The only module that knows OpenTelemetry.

Sampling, the queue of spans that wait, headers and compression are as OpenTelemetry's own variables say
(``OTEL_TRACES_SAMPLER``, ``OTEL_BSP_…``, ``OTEL_EXPORTER_OTLP_…``), which its library reads from the environment.
"""

import logging
import threading
from collections.abc import Mapping, Sequence
from typing import Final

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)
from opentelemetry.trace import Span as OtelSpan

from velox import __version__
from velox.core.seldom import Seldom
from velox.core.tracing import Kind, Span, Value

log = logging.getLogger(__name__)

_PATH: Final = "/v1/traces"
_NS: Final = 1_000_000_000
_TELL_EVERY_S: Final = 60.0
_END_S: Final = 3.0
"""What waits is sent for so long at the end; a collector that is away holds nobody up."""
_KINDS: Final = {
    "server": SpanKind.SERVER,
    "producer": SpanKind.PRODUCER,
    "consumer": SpanKind.CONSUMER,
    "client": SpanKind.CLIENT,
    "internal": SpanKind.INTERNAL,
}


class OtlpSpans:
    """Spans of one process. Thread-safe and never blocking: they wait in a bounded queue, and a full one drops some."""

    def __init__(self, endpoint: str, service: str, *, exporter: SpanExporter | None = None) -> None:
        """Send to this collector, as this service."""
        whose = Resource.create({"service.name": service, "service.version": __version__})
        self._provider = TracerProvider(resource=whose, shutdown_on_exit=False)
        sending = exporter or OTLPSpanExporter(endpoint=endpoint.rstrip("/") + _PATH)
        self._provider.add_span_processor(BatchSpanProcessor(_Telling(sending, endpoint)))
        self._tracer = self._provider.get_tracer("velox", __version__)

    def begin(
        self,
        name: str,
        kind: Kind,
        *,
        parent: bytes = b"",
        links: Sequence[bytes] = (),
        at: float | None = None,
        attributes: Mapping[str, Value] | None = None,
    ) -> Span:
        """Begin a span."""
        above = Context()
        if parent:
            above = set_span_in_context(NonRecordingSpan(_context(parent)), above)
        return _Span(
            self._tracer.start_span(
                name,
                above,
                _KINDS[kind],
                attributes,
                [Link(_context(each)) for each in links],
                start_time=_ns(at),
            )
        )

    def close(self) -> None:
        """Send what waits, as far as a collector takes it soon."""
        ending = threading.Thread(target=self._provider.shutdown, name="spans", daemon=True)
        ending.start()
        ending.join(_END_S)


class _Telling(SpanExporter):
    """Says now and then that spans do not arrive; OpenTelemetry's library says so at every try."""

    def __init__(self, inner: SpanExporter, endpoint: str) -> None:
        self._inner = inner
        self._endpoint = endpoint
        self._seldom = Seldom(_TELL_EVERY_S)
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._inner.export(spans)
        if result is not SpanExportResult.SUCCESS and self._seldom.is_due("away"):
            log.warning("Spans do not reach OTEL_EXPORTER_OTLP_ENDPOINT=%s, and are dropped", self._endpoint)
        return result

    def shutdown(self) -> None:
        self._inner.shutdown()


class _Span:
    """One span."""

    def __init__(self, span: OtelSpan) -> None:
        self._span = span
        context = span.get_span_context()
        self.traceparent = f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}".encode()

    def end(
        self,
        *,
        at: float | None = None,
        name: str = "",
        error: str | None = None,
        attributes: Mapping[str, Value] | None = None,
    ) -> None:
        if name:
            self._span.update_name(name)
        if attributes:
            self._span.set_attributes(attributes)
        if error is not None:
            self._span.set_status(Status(StatusCode.ERROR, error))
        self._span.end(_ns(at))


def _context(traceparent: bytes) -> SpanContext:
    """Read a traceparent, of a form that was checked."""
    _, trace_id, span_id, flags = traceparent.decode().split("-")
    return SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=TraceFlags(int(flags, 16)))


def _ns(at: float | None) -> int | None:
    return None if at is None else int(at * _NS)
