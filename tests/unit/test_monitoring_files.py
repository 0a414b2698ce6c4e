"""Dashboards, rules and scrape configuration name only metrics that Velox exports."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from velox.metrics.cameras import CameraMetrics
from velox.metrics.consumer import ConsumerMetrics
from velox.metrics.gateway import GatewayMetrics
from velox.metrics.metric import Metric
from velox.metrics.webhooks import WebhookMetrics

CATALOGUE = ConsumerMetrics.catalogue()
GATEWAY_CATALOGUE = (*GatewayMetrics.catalogue(), *WebhookMetrics.catalogue())
REQUESTS = tuple(metric for metric in CATALOGUE if metric.name == "velox_request_seconds")
"""What workers measure of the gateway's requests: shown with those."""

ROOT = Path(__file__).parents[2]
DASHBOARDS = sorted((ROOT / "deploy/grafana/dashboards").glob("*.json"))
(GATEWAY,) = (path for path in DASHBOARDS if path.stem == "gateway")
(CAMERAS,) = (path for path in DASHBOARDS if path.stem == "cameras")
CONSUMER = [path for path in DASHBOARDS if path not in {GATEWAY, CAMERAS}]
RULES, GATEWAY_RULES, CAMERAS_RULES = "rules", "gateway_rules", "cameras_rules"
STACKS = {
    "docker-compose.yml": "prometheus.yml",
    "docker-compose.api.yml": "prometheus.api.yml",
    "docker-compose.cameras.yml": "prometheus.cameras.yml",
}
RECORDED = {"target_shapes_found"}
OLD_NAMES = re.compile(r"(?:gateway|worker)_[a-z_]+")
"""What the recording rules of a gateway offer: the names that another system gave its metrics."""
PER_SERIES = {
    "VeloxNotReady",
    "VeloxCircuitOpen",
    "VeloxRecordsLost",
    "VeloxInferenceRestarts",
    "VeloxSinkErrors",
    "VeloxDamagedBatch",
    "VeloxGatewayNotReady",
    "VeloxDestinationsOpen",
}

each_dashboard = pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda path: path.stem)
each_rules = pytest.mark.parametrize("name", [RULES, GATEWAY_RULES, CAMERAS_RULES])


def exported(catalogue: tuple[Metric[Any], ...]) -> set[str]:
    suffixes = {"histogram": ("_bucket", "_sum", "_count")}
    return {spec.name + suffix for spec in catalogue for suffix in suffixes.get(spec.kind, ("",))}


def metrics_in(text: str) -> set[str]:
    return set(re.findall(r"\b(?:velox|target|batch)_\w+", text))


def panels(dashboard: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(dashboard.read_text())["panels"]
    return found


def queries(dashboard: Path) -> list[str]:
    return [target["expr"] for panel in panels(dashboard) for target in panel["targets"]]


@each_dashboard
def test_every_panel_asks_for_metrics_that_exist(dashboard: Path) -> None:
    asked = {query: metrics_in(query) for query in queries(dashboard)}
    assert all(asked.values())
    catalogue = (*GATEWAY_CATALOGUE, *REQUESTS) if dashboard == GATEWAY else CATALOGUE
    if dashboard == CAMERAS:
        catalogue = (*CATALOGUE, *CameraMetrics.catalogue())
    assert set().union(*asked.values()) <= exported(catalogue) | RECORDED


@each_dashboard
def test_every_panel_has_a_description_and_the_provisioned_data_source(dashboard: Path) -> None:
    provisioned = yaml.safe_load((ROOT / "deploy/grafana/provisioning/datasources/prometheus.yml").read_text())
    known = {source["uid"] for source in provisioned["datasources"]}
    for panel in panels(dashboard):
        assert panel["description"], panel["title"]
        assert panel["datasource"]["uid"] in known, panel["title"]


@each_dashboard
def test_every_query_follows_the_choice_of_consumers_or_of_gateways(dashboard: Path) -> None:
    (variable,) = json.loads(dashboard.read_text())["templating"]["list"]
    assert variable["name"] == "instance"
    # Webhook workers, and the workers that predict, are no gateways.
    others = exported(WebhookMetrics.catalogue()) | (exported(REQUESTS) if dashboard == GATEWAY else set())
    if dashboard == CAMERAS:  # consumers are no processes of cameras
        others |= exported(CATALOGUE)
    for query in queries(dashboard):
        assert len(metrics_in(query) - others) <= query.count('{instance=~"$instance"'), query


def test_links_between_dashboards_lead_to_one_that_exists() -> None:
    texts = [dashboard.read_text() for dashboard in DASHBOARDS]
    links = {link for text in texts for link in re.findall(r'"url": "/d/([\w-]+)', text)}
    # Where Grafana opens in stacks of their own: nothing else need lead there.
    homes = {json.loads(dashboard.read_text())["uid"] for dashboard in (GATEWAY, CAMERAS)}
    assert links | homes == {json.loads(text)["uid"] for text in texts}


@pytest.mark.parametrize(
    ("file", "dashboard"),
    [
        ("docker-compose.yml", "overview.json"),
        ("docker-compose.api.yml", "gateway.json"),
        ("docker-compose.cameras.yml", "cameras.json"),
    ],
)
def test_grafana_opens_with_a_dashboard_that_exists(file: str, dashboard: str) -> None:
    (home,) = re.findall(r"GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH: (\S+)", (ROOT / file).read_text())
    assert Path(home).name == dashboard
    assert dashboard in {path.name for path in DASHBOARDS}


def test_panels_have_ids_and_places_of_their_own() -> None:
    for dashboard in DASHBOARDS:
        cells = [
            (x, y)
            for place in (panel["gridPos"] for panel in panels(dashboard))
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        ]
        assert len(cells) == len(set(cells))
        assert max(x for x, _ in cells) < 24
        assert len({panel["id"] for panel in panels(dashboard)}) == len(panels(dashboard))


def hidden(dashboards: list[Path], catalogue: tuple[Metric[Any], ...]) -> set[str]:
    shown = {name for dashboard in dashboards for query in queries(dashboard) for name in metrics_in(query)}
    return {spec.name for spec in catalogue if not any(name.startswith(spec.name) for name in shown)}


def test_the_dashboards_show_every_metric_but_the_build() -> None:
    # The first system's name for it is shown instead of target_shapes_found_total.
    elsewhere = {metric.name for metric in REQUESTS}
    assert hidden(CONSUMER, CATALOGUE) == {"velox_build_info", "target_shapes_found_total"} | elsewhere
    assert hidden([GATEWAY], (*GATEWAY_CATALOGUE, *REQUESTS)) == set()
    assert hidden([CAMERAS], CameraMetrics.catalogue()) == set()


def rules(name: str) -> list[dict[str, Any]]:
    groups = yaml.safe_load((ROOT / f"deploy/prometheus/{name}.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def recorded_by(name: str) -> set[str]:
    return {rule["record"] for rule in rules(name) if "record" in rule}


def test_the_rules_read_metrics_that_exist_and_record_the_name_of_the_first_system() -> None:
    assert recorded_by(RULES) >= RECORDED
    expressions = " ".join(rule["expr"] for rule in rules(RULES))
    assert metrics_in(expressions) <= exported(CATALOGUE)
    assert set(re.findall(r"\bvelox:[\w:]+", expressions)) == recorded_by(RULES) - RECORDED, "what is recorded is used"


def test_the_rules_of_a_gateway_read_metrics_that_exist_and_record_the_names_of_another_system() -> None:
    expressions = " ".join(rule["expr"] for rule in rules(GATEWAY_RULES))
    assert metrics_in(expressions) <= exported(CATALOGUE) | exported(GATEWAY_CATALOGUE)
    recorded = recorded_by(GATEWAY_RULES)
    assert {name for name in recorded if not OLD_NAMES.fullmatch(name)} == set()
    tested = (ROOT / f"deploy/prometheus/{GATEWAY_RULES}_test.yml").read_text()
    assert {name for name in recorded if f"expr: {name}" not in tested and f"/ {name}" not in tested} == set()


def test_the_rules_of_cameras_read_metrics_that_exist() -> None:
    expressions = " ".join(rule["expr"] for rule in rules(CAMERAS_RULES))
    assert metrics_in(expressions) <= exported(CATALOGUE) | exported(CameraMetrics.catalogue())


@each_rules
def test_every_alert_says_what_is_wrong_and_why_and_where_the_remedy_is(name: str) -> None:
    for alert in (rule for rule in rules(name) if "alert" in rule):
        assert set(alert["annotations"]) == {"summary", "description", "runbook_url"}, alert["alert"]
        # Its heading is checked by test_docs.py; there is no public address to put before it yet.
        assert alert["annotations"]["runbook_url"] == f"docs/operations.md#{alert['alert'].lower()}"
        assert alert["labels"]["severity"] in {"critical", "warning"}


@each_rules
def test_every_alert_is_tested_firing_and_silent(name: str) -> None:
    tests = yaml.safe_load((ROOT / f"deploy/prometheus/{name}_test.yml").read_text())["tests"]
    checks = [check for test in tests for check in test.get("alert_rule_test", [])]
    alerts = {rule["alert"] for rule in rules(name) if "alert" in rule}
    assert {check["alertname"] for check in checks if check.get("exp_alerts")} == alerts
    # An alert about one of several series is silent for the others where it fires.
    assert {check["alertname"] for check in checks if not check.get("exp_alerts")} >= alerts - PER_SERIES


@pytest.mark.parametrize("file", STACKS)
def test_an_alert_about_what_is_gone_is_about_what_is_scraped(file: str) -> None:
    config = yaml.safe_load((ROOT / STACKS[file]).read_text())
    assert f"./{STACKS[file]}:/etc/prometheus/prometheus.yml" in (ROOT / file).read_text()
    jobs = {job["job_name"] for job in config["scrape_configs"]}
    expressions = " ".join(rule["expr"] for path in config["rule_files"] for rule in rules(Path(path).stem))
    assert set(re.findall(r'job="(\w+)"', expressions)) <= jobs
