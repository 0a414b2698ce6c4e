"""W3C Trace Context: from an HTTP request to its record, and to what is logged of it."""

import json
import logging

import pytest

from tests.fakes import FakeSpans
from tests.gateways import Running
from velox import logs
from velox.core.tracing import sampled, trace_id, traces
from velox.errors import BrokerUnavailableError

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"


@pytest.mark.parametrize(
    "value", ["", "00-0af7-b7ad-01", PARENT.upper(), f"{PARENT}-more", f" {PARENT}", "00-" + "0" * 100_000]
)
def test_what_is_no_trace_is_not_handed_on(value: str) -> None:
    assert traces([("traceparent", value.encode())]) == []


def test_the_first_of_each_name_is_handed_on_and_nothing_else() -> None:
    said = [("traceparent", PARENT.encode()), ("traceparent", b"other"), ("tracestate", b"a=1"), ("x", b"y")]
    assert traces(said) == [("traceparent", PARENT.encode()), ("tracestate", b"a=1")]
    assert (trace_id(traces(said)), trace_id([]), trace_id([("tracestate", b"a=1")])) == (TRACE, "", "")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/predict", b'{"text": "fine"}'),
        ("/inference", b'{"model_name": "text_processing", "data": "fine"}'),
        ("/v1/requests", b'{"model": "sentiment", "text": "fine"}'),
        ("/v1/batches", b'{"model": "sentiment", "text": "fine"}\n'),
    ],
)
def test_a_requests_trace_is_in_its_record_and_not_in_the_next_ones(path: str, body: bytes) -> None:
    running = Running()
    kind = "application/x-ndjson" if path == "/v1/batches" else "application/json"
    told = {"traceparent": PARENT, "tracestate": "shop=1", "Content-Type": kind}
    assert running.post(path, content=body, headers=told).status_code < 300
    assert running.post(path, content=body, headers={"Content-Type": kind}).status_code < 300
    first, second = (headers for *_, headers in running.asker.asked)
    assert (first["traceparent"], first["tracestate"]) == (PARENT.encode(), b"shop=1")
    assert second.keys().isdisjoint({"traceparent", "tracestate"})


def test_log_lines_about_a_request_name_its_trace(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(level="DEBUG", form="json")
    try:
        running = Running()
        running.store.is_away = True
        running.post("/predict", json={"text": "fine"}, headers={"traceparent": PARENT})
        running.post("/predict", json={"text": "fine"})
    finally:
        logging.getLogger().handlers.clear()
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    told = [line.get("trace_id") for line in lines if "POST /predict" in line["message"]]
    assert TRACE in told and None in told


def telling(monkeypatch: pytest.MonkeyPatch) -> tuple[Running, FakeSpans]:
    """A gateway that makes spans."""
    made = FakeSpans()
    monkeypatch.setattr("velox.gateway.app.spans.connect", lambda _settings, _kind: made)
    return Running(), made


def test_with_a_collector_a_record_continues_the_span_of_its_publishing(monkeypatch: pytest.MonkeyPatch) -> None:
    running, spans = telling(monkeypatch)
    body = {"model": "sentiment", "text": "fine", "webhook_url": "https://hooks.example.com/"}
    running.post("/v1/requests", json=body, headers={"traceparent": PARENT, "tracestate": "shop=1"})
    (http,), (publish,) = spans.named("POST /v1/requests"), spans.named("publish")
    ((topic, *_, headers),) = running.asker.asked
    assert (http.kind, http.parent, http.error) == ("server", PARENT.encode(), None)
    assert http.attributes["http.response.status_code"] == 202
    assert (publish.kind, publish.parent) == ("producer", http.traceparent)
    assert publish.attributes["messaging.destination.name"] == topic
    assert (headers["traceparent"], headers["tracestate"]) == (publish.traceparent, b"shop=1")
    assert [new.trace for new in running.store.entered] == [http.traceparent.decode()]


def test_with_a_collector_what_fails_is_told_as_an_error_and_probes_are_not_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    running, spans = telling(monkeypatch)
    running.asker.failure = BrokerUnavailableError("no broker")
    assert running.post("/predict", json={"text": "fine"}).status_code == 503
    (http,), (publish,) = spans.named("POST /predict"), spans.named("publish")
    assert (http.parent, http.error, publish.error) == (b"", "answered 503", "BrokerUnavailableError")
    for path in ("/metrics", "/livez", "/readyz", "/health"):
        running.get(path)
    assert len(spans.told) == 2


def test_a_request_without_a_webhook_or_whose_spans_nobody_wants_leaves_no_trace_in_the_store(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    running, _ = telling(monkeypatch)
    hooked = {"model": "sentiment", "text": "fine", "webhook_url": "https://hooks.example.com/"}
    running.post("/v1/requests", json={"model": "sentiment", "text": "fine"}, headers={"traceparent": PARENT})
    running.post("/v1/requests", json=hooked, headers={"traceparent": PARENT.removesuffix("01") + "00"})
    assert [new.trace for new in running.store.entered] == ["", ""]


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        (PARENT.encode(), True),
        (PARENT.removesuffix("01").encode() + b"00", False),
        (PARENT.removesuffix("01").encode() + b"03", True),
        (b"nonsense", False),
        (None, False),
    ],
)
def test_only_a_sampled_trace_is_told_of(header: bytes | None, wanted: bool) -> None:
    assert sampled([("x", b"y"), ("traceparent", header)]) == (header if wanted else b"")
