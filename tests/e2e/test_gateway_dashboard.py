"""The gateway's dashboard and recording rules, asked of a real Prometheus that scraped gateway, worker and webhooks."""

import uuid
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
import yaml
from confluent_kafka import Producer

from tests.e2e.gateway import GatewayProgram
from tests.e2e.pipeline import REPOSITORY, CommandProgram, environment, wait_until
from tests.e2e.test_dashboards import choices, queries, report, series_with_data
from tests.servers.kafka import KafkaServer
from tests.servers.prometheus import PrometheusServer
from tests.servers.receiver import Receiver, Reply

DASHBOARD = REPOSITORY / "deploy/grafana/dashboards/gateway.json"
RULES = REPOSITORY / "deploy/prometheus/gateway_rules.yml"
TOPIC = "ml.prediction.requests"

pytestmark = pytest.mark.timeout(300)  # the first run fetches Prometheus


class Site:
    """A gateway, a worker for texts, a webhook worker, and a receiver, around one store."""

    def __init__(self, folder: Path, kafka: KafkaServer, receiver: Receiver) -> None:
        self._kafka = kafka
        self._receiver = receiver
        shared = {
            "KAFKA_BOOTSTRAP_SERVER": kafka.bootstrap,
            "REQUESTS_URL": f"sqlite:///{folder}/requests.db",
            "WEBHOOK_ALLOW": "127.0.0.0/8",
            "WEBHOOK_LADDER_S": "0,0.5",
            "METRICS_PORT": 0,
        }
        own = {
            "VELOX_ENV_FILE": REPOSITORY / "pipelines/api-sentiment.env",
            "KAFKA_CONSUMER_GROUP": f"group-{uuid.uuid4().hex[:8]}",
        }
        self.gateway = GatewayProgram(folder, kafka.bootstrap, **shared)
        self.worker = CommandProgram("consume", folder=folder, env=environment(**shared, **own))
        self.webhooks = CommandProgram("webhooks", folder=folder, env=environment(**shared))

    def wait_until_ready(self) -> None:
        for each in (self.gateway, self.worker, self.webhooks):
            each.wait_until_ready()

    @property
    def scrapes(self) -> dict[str, list[int]]:
        gateway = int(self.gateway.url.rpartition(":")[2])
        return {"gateway": [gateway], "consumer": [self.worker.port], "webhooks": [self.webhooks.port]}

    def ask(self) -> None:
        """Ask for something on each API, wait for one answer, and send the worker a record that is none."""
        http = self.gateway.http
        assert self.gateway.predict("I love it!").status_code == 202
        for path in ("/good", "/bad"):
            body = {"model_name": "text_processing", "data": "Fine!", "webhook_url": self._receiver.url(path)}
            assert http.post("/inference", json=body).status_code == 200
        asked = http.post("/v1/requests", json={"model": "sentiment", "text": "Awful."}).json()["id"]
        assert http.get(f"/v1/requests/{asked}?wait=20s").json()["state"] == "completed"
        producer = Producer({"bootstrap.servers": self._kafka.bootstrap})
        producer.produce(TOPIC, b"no JSON")
        assert producer.flush(30) == 0

    def close(self) -> None:
        for each in (self.gateway, self.worker, self.webhooks):
            each.end()


@pytest.fixture
def site(tmp_path: Path, kafka: KafkaServer) -> Iterator[Site]:
    with ExitStack() as stack:
        receiver = stack.enter_context(Receiver())
        receiver.replies["/bad"] = [Reply(500)]
        made = stack.enter_context(closing(Site(tmp_path, kafka, receiver)))
        made.wait_until_ready()
        yield made


def test_every_panel_and_every_old_name_shows_data_of_a_real_run(site: Site) -> None:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    old_names = [rule["record"] for group in groups for rule in group["rules"] if "record" in rule]
    assert len(old_names) == 16
    with PrometheusServer(scrapes=site.scrapes, rules=RULES) as prometheus:
        wait_until(lambda: prometheus.query("velox_gateway_ready == 1"), what="a scrape of the gateway")
        wait_until(lambda: prometheus.query("velox_ready == 1"), what="a scrape of the worker")
        everyone, one = choices(DASHBOARD, prometheus)
        asked = [query for choice in (everyone, one) for query in queries(DASHBOARD, choice)]

        def without_data() -> list[str]:
            site.ask()
            lacking = [name for name in old_names if not prometheus.query(name)]
            return lacking + [query.expression for query in asked if not series_with_data(prometheus, query)]

        try:
            wait_until(lambda: not without_data(), what=lambda: f"data in every panel: {without_data()}")
        finally:
            report(prometheus, asked)
        # The worker gets what was accepted, and the records that are none.
        more = f'sum(worker_messages_consumed_total{{topic="{TOPIC}"}}) > sum(gateway_kafka_messages_produced_total)'
        wait_until(lambda: prometheus.query(more), what="more consumed than produced")
        assert {rule["health"] for rule in prometheus.rules()} == {"ok"}
