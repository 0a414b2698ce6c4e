"""Dashboards, rules and scrape configuration name only metrics that Velox exports."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from velox.metrics.consumer import ConsumerMetrics

CATALOGUE = ConsumerMetrics.catalogue()

ROOT = Path(__file__).parents[2]
DASHBOARDS = sorted((ROOT / "deploy/grafana/dashboards").glob("*.json"))
RECORDED = {"target_shapes_found"}
PER_SERIES = {
    "VeloxNotReady",
    "VeloxCircuitOpen",
    "VeloxRecordsLost",
    "VeloxInferenceRestarts",
    "VeloxSinkErrors",
    "VeloxDamagedBatch",
}


def exported() -> set[str]:
    suffixes = {"histogram": ("_bucket", "_sum", "_count")}
    return {spec.name + suffix for spec in CATALOGUE for suffix in suffixes.get(spec.kind, ("",))}


def metrics_in(text: str) -> set[str]:
    return set(re.findall(r"\b(?:velox|target|batch)_\w+", text))


def panels(dashboard: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(dashboard.read_text())["panels"]
    return found


def queries(dashboard: Path) -> list[str]:
    return [target["expr"] for panel in panels(dashboard) for target in panel["targets"]]


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda path: path.stem)
def test_every_panel_asks_for_metrics_that_exist(dashboard: Path) -> None:
    asked = {query: metrics_in(query) for query in queries(dashboard)}
    assert all(asked.values())
    assert set().union(*asked.values()) <= exported() | RECORDED


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda path: path.stem)
def test_every_panel_has_a_description_and_the_provisioned_data_source(dashboard: Path) -> None:
    provisioned = yaml.safe_load((ROOT / "deploy/grafana/provisioning/datasources/prometheus.yml").read_text())
    known = {source["uid"] for source in provisioned["datasources"]}
    for panel in panels(dashboard):
        assert panel["description"], panel["title"]
        assert panel["datasource"]["uid"] in known, panel["title"]


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda path: path.stem)
def test_every_query_follows_the_choice_of_consumers(dashboard: Path) -> None:
    (variable,) = json.loads(dashboard.read_text())["templating"]["list"]
    assert variable["name"] == "instance"
    for query in queries(dashboard):
        assert len(metrics_in(query)) <= query.count('{instance=~"$instance"'), query


def test_links_between_dashboards_lead_to_one_that_exists() -> None:
    texts = [dashboard.read_text() for dashboard in DASHBOARDS]
    links = {link for text in texts for link in re.findall(r'"url": "/d/([\w-]+)', text)}
    assert links == {json.loads(text)["uid"] for text in texts}


def test_grafana_opens_with_a_dashboard_that_exists() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    home = compose["services"]["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert Path(home).name in {dashboard.name for dashboard in DASHBOARDS}


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


def test_the_dashboards_show_every_metric_but_the_build() -> None:
    shown = {name for dashboard in DASHBOARDS for query in queries(dashboard) for name in metrics_in(query)}
    hidden = {spec.name for spec in CATALOGUE if not any(name.startswith(spec.name) for name in shown)}
    # The first system's name for it is shown instead of target_shapes_found_total.
    assert hidden == {"velox_build_info", "target_shapes_found_total"}


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((ROOT / "deploy/prometheus/rules.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def test_the_rules_read_metrics_that_exist_and_record_the_name_of_the_first_system() -> None:
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    assert recorded >= RECORDED
    expressions = " ".join(rule["expr"] for rule in rules())
    assert metrics_in(expressions) <= exported()
    assert set(re.findall(r"\bvelox:[\w:]+", expressions)) == recorded - RECORDED, "what is recorded is used"


def test_every_alert_says_what_is_wrong_and_why_and_where_the_remedy_is() -> None:
    for alert in (rule for rule in rules() if "alert" in rule):
        assert set(alert["annotations"]) == {"summary", "description", "runbook_url"}, alert["alert"]
        # Its heading is checked by test_docs.py; there is no public address to put before it yet.
        assert alert["annotations"]["runbook_url"] == f"docs/operations.md#{alert['alert'].lower()}"
        assert alert["labels"]["severity"] in {"critical", "warning"}


def test_every_alert_is_tested_firing_and_silent() -> None:
    tests = yaml.safe_load((ROOT / "deploy/prometheus/rules_test.yml").read_text())["tests"]
    checks = [check for test in tests for check in test.get("alert_rule_test", [])]
    alerts = {rule["alert"] for rule in rules() if "alert" in rule}
    assert {check["alertname"] for check in checks if check.get("exp_alerts")} == alerts
    # An alert about one of several series is silent for the others where it fires.
    assert {check["alertname"] for check in checks if not check.get("exp_alerts")} >= alerts - PER_SERIES
