"""W3C Trace Context: from an HTTP request to its record, and to what is logged of it."""

import json
import logging

import pytest

from tests.gateways import Running
from velox import logs
from velox.core.tracing import trace_id, traces

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
