"""What a policy scanner has against manifests, Terraform, workflows and the Dockerfile: only what is explained."""

import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from tests.deploy.chart import ROOT
from tests.servers.jars import cache_root, locked, run

CHECKOV = "checkov==3.3.30"

pytestmark = [pytest.mark.kubernetes, pytest.mark.timeout(900)]


@cache
def checkov() -> Path:
    """The scanner, in an environment of its own: it asks for other versions of what Velox needs."""
    folder = cache_root() / CHECKOV.replace("==", "-")
    with locked(cache_root() / "checkov.lock"):
        if not (folder / "complete").exists():
            run(sys.executable, "-m", "venv", "--clear", str(folder))
            run(str(folder / "bin/python"), "-m", "pip", "install", "-q", CHECKOV)
            (folder / "complete").touch()
    return folder / "bin/checkov"


def scan(*what: str) -> "subprocess.CompletedProcess[str]":
    command = [
        str(checkov().with_name("python")),
        str(checkov()),
        "--config-file",
        str(ROOT / "deploy/checkov.yaml"),
        *what,
    ]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("folder", ["deploy/kubernetes", "deploy/terraform", ".github"])
def test_nothing_is_found_that_is_not_explained(folder: str) -> None:
    scanned = scan("--directory", folder)
    assert scanned.returncode == 0, scanned.stdout + scanned.stderr


def test_the_dockerfile_too() -> None:
    scanned = scan("--file", "Dockerfile")
    assert scanned.returncode == 0, scanned.stdout + scanned.stderr


def test_what_is_wrong_is_found(tmp_path: Path) -> None:
    text = (ROOT / "deploy/kubernetes/gateway.yaml").read_text()
    (tmp_path / "gateway.yaml").write_text(
        text.replace("allowPrivilegeEscalation: false", "allowPrivilegeEscalation: true")
    )
    scanned = scan("--directory", str(tmp_path))
    assert scanned.returncode == 1
    assert "CKV_K8S_20" in scanned.stdout
