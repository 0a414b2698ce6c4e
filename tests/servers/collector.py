"""A collector of spans: takes OTLP over HTTP, and keeps what came."""

import gzip
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.servers.process import HOST


@dataclass(frozen=True)
class Told:
    """A span as it came."""

    service: str
    name: str
    kind: int
    trace: str
    id: str
    parent: str
    """Empty where a trace begins."""
    links: tuple[tuple[str, str], ...]
    """Trace and span of each."""
    began_s: float
    ended_s: float
    error: str | None
    attributes: Mapping[str, Any]


class Collector:
    """Listens while it is entered."""

    def __init__(self) -> None:
        self.spans: list[Told] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                is_fine = self.path == "/v1/traces"
                if is_fine:
                    collector.spans += _read(body)
                self.send_response(200 if is_fine else 404)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's signature
                pass

        self._server = ThreadingHTTPServer((HOST, 0), Handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False

    @property
    def url(self) -> str:
        """What OTEL_EXPORTER_OTLP_ENDPOINT is to be."""
        return f"http://{HOST}:{self._server.server_address[1]}"

    def named(self, name: str, *, trace: str | None = None) -> list[Told]:
        """The spans of this name, and of this trace if one is given."""
        return [each for each in list(self.spans) if each.name == name and trace in {None, each.trace}]

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=[0.05], daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


def _read(body: bytes) -> list[Told]:
    found = []
    for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
        service = _values(resource.resource.attributes)["service.name"]
        for scope in resource.scope_spans:
            for span in scope.spans:
                found.append(
                    Told(
                        service=service,
                        name=span.name,
                        kind=span.kind,
                        trace=span.trace_id.hex(),
                        id=span.span_id.hex(),
                        parent=span.parent_span_id.hex(),
                        links=tuple((link.trace_id.hex(), link.span_id.hex()) for link in span.links),
                        began_s=span.start_time_unix_nano / 1e9,
                        ended_s=span.end_time_unix_nano / 1e9,
                        error=span.status.message if span.status.code == span.status.STATUS_CODE_ERROR else None,
                        attributes=_values(span.attributes),
                    )
                )
    return found


def _values(attributes: Any) -> dict[str, Any]:  # noqa: ANN401 - protobuf's
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}
