"""A Kubernetes control plane's programs, compiled from their modules: ten minutes of two cores, once a machine."""

import os
import re
import shutil
from functools import cache
from pathlib import Path

from tests.servers.go import go, module_files
from tests.servers.jars import cache_root, locked, run

VERSION = "1.37.2"
KINE = "github.com/k3s-io/kine@v0.17.5"
KWOK = "sigs.k8s.io/kwok@v0.8.0"
STAGES = ("node/fast", "node/heartbeat-with-lease", "pod/fast", "volume/fast")
"""What simulated nodes do with pods: start them at once, finish those of Jobs, bind volumes."""
_VERSION_PACKAGE = "k8s.io/component-base/version"
_PARTS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")


@cache
def control_plane() -> Path:
    """The folder that holds kube-apiserver, kube-controller-manager, kube-scheduler, kine, kwok and stages.yaml."""
    folder = cache_root() / f"kubernetes-v{VERSION}"
    with locked(cache_root() / "kubernetes.lock"):
        complete = folder / "complete"
        if not complete.exists():
            folder.mkdir(exist_ok=True)
            place = cache_root() / "go-kubernetes"
            compiler = _Compiler(place, folder)
            # One after the other, and what is finished stays when a later one is interrupted.
            compiler.build(KINE, ["github.com/k3s-io/kine"])
            compiler.build(KWOK, ["sigs.k8s.io/kwok/cmd/kwok"])
            _write_stages(compiler.source(KWOK), folder)
            compiler.build_kubernetes()
            shutil.rmtree(place, ignore_errors=True)
            complete.touch()
    return folder


class _Compiler:
    """Compiles programs with caches of its own, which are gigabytes and are removed at the end."""

    def __init__(self, place: Path, folder: Path) -> None:
        place.mkdir(exist_ok=True)
        self._place, self._folder = place, folder
        self._go = go(place)
        self._env = {
            **os.environ,
            "GOTOOLCHAIN": "local",
            "CGO_ENABLED": "0",
            "GOFLAGS": "-buildvcs=false -modcacherw",
            "GOMODCACHE": str(place / "modules"),
            "GOCACHE": str(place / "built"),
        }

    def source(self, module: str) -> Path:
        """Where the files of a module are."""
        return module_files(self._go, module, self._env)

    def build(self, module: str, packages: list[str], *, replaces: str = "", flags: str = "") -> None:
        """Compile packages of a module; what is there already is not compiled again."""
        if all((self._folder / package.rpartition("/")[2]).exists() for package in packages):
            return
        work = self._place / packages[0].rpartition("/")[2]
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        (work / "go.mod").write_text(f"module velox.test/build\n\ngo 1.26.0\n\n{replaces}\n")
        version = module.partition("@")[2]
        made = work / "bin"
        made.mkdir()
        commands = [
            ["get", "-tool", *(f"{package}@{version}" for package in packages)],
            ["build", "-trimpath", f"-ldflags=-s -w {flags}", "-o", f"{made}/", *packages],
        ]
        for command in commands:
            run(self._go, "-C", str(work), *command, env=self._env)
        for program in made.iterdir():
            program.rename(self._folder / program.name)

    def build_kubernetes(self) -> None:
        """Compile Kubernetes' own, whose parts are modules too; without the flags it would not know its version."""
        module = f"k8s.io/kubernetes@v{VERSION}"
        staged = VERSION.replace("1.", "0.", 1)
        names = re.findall(
            r"^\s*(k8s\.io/\S+) => \./staging/", (self.source(module) / "go.mod").read_text(), re.MULTILINE
        )
        replaces = f"require k8s.io/kubernetes v{VERSION}\n\nreplace (\n"
        replaces += "".join(f"\t{name} => {name} v{staged}\n" for name in names) + ")"
        major, minor, _ = VERSION.split(".")
        flags = f"-X {_VERSION_PACKAGE}.gitVersion=v{VERSION} -X {_VERSION_PACKAGE}.gitMajor={major}"
        self.build(
            module,
            [f"k8s.io/kubernetes/cmd/{part}" for part in _PARTS],
            replaces=replaces,
            flags=f"{flags} -X {_VERSION_PACKAGE}.gitMinor={minor}",
        )


def _write_stages(source: Path, folder: Path) -> None:
    files = [path for stage in STAGES for path in sorted((source / "kustomize/stage" / stage).glob("*.yaml"))]
    stages = [path for path in files if "kustomization" not in path.name and "storage-class" not in path.name]
    (folder / "stages.yaml").write_text("\n---\n".join(path.read_text() for path in stages))
    classes = [path for path in files if "storage-class" in path.name]
    (folder / "storage-class.yaml").write_text(classes[0].read_text())
