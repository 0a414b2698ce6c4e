"""deploy/terraform: written as Terraform writes it, valid, and planned against a provider that is played."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.deploy.chart import ROOT

SOURCE = ROOT / "deploy/terraform"
PROVIDERS = Path(os.environ.get("TERRAFORM_PROVIDERS", "/opt/tf-plugins"))
"""A folder with the AWS provider as Terraform's mirrors have it, for machines that cannot reach its registry."""

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.skipif(shutil.which("terraform") is None, reason="Terraform is not installed"),
]


class Terraform:
    """Runs Terraform in a copy of the folder, so that nothing is left in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "terraform"
        shutil.copytree(SOURCE, self.folder, ignore=shutil.ignore_patterns(".terraform*"))
        self._env = {**os.environ, "AWS_EC2_METADATA_DISABLED": "true", "CHECKPOINT_DISABLE": "1"}
        self._env.pop("TF_CLI_CONFIG_FILE", None)
        if PROVIDERS.exists():
            configuration = folder / "terraform.rc"
            configuration.write_text(f'provider_installation {{\n  filesystem_mirror {{ path = "{PROVIDERS}" }}\n}}\n')
            self._env["TF_CLI_CONFIG_FILE"] = str(configuration)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = ["terraform", f"-chdir={self.folder}", *arguments]
        return subprocess.run(command, env=self._env, capture_output=True, text=True, check=False)


@pytest.fixture
def terraform(tmp_path: Path) -> Terraform:
    return Terraform(tmp_path)


def test_it_is_formatted(terraform: Terraform) -> None:
    assert terraform.run("fmt", "-check", "-recursive").stdout == ""


@pytest.mark.kubernetes  # the provider alone takes half a minute to start, again and again
def test_it_is_valid_and_plans_what_is_documented(terraform: Terraform) -> None:
    begun = terraform.run("init", "-backend=false", "-input=false", "-no-color")
    assert begun.returncode == 0, begun.stderr
    checked = terraform.run("validate", "-no-color")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    planned = terraform.run("test", "-no-color")
    assert planned.returncode == 0, planned.stdout + planned.stderr
    assert "3 passed, 0 failed" in planned.stdout
