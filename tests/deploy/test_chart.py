"""What the chart makes of its values: valid, safe, in agreement with Compose, and refused where it makes no sense."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.chart import (
    CHART,
    ROOT,
    Manifest,
    RefusedError,
    containers,
    kubeconform,
    manifests,
    pods,
    render,
    run_helm,
    values,
)
from tests.servers.kubernetes_schemas import conform
from tests.tools import promtool
from velox.core import scaling
from velox.metrics.consumer import ConsumerMetrics
from velox.settings import Settings
from velox.settings.models import read_models
from velox.settings.secrets import secret_fields

EVERYTHING = ["--values", str(Path(__file__).with_name("everything.yaml"))]
WAYS = {"default": [], "dev": values("dev"), "prod": values("prod"), "everything": EVERYTHING}
GROUPS = {
    "ml-worker": ("api-sentiment", "ml.prediction.requests"),
    "consumer-shapes": (Settings().kafka_consumer_group, "image_data"),
    "consumer-cameras": ("ray-group", None),
}
"""Consumer group and topic of each that is scaled; None = all of the group's topics."""

pytestmark = pytest.mark.timeout(900)  # the first test compiles Helm, where it was never compiled
each_way = pytest.mark.parametrize("way", WAYS)


def objects(kind: str, *arguments: str) -> dict[str, Manifest]:
    return {each["metadata"]["name"]: each for each in manifests(render(*arguments)) if each["kind"] == kind}


@each_way
def test_what_is_rendered_conforms_to_kubernetes_and_to_the_true_definitions(way: str, tmp_path: Path) -> None:
    run_helm("lint", "--strict", str(CHART), "--kube-version", "1.37.2", *WAYS[way])
    rendered = tmp_path / "all.yaml"
    rendered.write_text(render(*WAYS[way]))
    assert conform(kubeconform(), rendered) == ""


@pytest.mark.parametrize(
    ("right", "wrong"), [("revisionHistoryLimit:", "revisionsKept:"), ("minReplicaCount:", "minReplicasCount:")]
)
def test_a_misspelt_field_is_found(right: str, wrong: str, tmp_path: Path) -> None:
    rendered = tmp_path / "all.yaml"
    rendered.write_text(render(*EVERYTHING).replace(right, wrong, 1))
    assert wrong.removesuffix(":") in conform(kubeconform(), rendered)


@each_way
def test_every_pod_obeys_the_restricted_pod_security_standard(way: str) -> None:
    rendered = render(*WAYS[way])
    for name, pod in pods(rendered):
        spec = pod["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True, name
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert spec["automountServiceAccountToken"] is False, name
        assert spec["enableServiceLinks"] is False, name
        assert not any(key in spec for key in ("hostNetwork", "hostPID", "hostIPC")), name
        assert not any("hostPath" in volume for volume in spec["volumes"] or []) if "volumes" in spec else True, name
    for name, container in containers(rendered):
        security = container["securityContext"]
        assert security["allowPrivilegeEscalation"] is False, name
        assert security["capabilities"] == {"drop": ["ALL"]}, name
        # The broker's image writes its configuration where it is installed.
        assert security["readOnlyRootFilesystem"] is not name.startswith("StatefulSet/kafka/"), name
        assert set(container["resources"]["requests"]) == {"cpu", "memory"}, name
        assert "memory" in container["resources"]["limits"], name


@each_way
def test_starting_being_ready_and_being_alive_are_three_questions(way: str) -> None:
    asked = {
        name: {probe: container[f"{probe}Probe"]["httpGet"]["path"] for probe in ("startup", "readiness", "liveness")}
        for name, container in containers(render(*WAYS[way]))
        if name.partition("/")[0] == "Deployment" and name.split("/")[2] in {"gateway", "webhooks", "consumer"}
    }
    assert len(asked) >= 3
    assert all(paths == {"startup": "/livez", "readiness": "/readyz", "liveness": "/livez"} for paths in asked.values())


@pytest.mark.parametrize("drain_s", [20, 120])
def test_a_pod_has_longer_to_end_than_its_process_has_to_drain(drain_s: int) -> None:
    arguments = (*EVERYTHING, "--set", f"settings.DRAIN_S={drain_s}")
    ours = {
        name: pod["spec"]["terminationGracePeriodSeconds"]
        for name, pod in pods(render(*arguments))
        if name.startswith("Deployment/") and name != "Deployment/grafana"
    }
    assert set(ours) >= {f"Deployment/{each}" for each in ("gateway", "webhooks", "ml-worker", "producer-shapes")}
    assert all(grace_s >= drain_s + 10 for grace_s in ours.values())
    assert ours["Deployment/gateway"] >= drain_s + 10 + 5


def test_the_stores_are_those_of_compose() -> None:
    stack = "".join((ROOT / file).read_text() for file in ("docker-compose.yml", "docker-compose.api.yml"))
    images = set(re.findall(r"^ *image: (\S+)$", stack, re.MULTILINE))
    ours = {name.split("/")[2]: container["image"] for name, container in containers(render())}
    assert {ours[name] for name in ("kafka", "postgres", "prometheus", "grafana")} <= images


@each_way
def test_every_pipeline_is_valid_and_the_gateway_finds_its_models(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = objects("ConfigMap", *WAYS[way])
    for name, value in config["velox-settings"]["data"].items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("KAFKA_SASL_PASSWORD", "x")
    files = config["velox-pipelines"]["data"]
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    entries = read_models(tmp_path / "models.toml")
    assert entries["text_processing"].same_as == "sentiment"
    assert entries["sentiment"].load().kafka_topic == "ml.prediction.requests"
    every = "".join(f'[{name[:-4]}]\nenv_file = "{name}"\n' for name in files if name.endswith(".env"))
    (tmp_path / "every.toml").write_text(every)
    loaded = {name: entry.load() for name, entry in read_models(tmp_path / "every.toml").items()}
    assert len(loaded) == len(files) - 1
    if way == "everything":
        assert loaded["shapes"].sinks == ("postgres",)
        assert loaded["cameras"].subscription.takes("camera_17")
        assert loaded["cameras"].kafka_partitions == 1


@each_way
def test_every_variable_is_a_setting_and_secrets_come_from_files(way: str) -> None:
    secret = {name.upper() for name in secret_fields(Settings)}
    known = {name.upper() for name in Settings.model_fields} | {f"{name}_FILE" for name in secret} | {"VELOX_ENV_FILE"}
    for name, container in containers(render(*WAYS[way])):
        if "ml-pipeline" in container["image"] and "smoke" not in name:
            given = {each["name"] for each in container["env"]}
            assert given <= known, name
            assert not given & secret, name


def test_each_process_gets_the_secrets_that_it_reads_and_no_others() -> None:
    given = {
        name.split("/")[2]: {each["name"] for each in container["env"] if each["name"].endswith("_FILE")}
        for name, container in containers(render(*EVERYTHING))
        if "env" in container
    }
    assert given["gateway"] == {"REQUESTS_URL_FILE", "KAFKA_SASL_PASSWORD_FILE"}
    assert given["webhooks"] == {"REQUESTS_URL_FILE", "WEBHOOK_SECRET_FILE"}
    assert "WEBHOOK_SECRET_FILE" not in given["consumer"]


def test_scaling_is_never_to_nothing_and_never_beyond_the_partitions() -> None:
    scaled = objects("ScaledObject", *EVERYTHING)
    assert set(scaled) == {"ml-worker", "consumer-shapes", "consumer-cameras"}
    for each in scaled.values():
        spec = each["spec"]
        assert spec["minReplicaCount"] >= 1
        assert spec["fallback"]["behavior"] == "currentReplicasIfHigher"
        assert "idleReplicaCount" not in spec
        by_type = {trigger["type"]: trigger["metadata"] for trigger in spec["triggers"]}
        assert by_type["prometheus"]["ignoreNullValues"] == "false"
        asked = by_type["kafka"]["consumerGroup"], by_type["kafka"].get("topic")
        assert asked == GROUPS[each["metadata"]["name"]]
        assert by_type["kafka"]["scaleToZeroOnInvalidOffset"] == "false"
        assert by_type["kafka"]["allowIdleConsumers"] == "false"
    deployments = objects("Deployment", *EVERYTHING)
    assert all("replicas" not in deployments[name]["spec"] for name in [*scaled, "gateway"])
    with pytest.raises(RefusedError, match="shapes: 7 replicas for 6 partitions"):
        render(*EVERYTHING, "--set", "pipelines[1].autoscaling.maxReplicas=7")
    with pytest.raises(RefusedError, match="minimum: got 0, want 1"):
        render(*EVERYTHING, "--set", "mlWorker.autoscaling.minReplicas=0")


def test_what_is_deployed_is_what_was_simulated() -> None:
    (spec,) = [each["spec"] for name, each in objects("ScaledObject", *EVERYTHING).items() if name == "ml-worker"]
    by_type = {trigger["type"]: trigger["metadata"] for trigger in spec["triggers"]}
    policy = scaling.shipped(100, least=1, most=3)
    assert float(by_type["prometheus"]["threshold"]) == scaling.USE * 100
    assert by_type["prometheus"]["query"].endswith(f" / {scaling.DRAIN_S}")
    assert float(by_type["kafka"]["lagThreshold"]) == scaling.USE * 100 * scaling.DRAIN_S
    assert spec["pollingInterval"] == scaling.SYNC_S
    assert spec["fallback"]["replicas"] == policy.fallback
    deployed = spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    for direction, behaviour in (("scaleUp", policy.up), ("scaleDown", policy.down)):
        assert deployed[direction]["stabilizationWindowSeconds"] == behaviour.window_s
        limits = {
            scaling.Limit(each["periodSeconds"], share=each["value"] / 100)
            if each["type"] == "Percent"
            else scaling.Limit(each["periodSeconds"], replicas=each["value"])
            for each in deployed[direction]["policies"]
        }
        assert limits == set(behaviour.limits)


def test_what_is_scaled_by_can_be_asked_and_is_measured(tmp_path: Path) -> None:
    queries = [
        trigger["metadata"]["query"]
        for each in objects("ScaledObject", *EVERYTHING).values()
        for trigger in each["spec"]["triggers"]
        if trigger["type"] == "prometheus"
    ]
    rules = [{"record": f"query:{number}", "expr": query} for number, query in enumerate(queries)]
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    checked = subprocess.run([*promtool(), "check", "rules", str(file)], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    measured = {metric.name for metric in ConsumerMetrics.catalogue()}
    assert set(re.findall(r"\bvelox_\w+", " ".join(queries))) <= measured


@pytest.mark.parametrize(
    ("arguments", "asks"),
    [([], True), (["gateway.auth=on"], False), (["gateway.auth=on", "smokeTest.keySecret=one"], True)],
)
def test_a_prediction_is_asked_for_where_it_can_be(arguments: list[str], asks: bool) -> None:
    given = [part for each in arguments for part in ("--set-string", each)]
    (container,) = objects("Pod", *given)["smoke-test"]["spec"]["containers"]
    assert ("TEXT" in {each["name"] for each in container["env"]}) is asks


def test_a_value_that_is_misspelt_is_refused() -> None:
    with pytest.raises(RefusedError, match="'replica' not allowed"):
        render("--set", "gateway.replica=2")
    with pytest.raises(RefusedError, match="name the brokers"):
        render("--set", "kafka.enabled=false")


def test_rules_and_dashboards_are_those_of_compose() -> None:
    written = [
        yaml.safe_load((ROOT / f"deploy/prometheus/{name}").read_text()) for name in ("rules.yml", "gateway_rules.yml")
    ]
    rule = objects("PrometheusRule", *EVERYTHING)["ml-pipeline"]
    assert rule["spec"]["groups"] == [group for file in written for group in file["groups"]]
    config = objects("ConfigMap", *EVERYTHING)
    assert [
        yaml.safe_load(config["prometheus"]["data"][name]) for name in ("rules.yml", "gateway_rules.yml")
    ] == written
    dashboards = {
        path.name: json.loads(path.read_text()) for path in (ROOT / "deploy/grafana/dashboards").glob("*.json")
    }
    for name in ("grafana-dashboards", "velox-dashboards"):
        assert {file: json.loads(text) for file, text in config[name]["data"].items()} == dashboards


def test_a_changed_setting_is_another_pod_and_an_unchanged_one_is_not() -> None:
    def checksums(*arguments: str) -> dict[str, Any]:
        return {name: each["spec"]["template"]["metadata"] for name, each in objects("Deployment", *arguments).items()}

    before = checksums()
    after = checksums("--set", "settings.LOG_LEVEL=DEBUG")
    assert before == checksums()
    assert all(before[name] != after[name] for name in ("gateway", "webhooks", "ml-worker"))
    assert before["grafana"] == after["grafana"]


def test_the_job_that_prepares_has_another_name_when_it_does_something_else() -> None:
    def name(*arguments: str) -> str:
        (found,) = objects("Job", *arguments)
        return found

    assert name() == name()
    assert name().startswith("kafka-init-topics-")
    assert name("--set", "gateway.image.tag=2") != name()
    assert name("--set", "prepare.hashedName=false") == "kafka-init-topics"
