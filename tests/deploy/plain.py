"""Writes deploy/kubernetes/: the chart's objects as plain files, for those who do without Helm."""

import re
import sys
from pathlib import Path

from tests.deploy.chart import ROOT, render

FOLDER = ROOT / "deploy/kubernetes"
FILES = {
    "namespace.yaml": ("namespace", "settings", "secrets", "network-policies"),
    "kafka.yaml": ("kafka",),
    "kafka-init-job.yaml": ("kafka-init-job",),
    "gateway.yaml": ("postgres", "gateway", "webhooks"),
    "ml-worker.yaml": ("ml-worker",),
    "prometheus.yaml": ("prometheus",),
    "grafana.yaml": ("grafana",),
}
"""Which templates are in which file, in the order in which they are applied."""
_HEAD = "# Rendered from deploy/helm/ml-pipeline by `make manifests`; a test compares.\n"
_SOURCE = re.compile(r"^# Source: ml-pipeline/templates/(\S+)\.yaml$", re.MULTILINE)


def files() -> dict[str, str]:
    """What the files hold, by their names.

    Raises:
        LookupError: a template is in no file.
    """
    # A Job's name is what users know it by; before it is applied again, it is deleted.
    arguments = ("--set", "namespace.create=true", "--set", "prepare.hashedName=false", "--skip-tests")
    documents = re.split(r"^---\n", render(*arguments), flags=re.MULTILINE)
    by_template: dict[str, list[str]] = {}
    for document in documents:
        if match := _SOURCE.search(document):
            by_template.setdefault(match[1], []).append(_SOURCE.sub("", document).strip() + "\n")
    made = {
        name: _HEAD + "".join(f"---\n{each}" for template in templates for each in by_template.pop(template, []))
        for name, templates in FILES.items()
    }
    if by_template:
        msg = f"templates that belong to no file of deploy/kubernetes/: {', '.join(by_template)}"
        raise LookupError(msg)
    return made


def write(folder: Path = FOLDER) -> None:
    """Write all files."""
    folder.mkdir(exist_ok=True)
    for name, content in files().items():
        (folder / name).write_text(content)


if __name__ == "__main__":
    write()
    sys.stdout.write(f"manifests: wrote {len(FILES)} files to {FOLDER.relative_to(ROOT)}\n")
