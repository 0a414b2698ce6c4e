"""Chart and manifests on a real API server: admitted, scheduled, rolled out, rolled back, drained. No container runs.

Probes, images, networks and DNS are not proved here: nodes are simulated.
"""

import os
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.deploy import plain
from tests.deploy.chart import CHART, RefusedError, manifests, render, run_helm, values
from tests.servers.kubernetes import ZONES, Cluster, kubectl
from tests.servers.kubernetes_schemas import schemas
from tests.servers.process import ServerError
from velox.tether import tethered

EVERYTHING = ["--values", str(Path(__file__).with_name("everything.yaml"))]
INSIDE = [f"{part}.service.type=ClusterIP" for part in ("gateway", "prometheus", "grafana")]
"""Ports of nodes are the whole cluster's: two releases cannot have the same."""

pytestmark = [pytest.mark.kubernetes, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster() as cluster:
        definitions = sorted((schemas() / "definitions").glob("*.yaml"))
        for definition in definitions:
            cluster.kubectl("apply", "--server-side", "-f", str(definition))
        kinds = ("scaledobjects.keda.sh", "prometheusrules.monitoring.coreos.com", "applications.argoproj.io")
        for kind in kinds:
            cluster.kubectl("wait", "--for=condition=Established", "--timeout=60s", f"crd/{kind}")
        yield cluster


@dataclass(frozen=True)
class Release:
    """One installation of the chart, in a namespace of its own."""

    cluster: Cluster
    namespace: str

    def helm(self, *arguments: str) -> str:
        where = ("--kubeconfig", str(self.cluster.kubeconfig), "--namespace", self.namespace)
        return run_helm(*arguments, *where)

    def upgrade(self, *settings: str, timeout: str = "120s", atomic: bool = False) -> None:
        given = [part for each in (*INSIDE, *settings) for part in ("--set", each)]
        wait = ("--wait", "--wait-for-jobs", "--timeout", timeout, *(["--atomic"] if atomic else []))
        try:
            self.helm("upgrade", "--install", "velox", str(CHART), *values("dev"), *given, *wait)
        except RefusedError as error:
            where = ("--namespace", self.namespace)
            error.add_note(self.cluster.kubectl(*where, "get", "pods,jobs,pvc", "-o", "wide"))
            error.add_note(self.cluster.kubectl(*where, "get", "events", "--sort-by=.lastTimestamp"))
            raise

    def get(self, *what: str) -> Any:  # noqa: ANN401 - JSON
        return self.cluster.get("--namespace", self.namespace, *what)

    def image(self, deployment: str) -> str:
        container = self.get(f"deployment/{deployment}")["spec"]["template"]["spec"]["containers"][0]
        return str(container["image"])

    def ready(self, deployment: str) -> int:
        return int(self.get(f"deployment/{deployment}")["status"].get("readyReplicas", 0))

    def revision(self) -> int:
        return len(self.helm("history", "velox").strip().splitlines()) - 1

    @contextmanager
    def never_fewer(self, deployment: str, least: int) -> Iterator[None]:
        """Hear of every change of how many pods are ready: they come and go faster than one could ask."""
        asked = ("get", f"deployment/{deployment}", "--watch", "-o", 'jsonpath={.status.readyReplicas}{"\\n"}')
        access = f"--kubeconfig={self.cluster.kubeconfig}"
        command = tethered(kubectl(), access, "--namespace", self.namespace, *asked)
        with tempfile.TemporaryFile("w+") as told, subprocess.Popen(command, stdout=told) as watching:
            try:
                self.cluster.wait("the watch has begun", lambda: os.fstat(told.fileno()).st_size > 0)
                yield
            finally:
                watching.terminate()
                watching.wait()
            told.seek(0)
            counts = [int(line or 0) for line in told.read().splitlines()]
        assert counts
        assert min(counts) >= least, counts


@pytest.fixture
def release(cluster: Cluster) -> Iterator[Release]:
    """The chart, installed where only what obeys the restricted standard is admitted."""
    name = f"velox-{uuid.uuid4().hex[:6]}"
    cluster.make_namespace(name, **{"pod-security.kubernetes.io/enforce": "restricted"})
    release = Release(cluster, name)
    release.upgrade("gateway.replicas=2")
    yield release
    cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.mark.parametrize("way", [[], values("dev"), values("prod"), EVERYTHING], ids=["default", "dev", "prod", "all"])
def test_the_server_accepts_every_object_with_no_field_unknown(cluster: Cluster, way: list[str]) -> None:
    cluster.make_namespace("ml-pipeline")
    objects = [each for each in manifests(render(*way)) if each["kind"] != "Namespace"]
    said = cluster.apply(objects, "--dry-run=server")
    assert len(said.splitlines()) == len(objects)
    cluster.kubectl("delete", "namespace", "ml-pipeline")


def test_the_server_refuses_what_no_schema_knows(cluster: Cluster) -> None:
    objects = [each for each in manifests(render(*EVERYTHING)) if each["kind"] == "Deployment"]
    objects[0]["spec"]["template"]["metadata"]["labels"]["app"] = "another"
    objects[1]["spec"]["template"]["spec"]["containers"][0]["volumeMounts"][0]["name"] = "nowhere"
    cluster.make_namespace("ml-pipeline")
    with pytest.raises(ServerError, match=r"(?s)`selector` does not match.*nowhere"):
        cluster.apply(objects[:2], "--dry-run=server")
    cluster.kubectl("delete", "namespace", "ml-pipeline")


def test_it_is_installed_ready_and_tested(release: Release) -> None:
    deployments = {each["metadata"]["name"]: each["status"] for each in release.get("deployments")["items"]}
    assert set(deployments) == {"gateway", "webhooks", "ml-worker", "grafana"}
    assert all(status["readyReplicas"] == status["replicas"] for status in deployments.values())
    (job,) = release.get("jobs")["items"]
    assert job["metadata"]["name"].startswith("kafka-init-topics-")
    assert job["status"]["succeeded"] == 1
    claims = {each["metadata"]["name"]: each["status"]["phase"] for each in release.get("pvc")["items"]}
    assert set(claims.values()) == {"Bound"}
    assert {"data-kafka-0", "data-postgres-0", "data-prometheus-0"} == set(claims)
    assert "Succeeded" in release.helm("test", "velox", "--timeout", "60s")


def test_an_upgrade_keeps_pods_ready_and_a_rollback_brings_the_old_ones_back(release: Release) -> None:
    before = release.image("gateway")
    with release.never_fewer("gateway", 2):
        release.upgrade("gateway.replicas=2", "gateway.image.tag=next", "mlWorker.image.tag=next")
    assert release.image("gateway").endswith(":next")
    assert release.image("ml-worker").endswith(":next")
    with release.never_fewer("gateway", 2):
        release.helm("rollback", "velox", "1", "--wait", "--timeout", "120s")
    assert release.image("gateway") == before
    assert release.revision() == 3


def test_a_changed_setting_reaches_the_pods_by_an_upgrade_alone(release: Release) -> None:
    def pods() -> set[str]:
        return {each["metadata"]["name"] for each in release.get("pods", "-l", "app=gateway")["items"]}

    before = pods()
    release.upgrade("gateway.replicas=2")
    assert pods() == before
    release.upgrade("gateway.replicas=2", "settings.LOG_LEVEL=DEBUG")
    release.cluster.wait("the old pods are gone", lambda: not pods() & before)
    assert release.get("configmap/velox-settings")["data"]["LOG_LEVEL"] == "DEBUG"


def test_an_upgrade_that_finds_no_room_is_taken_back_and_nothing_was_away(release: Release) -> None:
    before = release.image("gateway")
    with release.never_fewer("gateway", 2), pytest.raises(RefusedError, match=r"context deadline exceeded|rolled back"):
        release.upgrade(
            *("gateway.replicas=2", "gateway.image.tag=huge", "gateway.resources.requests.cpu=64"),
            timeout="20s",
            atomic=True,
        )
    assert release.image("gateway") == before
    assert release.ready("gateway") == 2


def test_replicas_are_in_different_zones(release: Release) -> None:
    release.upgrade("gateway.replicas=3", "mlWorker.replicas=3")
    zones = {
        node["metadata"]["name"]: node["metadata"]["labels"]["topology.kubernetes.io/zone"]
        for node in release.cluster.get("nodes")["items"]
    }
    for app in ("gateway", "ml-worker"):
        # A surge may still be on its way out.
        used = [
            pod
            for pod in release.get("pods", "-l", f"app={app}")["items"]
            if "deletionTimestamp" not in pod["metadata"]
        ]
        assert {zones[pod["spec"]["nodeName"]] for pod in used} == set(ZONES)


def test_a_node_is_drained_while_a_gateway_stays_ready(release: Release) -> None:
    node = release.get("pods", "-l", "app=gateway")["items"][0]["spec"]["nodeName"]
    budgets = {each["metadata"]["name"] for each in release.get("pdb")["items"]}
    assert budgets == {"gateway", "webhooks", "ml-worker"}
    try:
        with release.never_fewer("gateway", 1):
            release.cluster.kubectl(
                "drain", node, "--delete-emptydir-data", "--ignore-daemonsets", "--force", "--timeout=120s"
            )
        release.cluster.wait("both gateways are ready again", lambda: release.ready("gateway") == 2)
        left = [pod for pod in release.get("pods")["items"] if pod["spec"].get("nodeName") == node]
        assert not [pod for pod in left if pod["status"]["phase"] == "Running"]
    finally:
        release.cluster.kubectl("uncordon", node)


def test_an_uninstall_leaves_the_volumes_alone(release: Release) -> None:
    release.helm("uninstall", "velox", "--wait", "--timeout", "60s")
    assert (
        release.get("deployments,statefulsets,services,configmaps", "-l", "app.kubernetes.io/name=ml-pipeline")["items"]
        == []
    )
    assert len(release.get("pvc")["items"]) == 3


def test_plain_manifests_are_applied_in_their_order(cluster: Cluster) -> None:
    for name in plain.FILES:
        cluster.kubectl("apply", "--server-side", "--validate=strict", "-f", str(plain.FOLDER / name))
    where = ("--namespace", "ml-pipeline")
    cluster.kubectl(*where, "wait", "--for=condition=Complete", "--timeout=60s", "job/kafka-init-topics")
    cluster.kubectl(*where, "wait", "--for=condition=Ready", "--timeout=60s", "pod/kafka-0")
    for deployment in ("ml-worker", "gateway"):
        cluster.kubectl(*where, "rollout", "status", f"deployment/{deployment}", "--timeout=60s")
    assert cluster.get(*where, "service/gateway")["spec"]["ports"][0]["nodePort"] == 30080
    cluster.kubectl("delete", "namespace", "ml-pipeline", "--wait=false")
