"""The images of others: pulled where a registry answers, else stand-ins under the same names, built from packages."""

import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.compose.engine import Engine, install
from tests.servers import mongo
from tests.servers.jars import provision, run

HERE = Path(__file__).parent / "standins"
PYTHON = "python:3.11.14-slim-bookworm"
KAFKA = "apache/kafka:4.1.1"
MONGO = "mongo:8.0.26"
PROMETHEUS = "prom/prometheus:v3.5.0"
GRAFANA = "grafana/grafana:12.0.2"
POSTGRES = "postgres:17.6"
KAFKA_UI = "ghcr.io/kafbat/kafka-ui:v1.3.0"
OFFICIAL = (PYTHON, KAFKA, MONGO, PROMETHEUS, GRAFANA, POSTGRES, KAFKA_UI)
OPTIONAL = {"grafana": GRAFANA, "kafka-ui": KAFKA_UI}
"""What has no stand-in, by service."""
BASE, JAVA = "velox-standin-base", "velox-standin-java"
RELEASE = "bookworm"
"""The Debian release that all official images of Python 3.11 named here are made of, too."""


def provide(engine: Engine) -> list[str]:
    """Make every image available that can be; answers those that are stand-ins.

    Grafana and Kafka UI have none: no package has them.
    """
    if all(_is_there(engine, image) or _pulled(engine, image) for image in OFFICIAL):
        return []
    recipes: dict[str, Callable[[Engine, Path], None]] = {
        KAFKA: _kafka,
        MONGO: _mongo,
        PROMETHEUS: _prometheus,
        POSTGRES: _postgres,
    }
    lacking = [image for image in (PYTHON, *recipes) if not _is_there(engine, image)]
    with tempfile.TemporaryDirectory(prefix="velox-standins-") as work:
        if lacking:
            _base(engine, Path(work))
        for image in lacking:
            if image == PYTHON:
                engine.docker("tag", BASE, PYTHON)
            else:
                recipes[image](engine, Path(work) / image.partition(":")[0].replace("/", "-"))
    return lacking


def optional(engine: Engine) -> dict[str, bool]:
    """By service, whether what has no stand-in can be part of a stack."""
    return {service: _is_there(engine, image) for service, image in OPTIONAL.items()}


def _is_there(engine: Engine, image: str) -> bool:
    return engine.attempt("image", "inspect", image).returncode == 0


def _pulled(engine: Engine, image: str) -> bool:
    try:
        return engine.attempt("pull", "--quiet", image, timeout_s=600).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def _base(engine: Engine, work: Path) -> None:
    """A small Debian with Python. Package sources, certificates and pip's configuration are this machine's own."""
    install({"mmdebstrap": "mmdebstrap"})
    sources = Path("/etc/apt/sources.list.d/debian.sources")
    sources = sources if sources.exists() else Path("/etc/apt/sources.list")
    authorities = Path("/usr/local/share/ca-certificates")
    pip = Path("/etc/pip.conf")
    hooks = [
        *([f"copy-in {pip} /etc"] if pip.exists() else []),
        *(f"copy-in {file} {authorities}" for file in sorted(authorities.glob("*.crt"))),
        'chroot "$1" update-ca-certificates',
        # As in the official image: pip installs for the whole system, everything is below /usr/local/bin.
        'rm -f "$1"/usr/lib/python3.*/EXTERNALLY-MANAGED',
        'ln -s ../../bin/python3 "$1/usr/local/bin/python"',
    ]
    archive = work / "base.tar"
    options = ["--mode=root", "--variant=minbase", "--skip=output/dev", "--include=ca-certificates,python3,python3-pip"]
    options += ["--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-exclude=/usr/share/man/*"]
    run(
        "mmdebstrap",
        "-q",
        *options,
        *(f"--customize-hook={hook}" for hook in hooks),
        RELEASE,
        str(archive),
        str(sources),
    )
    changes = ["ENV PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin", "ENV LANG=C.UTF-8"]
    flags = [f"--change={change}" for change in [*changes, 'CMD ["python3"]']]
    engine.docker("import", *flags, str(archive), BASE, timeout_s=300)


def _build(engine: Engine, image: str, context: Path) -> None:
    engine.docker("build", "--quiet", "--tag", image, str(context), timeout_s=600)


def _kafka(engine: Engine, context: Path) -> None:
    _build(engine, JAVA, HERE / "java")
    shutil.copytree(HERE / "kafka", context)
    jars = provision(HERE / "kafka" / "kafka.pom.xml", inputs="image", prepare=lambda _: None)
    shutil.copytree(jars / "libs", context / "libs")
    _build(engine, KAFKA, context)


def _mongo(engine: Engine, context: Path) -> None:
    _build(engine, JAVA, HERE / "java")
    shutil.copytree(HERE / "mongo", context)
    libs = mongo.home() / "libs"
    shutil.copytree(libs, context / "libs")
    run("javac", "--release", "17", "-cp", f"{libs}/*", "-d", str(context / "classes"), str(mongo.MAIN))
    _build(engine, MONGO, context)


def _prometheus(engine: Engine, _: Path) -> None:
    _build(engine, PROMETHEUS, HERE / "prometheus")


def _postgres(engine: Engine, _: Path) -> None:
    _build(engine, POSTGRES, HERE / "postgres")
