"""docs/production.md names what is there: files, values, variables, outputs."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.chart import CHART, ROOT, render, values

PAGE = (ROOT / "docs/production.md").read_text()
SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())

pytestmark = pytest.mark.timeout(900)  # the first test compiles Helm, where it was never compiled


def is_known(path: str) -> bool:
    """Whether the schema knows a value, such as `gateway.image.tag`; a star means all of its kind."""
    found = SCHEMA
    for name in path.split("."):
        if "$ref" in found:
            found = SCHEMA["definitions"][found["$ref"].rpartition("/")[2]]
        if name == "*":
            return True
        known = found.get("properties", {})
        if name not in known:
            return isinstance(found.get("additionalProperties"), dict)
        found = known[name]
    return True


def test_every_file_that_is_named_is_there() -> None:
    named = set(re.findall(r"\b(?:deploy|tests|docs|pipelines)/[\w./-]*\w", PAGE))
    assert "deploy/helm/ml-pipeline/values-prod.yaml" in named
    assert [
        path for path in sorted(named - {"deploy/test_cluster.py", "deploy/kubernetes/"}) if not (ROOT / path).exists()
    ] == []
    assert (ROOT / "tests/deploy/test_cluster.py").exists()


def test_every_value_that_is_named_is_one_of_the_charts() -> None:
    tops = "|".join(SCHEMA["properties"])
    named = set(re.findall(rf"(?<![\w.-])((?:{tops})\.[A-Za-z*][\w.*]*)", PAGE))
    others = {name for name in named if name.endswith((".yaml", ".json", ".md", ".yml")) or name.startswith("kafka.t3")}
    assert {"mlWorker.autoscaling.enabled", "gateway.auth", "networkPolicy.gatewayFrom"} <= named
    assert [name for name in sorted(named - others) if not is_known(name)] == []


def test_every_variable_and_output_of_terraform_is_one() -> None:
    written = "".join(path.read_text() for path in (ROOT / "deploy/terraform").glob("*.tf"))
    variables = set(re.findall(r'^variable "(\w+)"', written, re.MULTILINE))
    outputs = set(re.findall(r'^output "(\w+)"', written, re.MULTILINE))
    assert set(re.findall(r"terraform output (\w+)", PAGE)) - {"prints"} <= outputs
    assert set(re.findall(r"-var '(\w+)=", PAGE)) | set(re.findall(r"TF_VAR_(\w+)=", PAGE)) <= variables
    for name in ("gpu_instance_types", "kafka_instance_type", "api_allowed_cidrs", "github_repository"):
        assert name in PAGE
        assert name in variables


def test_what_is_said_to_go_into_a_file_of_ones_own_is_accepted(tmp_path: Path) -> None:
    (written,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    own = tmp_path / "mine.yaml"
    own.write_text(written)
    rendered = render(*values("prod"), "--values", str(own))
    assert yaml.safe_load(written)["settings"]["KAFKA_BOOTSTRAP_SERVER"] in rendered
    assert "WORKER_ROLE_ARN" in rendered


def test_the_measured_figures_are_those_of_the_page_about_performance() -> None:
    performance = (ROOT / "docs/performance.md").read_text()
    for figure in ("295.0", "1,507.3", "385.7", "318.9", "111.0", "82.4"):
        assert figure in performance
