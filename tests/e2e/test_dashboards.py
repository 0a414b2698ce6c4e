"""Every panel of the consumers' dashboards shows data, asked of a real Prometheus that scraped a real run."""

import json
import math
import re
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from confluent_kafka import Producer

from tests.e2e.conftest import PipelineFactory
from tests.e2e.pipeline import REPOSITORY, ConsumerProgram, Pipeline, wait_until
from tests.servers.mongo import MongoServer
from tests.servers.prometheus import PrometheusServer
from tests.servers.proxy import TcpProxy

DASHBOARDS = [
    path
    for path in sorted((REPOSITORY / "deploy/grafana/dashboards").glob("*.json"))
    if path.stem not in {"gateway", "cameras"}
]
"""Those of consumers; those of gateways and of cameras have tests of their own."""
RULES = REPOSITORY / "deploy/prometheus/rules.yml"
PARTITIONS = 6
RATE_INTERVAL = "10s"
"""Grafana's is at least four times the scrape interval, which is 1 s here."""

pytestmark = pytest.mark.timeout(300)  # the first run fetches Prometheus


@dataclass(frozen=True, slots=True)
class Query:
    """One query of one panel, as Grafana would send it."""

    panel: str
    expression: str
    legend: str


def choices(dashboard: Path, prometheus: PrometheusServer) -> list[str]:
    """What Grafana can put in the place of `$instance`: for all consumers, then for each by name."""
    (instance,) = json.loads(dashboard.read_text())["templating"]["list"]
    asked = re.fullmatch(r"label_values\((\w+), (\w+)\)", instance["query"]["query"])
    assert asked
    names = prometheus.label_values(asked[1], asked[2])
    return [instance["allValue"], *(re.escape(name).replace("\\", "\\\\") for name in names)]


def queries(dashboard: Path, instances: str) -> list[Query]:
    found = []
    for panel in json.loads(dashboard.read_text())["panels"]:
        for target in panel["targets"]:
            expression = target["expr"].replace("$__rate_interval", RATE_INTERVAL).replace("$instance", instances)
            assert "$" not in expression, expression
            found.append(Query(f"{dashboard.stem}: {panel['title']}", expression, target["legendFormat"]))
    return found


def series_with_data(prometheus: PrometheusServer, query: Query) -> int:
    """Series whose value is a number; a division by nothing is none."""
    return sum(math.isfinite(float(series["value"][1])) for series in prometheus.query(query.expression))


def make_sinks_retry(one: Pipeline, consumers: Sequence[ConsumerProgram], proxy: TcpProxy) -> None:
    """One write of each consumer fails."""

    def all_retry() -> bool:
        one.publish(b"while the sink is down")
        return all(consumer.metric("velox_sink_retries_total", sink="mongo") for consumer in consumers)

    proxy.block()
    wait_until(all_retry, what="a retry of each consumer")
    proxy.unblock()


def publish_to_every_partition(one: Pipeline, count: int) -> None:
    producer = Producer({"bootstrap.servers": one.bootstrap})
    for number in range(PARTITIONS):
        for _ in range(count):
            producer.produce(one.topic, b"good", partition=number)
    assert producer.flush(30) == 0


def report(prometheus: PrometheusServer, asked: list[Query]) -> None:
    """Print what each query answers; pytest shows it when the test fails, and with `-rP` always."""
    for query in asked:
        count = series_with_data(prometheus, query)
        print(f"{query.panel:45} {count:3} series  {query.expression}")  # noqa: T201 - what a reader wants to see


def values(prometheus: PrometheusServer, query: Query, at: float) -> dict[frozenset[tuple[str, str]], float]:
    """The answer at one moment: each series by its labels."""
    answer = prometheus.query(query.expression, at=at)
    return {frozenset(series["metric"].items()): float(series["value"][1]) for series in answer}


def is_a_sum(query: Query) -> bool:
    """A mean, a quantile or a ratio over all consumers is none over each."""
    return query.expression.startswith("sum") and " / " not in query.expression


def assert_consumers_add_up(prometheus: PrometheusServer, dashboard: Path) -> None:
    """All consumers together show what each by itself shows: nothing is left out, nothing counted twice."""
    at = time.time()
    whole, *parts = ([*queries(dashboard, choice)] for choice in choices(dashboard, prometheus))
    for everything, *each in zip(whole, *parts, strict=True):
        if not is_a_sum(everything) and "{{instance}}" not in everything.legend:
            continue
        total: Counter[frozenset[tuple[str, str]]] = Counter()
        for part in each:
            total.update(values(prometheus, part, at))
        assert values(prometheus, everything, at) == pytest.approx(dict(total), nan_ok=True), everything


def test_every_panel_shows_data_of_a_real_run(pipeline: PipelineFactory, mongo: MongoServer) -> None:
    with TcpProxy(mongo.port) as proxy:
        one = pipeline(MONGO_URI=f"mongodb://127.0.0.1:{proxy.port}/", SINK_TIMEOUT_S=2, TARGET_LABELS="*")
        consumers = [one.consume(), one.consume()]
        for consumer in consumers:
            consumer.wait_until_ready()
        with PrometheusServer(scrapes=[consumer.port for consumer in consumers], rules=RULES) as prometheus:
            wait_until(lambda: len(prometheus.query("velox_assigned_partitions == 3")) == 2, what="a scrape of each")
            make_sinks_retry(one, consumers, proxy)
            chosen = [(dashboard, choice) for dashboard in DASHBOARDS for choice in choices(dashboard, prometheus)]
            assert len(chosen) == len(DASHBOARDS) * 3, "for both consumers, and for each"
            asked = [query for dashboard, choice in chosen for query in queries(dashboard, choice)]

            def without_data() -> list[Query]:
                for _ in range(3):  # each goes to another partition
                    one.publish(*[b"good"] * 20, b"bad", b"slow")
                return [query for query in asked if not series_with_data(prometheus, query)]

            try:
                wait_until(lambda: not without_data(), what="data in every panel", timeout_s=40)
            finally:
                report(prometheus, asked)
            for dashboard in DASHBOARDS:
                assert_consumers_add_up(prometheus, dashboard)
        assert [consumer.stop() for consumer in consumers] == [0, 0]


def test_what_waits_is_counted_once_while_partitions_change_hands(
    pipeline: PipelineFactory, mongo: MongoServer
) -> None:
    (overview,) = (dashboard for dashboard in DASHBOARDS if dashboard.stem == "overview")
    with TcpProxy(mongo.port) as proxy:
        one = pipeline(MONGO_URI=f"mongodb://127.0.0.1:{proxy.port}/", SINK_TIMEOUT_S=2, DRAIN_S=1, QUEUE_SIZE=16)
        first = one.consume()
        first.wait_until_ready()
        publish_to_every_partition(one, 1)
        wait_until(lambda: one.uncommitted() == 0, what="a committed offset in every partition")
        proxy.block()
        second = one.consume()
        second.wait_until_it_says("Metrics and health on port")
        with PrometheusServer(scrapes=[first.port, second.port], rules=RULES) as prometheus:
            everyone = choices(overview, prometheus)[0]
            (lag,) = (query for query in queries(overview, everyone) if query.panel.endswith("waiting in Kafka"))

            def waiting() -> int:
                parts = (lag.expression, "sum(velox_in_flight_records)")
                return int(sum(float(series["value"][1]) for part in parts for series in prometheus.query(part)))

            def is_shared_by(*partitions: int) -> bool:
                shares = prometheus.query("velox_assigned_partitions > 0")
                return sorted(int(series["value"][1]) for series in shares) == sorted(partitions)

            wait_until(lambda: is_shared_by(3, 3), what="two consumers with three partitions each")
            publish_to_every_partition(one, 50)
            wait_until(lambda: waiting() == one.uncommitted() == 300, what="300 records that wait, each counted once")
            port = second.port
            second.process.kill()
            wait_until(lambda: is_shared_by(6), what="one consumer with all partitions")
            wait_until(lambda: waiting() == 300, what="300 records that wait, each counted once")
            one.consume(METRICS_PORT=port)
            wait_until(lambda: is_shared_by(3, 3), what="two consumers again")
            owned = "count by (instance) (velox_consumer_lag_records)"
            wait_until(
                lambda: [series["value"][1] for series in prometheus.query(owned)] == ["3", "3"],
                what="each consumer reports its own partitions and no others",
            )
