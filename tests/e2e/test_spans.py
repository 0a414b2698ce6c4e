"""One request is told of from its HTTP call to its webhook, in one trace, by three processes."""

import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.gateway import GatewayProgram
from tests.e2e.pipeline import REPOSITORY, CommandProgram, environment, wait_until
from tests.servers.collector import Collector, Told
from tests.servers.kafka import KafkaServer
from tests.servers.receiver import Receiver

CALLER = "b7ad6b7169203331"
SERVER, CLIENT, PRODUCER, CONSUMER = 2, 3, 4, 5


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as made:
        yield made


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as made:
        yield made


@pytest.fixture
def gateway(tmp_path: Path, kafka: KafkaServer, collector: Collector) -> Iterator[GatewayProgram]:
    """A gateway, with a worker for texts and a webhook worker, all of which make spans."""
    shared: dict[str, Any] = {
        "KAFKA_BOOTSTRAP_SERVER": kafka.bootstrap,
        "REQUESTS_URL": f"sqlite:///{tmp_path}/requests.db",
        "WEBHOOK_ALLOW": "127.0.0.0/8",
        "METRICS_PORT": 0,
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_BSP_SCHEDULE_DELAY": 200,
    }
    own = {
        "VELOX_ENV_FILE": REPOSITORY / "pipelines/api-sentiment.env",
        "KAFKA_CONSUMER_GROUP": f"group-{uuid.uuid4().hex[:8]}",
    }
    with ExitStack() as stack:
        made = GatewayProgram(tmp_path, kafka.bootstrap, **shared)
        stack.callback(made.end)
        for name, more in (("consume", own), ("webhooks", {})):
            other = CommandProgram(name, folder=tmp_path, env=environment(**shared, **more))
            stack.callback(other.end)
            other.wait_until_ready()
        made.wait_until_ready()
        yield made


def only(collector: Collector, name: str, trace: str) -> Told:
    wait_until(lambda: collector.named(name, trace=trace), what=lambda: f"{name} among {collector.spans}")
    (found,) = collector.named(name, trace=trace)
    return found


def test_a_request_is_one_trace_from_its_call_to_its_webhook(
    gateway: GatewayProgram, collector: Collector, receiver: Receiver
) -> None:
    trace = uuid.uuid4().hex
    body = {"model": "sentiment", "text": "I love it!", "webhook_url": receiver.url("/hook")}
    asked = gateway.http.post("/v1/requests", json=body, headers={"traceparent": f"00-{trace}-{CALLER}-01"})
    assert asked.status_code == 202
    http = only(collector, "POST /v1/requests", trace)
    publish, queue, inference, write, webhook = (
        only(collector, name, trace) for name in ("publish", "queue", "inference", "write", "webhook")
    )
    assert (http.service, http.kind, http.parent) == ("velox-gateway", SERVER, CALLER)
    assert (http.attributes["http.route"], http.attributes["http.response.status_code"]) == ("/v1/requests", 202)
    assert (publish.service, publish.kind, publish.parent) == ("velox-gateway", PRODUCER, http.id)
    assert {each.parent for each in (queue, inference, write)} == {publish.id}
    assert {each.service for each in (queue, inference, write)} == {"velox-consumer"}
    assert (webhook.service, webhook.kind, webhook.parent) == ("velox-webhooks", CLIENT, http.id)
    assert webhook.attributes["http.response.status_code"] == 204
    assert queue.ended_s <= inference.began_s + 0.001
    assert inference.began_s <= inference.ended_s <= write.began_s + 0.001
    assert all(each.error is None for each in (http, publish, queue, inference, write, webhook))
    ((batch_trace, batch_id),) = inference.links
    batch = only(collector, "batch", batch_trace)
    assert (batch.id, batch.kind, batch.parent) == (batch_id, CONSUMER, "")
    assert (trace, publish.id) in batch.links


def test_without_a_callers_trace_a_request_begins_one_and_unsampled_ones_are_not_told(
    gateway: GatewayProgram, collector: Collector
) -> None:
    trace = uuid.uuid4().hex
    silent = {"traceparent": f"00-{trace}-{CALLER}-00"}
    for text, headers in (("Not told.", silent), ("Told.", {})):
        asked = gateway.http.post("/v1/requests", json={"model": "sentiment", "text": text}, headers=headers)
        assert gateway.http.get(f"/v1/requests/{asked.json()['id']}?wait=20s").json()["state"] == "completed"
    wait_until(lambda: collector.named("POST /v1/requests"), what="the call")
    (http,) = collector.named("POST /v1/requests")
    assert (http.parent, http.trace != trace) == ("", True)
    only(collector, "publish", http.trace)
    only(collector, "write", http.trace)
    assert not [each for each in collector.spans if each.trace == trace]
