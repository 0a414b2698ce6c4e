"""Every panel of the provisioned dashboards shows data, asked of a real Prometheus that scraped a real run."""

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.conftest import PipelineFactory
from tests.e2e.pipeline import REPOSITORY, ConsumerProgram, Pipeline, wait_until
from tests.servers.mongo import MongoServer
from tests.servers.prometheus import PrometheusServer
from tests.servers.proxy import TcpProxy

DASHBOARDS = sorted((REPOSITORY / "deploy/grafana/dashboards").glob("*.json"))
RULES = REPOSITORY / "deploy/prometheus/rules.yml"
RATE_INTERVAL = "10s"
"""Grafana's is at least four times the scrape interval, which is 1 s here."""

pytestmark = pytest.mark.timeout(300)  # the first run fetches Prometheus


@dataclass(frozen=True, slots=True)
class Query:
    """One query of one panel, as Grafana would send it."""

    panel: str
    expression: str


def variable(dashboard: Path, prometheus: PrometheusServer) -> str:
    """What Grafana puts in the place of `$instance` when consumers are chosen by name."""
    (instance,) = json.loads(dashboard.read_text())["templating"]["list"]
    asked = re.fullmatch(r"label_values\((\w+), (\w+)\)", instance["query"]["query"])
    assert asked
    values = prometheus.label_values(asked[1], asked[2])
    assert values, "no consumer to choose"
    return "|".join(re.escape(value).replace("\\", "\\\\") for value in values)


def queries(dashboard: Path, prometheus: PrometheusServer) -> list[Query]:
    instances = variable(dashboard, prometheus)
    found = []
    for panel in json.loads(dashboard.read_text())["panels"]:
        for target in panel["targets"]:
            expression = target["expr"].replace("$__rate_interval", RATE_INTERVAL).replace("$instance", instances)
            assert "$" not in expression, expression
            found.append(Query(f"{dashboard.stem}: {panel['title']}", expression))
    return found


def series_with_data(prometheus: PrometheusServer, query: Query) -> int:
    """Series whose value is a number; a division by nothing is none."""
    return sum(math.isfinite(float(series["value"][1])) for series in prometheus.query(query.expression))


def make_a_sink_retry(one: Pipeline, consumer: ConsumerProgram, proxy: TcpProxy) -> None:
    proxy.block()
    one.publish(b"while the sink is down")
    wait_until(lambda: consumer.metric("velox_sink_retries_total", sink="mongo") > 0, what="a retry")
    proxy.unblock()


def report(prometheus: PrometheusServer, asked: list[Query]) -> None:
    """Print what each query answers; pytest shows it when the test fails, and with `-rP` always."""
    for query in asked:
        count = series_with_data(prometheus, query)
        print(f"{query.panel:45} {count:3} series  {query.expression}")  # noqa: T201 - what a reader wants to see


def test_every_panel_shows_data_of_a_real_run(pipeline: PipelineFactory, mongo: MongoServer) -> None:
    with TcpProxy(mongo.port) as proxy:
        one = pipeline(MONGO_URI=f"mongodb://127.0.0.1:{proxy.port}/", SINK_TIMEOUT_S=2, TARGET_LABELS="*")
        consumer = one.consume()
        consumer.wait_until_ready()
        with PrometheusServer(scrapes=[consumer.port], rules=RULES) as prometheus:
            wait_until(lambda: prometheus.query("velox_ready == 1"), what="a scrape")
            make_a_sink_retry(one, consumer, proxy)
            asked = [query for dashboard in DASHBOARDS for query in queries(dashboard, prometheus)]

            def without_data() -> list[Query]:
                one.publish(*[b"good"] * 20, b"bad", b"slow")
                return [query for query in asked if not series_with_data(prometheus, query)]

            try:
                wait_until(lambda: not without_data(), what="data in every panel", timeout_s=40)
            finally:
                report(prometheus, asked)
        assert consumer.stop() == 0
