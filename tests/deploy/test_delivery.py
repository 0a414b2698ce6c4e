"""Workflows and the Argo CD application: valid, and in agreement with chart and Dockerfile."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.chart import KUBERNETES, ROOT, actionlint, kubeconform, render, run_helm
from tests.servers.kubernetes_schemas import conform

WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
CD = (ROOT / ".github/workflows/cd.yml").read_text()
APPLICATION = ROOT / "deploy/argocd/application.yaml"

pytestmark = pytest.mark.timeout(900)  # the first test compiles actionlint, where it was never compiled


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_is_valid(workflow: Any) -> None:  # noqa: ANN401 - a path
    checked = subprocess.run(
        [actionlint(), "-shellcheck=", "-pyflakes=", str(workflow)], capture_output=True, text=True, check=False
    )
    assert checked.stdout + checked.stderr == ""


def test_no_workflow_may_do_more_than_it_needs() -> None:
    for path in WORKFLOWS:
        workflow = yaml.safe_load(path.read_text())
        assert workflow["permissions"] == {"contents": "read"}, path.name
        for job in workflow["jobs"].values():
            assert "timeout-minutes" in job, path.name


def test_what_is_shipped_is_what_the_chart_asks_for() -> None:
    settings = re.findall(r'--set(?:-string)? "([A-Za-z.]+)=', CD)
    rendered = run_helm(
        *("template", "ml-pipeline", "deploy/helm/ml-pipeline", "--kube-version", "1.37.2"),
        *("--values", "deploy/helm/ml-pipeline/values-prod.yaml"),
        *(part for each in settings for part in ("--set-string", f"{each}=shipped-{each.rpartition('.')[2]}")),
    )
    images = set(re.findall(r"image: (\S+)", rendered))
    assert images == {"shipped-repository:shipped-tag"}
    assert re.search(r"^FROM .* AS runtime$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert "target: runtime" in CD


def test_the_tag_is_text_even_if_the_commit_looks_like_a_number() -> None:
    assert not re.search(r'--set "[A-Za-z.]+\.tag=', CD)
    rendered = run_helm(
        *("template", "ml-pipeline", "deploy/helm/ml-pipeline", "--kube-version", "1.37.2"),
        *("--set-string", "gateway.image.tag=12e4567"),
    )
    assert "ml-pipeline-gateway:12e4567" in rendered


def test_the_application_is_one_and_names_what_is_there() -> None:
    assert conform(kubeconform(), APPLICATION) == ""
    source = yaml.safe_load(APPLICATION.read_text())["spec"]["source"]
    chart = ROOT / source["path"]
    assert all((chart / file).is_file() for file in source["helm"]["valueFiles"])
    parameters = [
        part for each in source["helm"]["parameters"] for part in ("--set", f"{each['name']}={each['value']}")
    ]
    run_helm("template", "ml-pipeline", str(chart), "--kube-version", "1.37.2", *parameters)


def test_a_package_holds_what_the_folder_only_links_to(tmp_path: Path) -> None:
    run_helm("package", "deploy/helm/ml-pipeline", "--destination", str(tmp_path))
    (package,) = tmp_path.glob("ml-pipeline-*.tgz")
    packed = run_helm(
        "template", "ml-pipeline", str(package), "--namespace", "ml-pipeline", "--kube-version", KUBERNETES
    )
    assert packed == render()
