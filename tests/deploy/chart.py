"""The chart as Helm renders it, and the programs that look at what it renders."""

import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.servers.go import go_program

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy/helm/ml-pipeline"
NAMESPACE = RELEASE = "ml-pipeline"
KUBERNETES = "1.37.2"
FOLLOWS_LINKS = "found symbolic link in path"
"""What Helm says of each folder that the chart shares with Compose."""

Manifest = dict[str, Any]


@cache
def helm() -> str:
    """The path of Helm, compiled when a machine first asks for it."""
    return go_program("helm.sh/helm/v3/cmd/helm@v3.22.0", "helm")


@cache
def kubeconform() -> str:
    """The path of kubeconform, likewise."""
    return go_program("github.com/yannh/kubeconform/cmd/kubeconform@v0.8.0", "kubeconform")


@cache
def actionlint() -> str:
    """The path of actionlint, likewise."""
    return go_program("github.com/rhysd/actionlint/cmd/actionlint@v1.7.12", "actionlint")


class RefusedError(Exception):
    """Helm does not render or accept this; the message is its own."""


def run_helm(*arguments: str) -> str:
    """What Helm prints; raises `RefusedError` with what it says when it fails."""
    done = subprocess.run([helm(), *arguments], capture_output=True, text=True, check=False, cwd=ROOT)
    said = "\n".join(line for line in done.stderr.splitlines() if FOLLOWS_LINKS not in line)
    if done.returncode != 0:
        raise RefusedError(said + done.stdout)
    return done.stdout


@cache
def render(*arguments: str) -> str:
    """What would be applied, with the chart's own values and whatever the arguments change."""
    where = ("--namespace", NAMESPACE, "--kube-version", KUBERNETES)
    return run_helm("template", RELEASE, str(CHART), *where, *arguments)


def values(*names: str) -> list[str]:
    """Arguments that name values files of the chart: `prod` for values-prod.yaml."""
    return [part for name in names for part in ("--values", str(CHART / f"values-{name}.yaml"))]


def manifests(text: str) -> list[Manifest]:
    """The objects in a text."""
    return [each for each in yaml.safe_load_all(text) if each]


def pods(text: str) -> Iterator[tuple[str, Manifest]]:
    """Each object that makes pods, by kind and name, and the pod that it makes."""
    for each in manifests(text):
        if each["kind"] in {"Deployment", "StatefulSet", "Job"}:
            yield f"{each['kind']}/{each['metadata']['name']}", each["spec"]["template"]
        elif each["kind"] == "Pod":
            yield f"Pod/{each['metadata']['name']}", each


def containers(text: str) -> Iterator[tuple[str, Manifest]]:
    """Each container of each pod, by the name of what makes it."""
    for name, pod in pods(text):
        for container in pod["spec"]["containers"]:
            yield f"{name}/{container['name']}", container
