"""Alerts that fire in a real Prometheus and arrive in a real Alertmanager when something is really down.

Hours and minutes of the rules are cut to seconds here; `deploy/prometheus/rules_test.yml` tests them as they are.
"""

import re
from pathlib import Path

import pytest

from tests.e2e.conftest import PipelineFactory
from tests.e2e.pipeline import REPOSITORY, wait_until
from tests.servers.alertmanager import AlertmanagerServer
from tests.servers.mongo import MongoServer
from tests.servers.prometheus import PrometheusServer
from tests.servers.proxy import TcpProxy

RULES = REPOSITORY / "deploy/prometheus/rules.yml"

pytestmark = pytest.mark.timeout(300)  # the first run fetches the servers


def impatient(rules: str) -> str:
    """The same rules with every `for` 1 s and every range 5 s."""
    quick = re.sub(r"^( +for:) \w+$", r"\1 1s", rules, flags=re.MULTILINE)
    return re.sub(r"\[\d+[mh]\]", "[5s]", quick)


def test_a_sink_and_a_consumer_that_stop_are_alerts_in_alertmanager(
    pipeline: PipelineFactory, mongo: MongoServer, tmp_path: Path
) -> None:
    rules = tmp_path / "rules.yml"
    rules.write_text(impatient(RULES.read_text()))
    with TcpProxy(mongo.port) as proxy, AlertmanagerServer() as alertmanager:
        one = pipeline(MONGO_URI=f"mongodb://127.0.0.1:{proxy.port}/", SINK_TIMEOUT_S=2, DRAIN_S=1)
        consumer = one.consume()
        consumer.wait_until_ready()
        with PrometheusServer(scrapes=[consumer.port], rules=rules, alertmanager_port=alertmanager.port) as prometheus:
            one.publish(b"before")
            one.wait_for_documents(1)
            wait_until(lambda: {rule["health"] for rule in prometheus.rules()} == {"ok"}, what="every rule evaluated")
            assert not alertmanager.alerts().keys() & {"VeloxSinkDown", "VeloxConsumerDown"}

            proxy.block()
            one.publish(b"during")
            wait_until(lambda: "VeloxSinkDown" in alertmanager.alerts(), what="the alert of the sink")
            down = alertmanager.alerts()["VeloxSinkDown"]
            assert down["labels"]["sink"] == "mongo"
            assert down["labels"]["severity"] == "critical"
            assert down["annotations"]["summary"] == "Writes to mongo fail (consumers: 1)"
            assert down["annotations"]["runbook_url"] == "docs/operations.md#veloxsinkdown"
            assert "VeloxConsumerDown" not in alertmanager.alerts()

            consumer.process.terminate()
            wait_until(lambda: "VeloxConsumerDown" in alertmanager.alerts(), what="the alert of the consumer")
            gone = alertmanager.alerts()["VeloxConsumerDown"]
            assert gone["labels"]["severity"] == "critical"
            assert gone["annotations"]["summary"] == "No consumer answers"
