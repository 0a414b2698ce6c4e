"""deploy/kubernetes/ is what the chart makes, under the names that its users know."""

import pytest
import yaml

from tests.deploy import plain

pytestmark = pytest.mark.timeout(900)  # the first test compiles Helm, where it was never compiled


def test_the_files_are_what_the_chart_renders() -> None:
    there = {path.name: path.read_text() for path in plain.FOLDER.iterdir()}
    assert there == plain.files(), "make manifests writes them"


def test_applied_in_the_order_that_is_known_nothing_waits_for_a_later_file() -> None:
    known = ["namespace.yaml", "kafka.yaml", "kafka-init-job.yaml", "gateway.yaml", "ml-worker.yaml"]
    assert list(plain.FILES) == [*known, "prometheus.yaml", "grafana.yaml"]
    made = [
        (each["kind"], each["metadata"]["name"])
        for name in plain.FILES
        for each in yaml.safe_load_all((plain.FOLDER / name).read_text())
        if each
    ]
    assert made[0] == ("Namespace", "ml-pipeline")
    first = made.index(("StatefulSet", "kafka"))
    assert {kind for kind, _ in made[:first]} >= {"ConfigMap", "Secret", "NetworkPolicy"}
    assert {("Job", "kafka-init-topics"), ("Deployment", "ml-worker"), ("Service", "gateway")} <= set(made)


def test_ports_on_nodes_are_those_of_the_second_system() -> None:
    ports = {
        each["metadata"]["name"]: each["spec"]["ports"][0].get("nodePort")
        for name in plain.FILES
        for each in yaml.safe_load_all((plain.FOLDER / name).read_text())
        if each and each["kind"] == "Service"
    }
    assert (ports["gateway"], ports["prometheus"], ports["grafana"]) == (30080, 30090, 30030)
