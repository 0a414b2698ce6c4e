"""The deployment files, judged by the tools that will read them: Compose, a Dockerfile linter, promtool."""

import json
import os
import re
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import tools
from tests.compose.api import SERVICES as API_RUN
from tests.compose.images import OFFICIAL, OPTIONAL
from tests.unit.test_env_syntax import READ
from velox.settings import Settings
from velox.settings.env_file import read

ROOT = Path(__file__).parents[2]
OURS = ("consumer", "producer")
API_OURS = ("gateway", "ml-worker", "webhooks")
API_SERVICES = {"kafka", "postgres", "kafka-ui", "prometheus", "grafana", *API_OURS}
CAMERAS_SERVICES = {"kafka", "kafka-init", "cameras", "consumer", "prometheus", "grafana"}
OBJECTS_OURS = ("consumer", "producer", "upload")
OBJECTS_SERVICES = {"kafka", "postgres", "s3", "prometheus", "grafana", *OBJECTS_OURS}
PIPELINES = sorted(path.stem for path in (ROOT / "pipelines").glob("*.env"))
SERVICES = {"kafka", "mongo", "prometheus", "grafana", *OURS}

pytestmark = pytest.mark.timeout(300)  # the first run fetches the tools


def run(*command: str) -> subprocess.CompletedProcess[str]:
    """Run a command. The environment must not win over `.env` here."""
    names = {*read(ROOT / ".env"), "DOCKER_PIPELINE"}
    env = {name: value for name, value in os.environ.items() if name not in names}
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=120)


def output_of(*command: str) -> str:
    """What a command prints; its complaint when it fails."""
    done = run(*command)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def config(*files: str | Path, env_file: str | Path = ".env", profiles: Sequence[str] = ()) -> dict[str, Any]:
    flags = [word for file in files for word in ("-f", str(file))]
    flags += [word for profile in profiles for word in ("--profile", profile)]
    text = output_of(*tools.docker_compose(), "--env-file", str(env_file), *flags, "config", "--format", "json")
    parsed: dict[str, Any] = json.loads(text)
    return parsed


@pytest.fixture(scope="module")
def stack() -> dict[str, Any]:
    return config("docker-compose.yml")


@pytest.fixture(scope="module")
def services(stack: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = stack["services"]
    return found


@pytest.fixture(scope="module")
def api() -> dict[str, Any]:
    """The services of the API's stack."""
    found: dict[str, Any] = config("docker-compose.api.yml")["services"]
    return found


def seconds(duration: str) -> float:
    parts = re.findall(r"(\d+(?:\.\d+)?)([hms])", duration)
    return sum(float(number) * {"h": 3600, "m": 60, "s": 1}[unit] for number, unit in parts)


def test_compose_reads_the_stack_and_finds_all_services(stack: dict[str, Any]) -> None:
    assert stack["name"] == "data-streaming"
    assert set(stack["services"]) == SERVICES


def test_the_documented_ports_are_open_to_this_machine_only(services: dict[str, Any]) -> None:
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert {port["host_ip"] for port in ports} == {"127.0.0.1"}
    assert {port["published"]: port["target"] for port in ports if "published" in port} == {
        "9092": 9092,
        "27017": 27017,
        "9090": 9090,
        "3000": 3000,
    }


def test_nothing_of_the_consumer_clashes_when_it_is_scaled(services: dict[str, Any]) -> None:
    assert "container_name" not in services["consumer"]
    assert [port for port in services["consumer"]["ports"] if "published" in port] == []


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_a_service_restarts_and_has_bounded_memory_and_logs(services: dict[str, Any], name: str) -> None:
    service = services[name]
    assert service["restart"] == "unless-stopped"
    assert int(service["deploy"]["resources"]["limits"]["memory"]) > 0
    assert set(service["logging"]["options"]) == {"max-size", "max-file"}
    assert service["security_opt"] == ["no-new-privileges:true"]


@pytest.mark.parametrize("name", sorted(SERVICES - set(OURS)))
def test_an_image_of_others_is_pinned_to_the_patch(services: dict[str, Any], name: str) -> None:
    assert re.fullmatch(r"[a-z/]+:v?\d+\.\d+\.\d+", services[name]["image"])


def test_every_service_proves_that_it_is_healthy(services: dict[str, Any]) -> None:
    # The consumer's check is the image's own, tested where the image is built.
    checks = {name: service.get("healthcheck", {}) for name, service in services.items() if name != "consumer"}
    assert {name for name, check in checks.items() if not check.get("test") or check.get("disable")} == set()


def test_the_dockerfile_builds_on_bases_that_are_pinned_to_the_patch() -> None:
    text = (ROOT / "Dockerfile").read_text()
    stages = set(re.findall(r" AS (\S+)", text))
    bases = set(re.findall(r"^FROM (\S+)", text, re.MULTILINE)) - stages
    assert bases
    assert {base for base in bases if not re.fullmatch(r"[a-z/]+:\d+\.\d+\.\d+(-[a-z-]+)?", base)} == set()


def test_the_stand_ins_of_compose_test_have_the_names_of_the_real_images(
    services: dict[str, Any], api: dict[str, Any]
) -> None:
    (base,) = re.findall(r"^FROM (\S+:\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    others = [each["image"] for each in (*services.values(), *api.values()) if "build" not in each]
    assert set(OFFICIAL) == {base, *others}
    assert set(API_RUN) | set(OPTIONAL) == set(API_SERVICES)


@pytest.mark.parametrize("name", OURS)
def test_our_containers_can_write_only_where_they_must(services: dict[str, Any], name: str) -> None:
    service = services[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["user"] == "1000:1000"
    writable = {volume["target"] for volume in service["volumes"] if not volume.get("read_only")}
    assert writable == ({"/app/model", "/app/discoveries"} if name == "consumer" else set())


@pytest.mark.parametrize("name", OURS)
def test_our_containers_have_longer_to_stop_than_they_take_to_drain(services: dict[str, Any], name: str) -> None:
    assert seconds(services[name]["stop_grace_period"]) >= Settings.model_fields["drain_s"].default + 10


def test_a_service_starts_after_what_it_needs_is_healthy(services: dict[str, Any]) -> None:
    needs = {
        name: {other: how["condition"] for other, how in service.get("depends_on", {}).items()}
        for name, service in services.items()
    }
    healthy = "service_healthy"
    assert needs == {
        "kafka": {},
        "mongo": {},
        "consumer": {"kafka": healthy, "mongo": healthy},
        "producer": {"kafka": healthy},
        "prometheus": {},
        "grafana": {"prometheus": healthy},
    }


@pytest.mark.parametrize("name", OURS)
def test_what_compose_sets_itself_are_settings_and_no_secrets(services: dict[str, Any], name: str) -> None:
    environment = services[name]["environment"]
    assert set(environment) <= {field.upper() for field in Settings.model_fields}
    assert environment["KAFKA_BOOTSTRAP_SERVER"] == "kafka:29092"
    assert environment["MONGO_URI"] == "mongodb://mongo:27017/"
    assert "env_file" not in services[name]


def test_prometheus_scrapes_the_port_that_the_consumer_listens_on(services: dict[str, Any]) -> None:
    jobs = {job["job_name"]: job for job in yaml.safe_load((ROOT / "prometheus.yml").read_text())["scrape_configs"]}
    (discovery,) = jobs["consumer"]["dns_sd_configs"]
    assert discovery["names"] == ["consumer"]
    assert str(discovery["port"]) == services["consumer"]["environment"]["METRICS_PORT"]


def test_the_gpu_file_adds_the_reservation_and_nothing_else(stack: dict[str, Any]) -> None:
    with_gpu = config("docker-compose.yml", "docker-compose.gpu.yml")
    reservations = with_gpu["services"]["consumer"]["deploy"]["resources"].pop("reservations")
    assert reservations == {"devices": [{"capabilities": ["gpu"], "driver": "nvidia", "count": -1}]}
    assert with_gpu == stack


def test_the_runtime_file_changes_our_image_and_nothing_else(stack: dict[str, Any]) -> None:
    light = config("docker-compose.yml", "docker-compose.runtime.yml")
    for name in OURS:
        ours, theirs = light["services"][name], stack["services"][name]
        assert (ours["image"], ours["build"].pop("target")) == ("velox:runtime", "runtime")
        ours["image"] = theirs["image"]
    assert light == stack


def test_the_dev_file_mounts_the_code_that_the_image_holds_and_changes_nothing_else(stack: dict[str, Any]) -> None:
    dev = config("docker-compose.yml", "docker-compose.dev.yml")
    *_, last = re.split(r"^FROM ", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    (workdir,) = re.findall(r"^WORKDIR (/app)$", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    copied = {name for line in re.findall(r"^COPY ([^-].*) \S+$", last, flags=re.MULTILINE) for name in line.split()}
    assert copied >= {"velox", "consumer.py", "producer.py", "train.py"}
    for name in OURS:
        before = stack["services"][name]["volumes"]
        added = [volume for volume in dev["services"][name]["volumes"] if volume not in before]
        assert all(volume["read_only"] and not volume["bind"].get("create_host_path") for volume in added)
        places = {Path(volume["source"]): volume["target"] for volume in added}
        assert places == {ROOT / code: f"{workdir}/{code}" for code in copied - {"start.sh"}}
        dev["services"][name]["volumes"] = before
    assert dev == stack


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_the_pipeline_file_names_the_pipeline_and_where_it_may_write_and_changes_nothing_else(
    stack: dict[str, Any], pipeline: str, tmp_path: Path
) -> None:
    env_file = tmp_path / "some.env"
    env_file.write_text((ROOT / ".env").read_text() + f"DOCKER_PIPELINE={pipeline}\n")
    chosen = config("docker-compose.yml", "docker-compose.pipeline.yml", env_file=env_file)
    for name in OURS:
        ours, theirs = chosen["services"][name], stack["services"][name]
        file = Path(ours["environment"].pop("VELOX_ENV_FILE"))
        assert (ROOT / file).samefile(ROOT / f"pipelines/{pipeline}.env")
        (added,) = (volume for volume in ours["volumes"] if volume not in theirs["volumes"])
        assert (Path(added["source"]), added["target"], added["read_only"]) == (
            ROOT / "pipelines",
            "/app/pipelines",
            True,
        )
        places = {Path(value).parts[0] for value in ours["environment"].values() if pipeline in value}
        assert places == {"model", "discoveries"}
        written = {setting for setting, value in read(ROOT / file).items() if setting.endswith("_PATH") and value}
        assert written <= {setting for setting, value in ours["environment"].items() if pipeline in value}
        ours["volumes"], ours["environment"] = theirs["volumes"], theirs["environment"]
    assert chosen == stack


def test_a_pipeline_that_is_not_named_is_asked_for() -> None:
    files = ("-f", "docker-compose.yml", "-f", "docker-compose.pipeline.yml")
    asked = run(*tools.docker_compose(), "--env-file", ".env", *files, "config")
    assert asked.returncode != 0
    assert "DOCKER_PIPELINE" in asked.stderr
    assert "name one, such as sentiment" in asked.stderr


def test_compose_reads_the_stack_of_the_api_and_finds_all_services() -> None:
    stack = config("docker-compose.api.yml")
    assert stack["name"] == "data-streaming"
    assert set(stack["services"]) == API_SERVICES


def test_the_ports_of_the_api_are_open_to_this_machine_only(api: dict[str, Any]) -> None:
    ports = [port for service in api.values() for port in service.get("ports", [])]
    assert {port["host_ip"] for port in ports} == {"127.0.0.1"}
    assert {port["published"]: port["target"] for port in ports} == {
        "8000": 8000,
        "8001-8010": 8001,
        "8080": 8080,
        "9092": 9092,
        "9090": 9090,
        "3000": 3000,
    }


@pytest.mark.parametrize("name", ["kafka", "prometheus", "grafana"])
def test_what_both_stacks_have_is_written_once(services: dict[str, Any], api: dict[str, Any], name: str) -> None:
    differs = {
        key: api[name].get(key)
        for key in {*api[name], *services[name]}
        if api[name].get(key) != services[name].get(key)
    }
    assert set(differs) <= {"environment", "volumes"}
    environment = differs.get("environment", services[name].get("environment", {}))
    changed = {key for key, value in environment.items() if services[name]["environment"].get(key) != value}
    assert changed == ({"GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"} if name == "grafana" else set())
    sources = {Path(volume["source"]).name for volume in differs.get("volumes", [])}
    assert sources == ({"prometheus.api.yml", "prometheus"} if name == "prometheus" else set())


@pytest.mark.parametrize("name", sorted(API_SERVICES))
def test_a_service_of_the_api_restarts_and_has_bounded_memory_and_logs(api: dict[str, Any], name: str) -> None:
    test_a_service_restarts_and_has_bounded_memory_and_logs(api, name)


@pytest.mark.parametrize("name", sorted(API_SERVICES - set(API_OURS)))
def test_an_image_of_others_in_the_api_is_pinned(api: dict[str, Any], name: str) -> None:
    # PostgreSQL's versions have two parts, and the second is the patch.
    assert re.fullmatch(r"postgres:\d+\.\d+|[a-z./-]+:v?\d+\.\d+\.\d+", api[name]["image"])


@pytest.mark.parametrize("name", API_OURS)
def test_our_containers_of_the_api_can_write_only_where_they_must(api: dict[str, Any], name: str) -> None:
    service = api[name]
    assert (service["image"], service["user"]) == ("velox:local", "1000:1000")
    assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
    assert seconds(service["stop_grace_period"]) >= Settings.model_fields["drain_s"].default + 10
    writable = {volume["target"] for volume in service["volumes"] if not volume.get("read_only")}
    states = {"/app/models.state"} if name != "webhooks" else set()
    assert writable == states | ({"/app/model"} if name == "ml-worker" else set())
    files = {volume["target"] for volume in service["volumes"]}
    assert files >= {"/app/.env"} | ({"/app/models.toml", "/app/pipelines"} if states else set())


@pytest.mark.parametrize("name", API_OURS)
def test_what_the_api_sets_itself_are_settings(api: dict[str, Any], name: str) -> None:
    environment = api[name]["environment"]
    assert set(environment) <= {field.upper() for field in Settings.model_fields}
    assert environment["KAFKA_BOOTSTRAP_SERVER"] == "kafka:29092"
    store, database = environment["REQUESTS_URL"], api["postgres"]["environment"]
    login = f"{database['POSTGRES_USER']}:{database['POSTGRES_PASSWORD']}"
    assert store == f"postgresql://{login}@postgres/{database['POSTGRES_DB']}"
    assert api[name]["command"][0] in {"python", "./start.sh"}


def test_the_api_lets_everybody_in_and_only_from_this_machine(api: dict[str, Any]) -> None:
    environment, (port,) = api["gateway"]["environment"], api["gateway"]["ports"]
    assert (environment["GATEWAY_HOST"], environment["AUTH"], port["host_ip"]) == ("0.0.0.0", "off", "127.0.0.1")  # noqa: S104 - of a container
    assert environment["GATEWAY_PORT"] == str(port["target"])


def test_the_parts_of_the_api_start_after_what_they_need_is_healthy(api: dict[str, Any]) -> None:
    needs = {name: set(api[name].get("depends_on", {})) for name in API_SERVICES}
    stores = {"kafka", "postgres"}
    assert needs == dict.fromkeys(API_OURS, stores) | {
        "kafka": set(),
        "postgres": set(),
        "kafka-ui": {"kafka"},
        "prometheus": set(),
        "grafana": {"prometheus"},
    }
    conditions = {how["condition"] for each in api.values() for how in each.get("depends_on", {}).values()}
    assert conditions == {"service_healthy"}


def test_workers_can_be_scaled_and_are_found_under_both_names(api: dict[str, Any]) -> None:
    worker = api["ml-worker"]
    assert "container_name" not in worker
    assert worker["networks"] == {"default": {"aliases": ["worker"]}}
    assert worker["command"] == ["./start.sh", "--models", "all"]


def test_every_service_of_the_api_proves_that_it_is_healthy(api: dict[str, Any]) -> None:
    # The image's own check, for a gateway and for a webhook worker: it asks port 8000.
    assert {name for name in API_SERVICES if "healthcheck" not in api[name]} == {"gateway", "webhooks"}
    assert api["webhooks"]["environment"]["METRICS_PORT"] == "8000"


@pytest.mark.parametrize(
    ("reports", "age_s", "is_healthy"),
    [
        ([{"name": "a", "state": "ready"}, {"name": "b", "state": "failing"}], 0, True),
        ([{"name": "a", "state": "starting"}, {"name": "b", "state": "failing"}], 0, False),
        ([{"name": "a", "state": "ready"}], 60, False),
        (None, 0, False),
    ],
)
def test_a_worker_is_healthy_while_some_model_of_it_is_ready(
    api: dict[str, Any], tmp_path: Path, reports: list[dict[str, str]] | None, age_s: float, is_healthy: bool
) -> None:
    _, _, *arguments = api["ml-worker"]["healthcheck"]["test"]
    if reports is not None:
        written = tmp_path / "models.state" / f"{socket.gethostname()}-8001.json"
        written.parent.mkdir()
        written.write_text(json.dumps(reports))
        os.utime(written, (time.time() - age_s,) * 2)
    done = subprocess.run([sys.executable, *arguments], cwd=tmp_path, capture_output=True, check=False, timeout=60)
    assert (done.returncode == 0) is is_healthy, done.stderr


def test_prometheus_scrapes_the_ports_that_the_parts_of_the_api_listen_on(api: dict[str, Any]) -> None:
    jobs = yaml.safe_load((ROOT / "prometheus.api.yml").read_text())["scrape_configs"]
    found = {(name, each["port"]) for job in jobs for each in job.get("dns_sd_configs", []) for name in each["names"]}
    first = int(api["ml-worker"]["environment"]["METRICS_PORT"])
    assert found == {("gateway", 8000), ("webhooks", 8000), *(("ml-worker", first + number) for number in range(4))}


def as_compose_reads(env_file: Path, folder: Path) -> dict[str, str]:
    """The values that Compose finds in a file, by the names that Velox finds in it."""
    probe = folder / "compose.json"
    environment = {name: f"${{{name}}}" for name in read(env_file)}
    probe.write_text(json.dumps({"services": {"probe": {"image": "probe", "environment": environment}}}))
    found = config(probe, env_file=env_file)["services"]["probe"]["environment"]
    return {name: value.replace("$$", "$") for name, value in found.items()}  # it writes what it could read again


@pytest.fixture(scope="module")
def objects() -> dict[str, Any]:
    """The services of the stack of objects."""
    found: dict[str, Any] = config("docker-compose.objects.yml", profiles=("upload",))["services"]
    return found


def test_compose_reads_the_stack_of_objects_and_finds_all_services(objects: dict[str, Any]) -> None:
    assert set(objects) == OBJECTS_SERVICES
    assert set(config("docker-compose.objects.yml")["services"]) == OBJECTS_SERVICES - {"upload"}


def test_the_ports_of_the_stack_of_objects_are_open_to_this_machine_only(objects: dict[str, Any]) -> None:
    ports = [port for service in objects.values() for port in service.get("ports", [])]
    assert {port["host_ip"] for port in ports} == {"127.0.0.1"}
    published = {port.get("published"): port["target"] for port in ports}
    assert published == {"9092": 9092, "5432": 5432, "7070": 7070, None: 8000, "9090": 9090, "3000": 3000}


@pytest.mark.parametrize("name", sorted(OBJECTS_SERVICES - {"upload"}))
def test_a_service_of_the_stack_of_objects_restarts_and_has_bounded_memory_and_logs(
    objects: dict[str, Any], name: str
) -> None:
    test_a_service_restarts_and_has_bounded_memory_and_logs(objects, name)


@pytest.mark.parametrize("name", ["postgres", "s3"])
def test_an_image_of_others_in_the_stack_of_objects_is_pinned(objects: dict[str, Any], name: str) -> None:
    test_an_image_of_others_in_the_api_is_pinned(objects, name)


@pytest.mark.parametrize("name", OBJECTS_OURS)
def test_our_containers_of_objects_are_told_one_story(objects: dict[str, Any], name: str) -> None:
    service = objects[name]
    told = service["environment"]
    assert set(told) <= {field.upper() for field in Settings.model_fields} | {"VELOX_ENV_FILE"}
    assert (service["image"], service["read_only"], service["cap_drop"]) == ("velox:local", True, ["ALL"])
    writable = {volume["target"] for volume in service["volumes"] if not volume.get("read_only")}
    assert writable == ({"/app/model"} if name == "consumer" else set())
    assert {volume["target"] for volume in service["volumes"]} >= {"/app/.env", "/app/pipelines"}
    database, store = objects["postgres"]["environment"], objects["s3"]["environment"]
    login = f"{database['POSTGRES_USER']}:{database['POSTGRES_PASSWORD']}"
    assert told["KEYS_URL"] == told["POSTGRES_DSN"] == f"postgresql://{login}@postgres/{database['POSTGRES_DB']}"
    assert (told["AWS_ACCESS_KEY_ID"], told["AWS_SECRET_ACCESS_KEY"]) == (
        store["ROOT_ACCESS_KEY"],
        store["ROOT_SECRET_KEY"],
    )
    assert told["S3_ENDPOINT"] == f"http://s3:{objects['s3']['ports'][0]['target']}"
    assert f"/data/{told['BUCKET_URL'].removeprefix('s3://')} " in objects["s3"]["command"][0]
    assert set(service["depends_on"]) == {"kafka", "postgres", "s3"}


def test_three_consumers_share_three_partitions(objects: dict[str, Any]) -> None:
    assert str(objects["consumer"]["scale"]) == read(ROOT / "pipelines/objects.env")["KAFKA_PARTITIONS"] == "3"


@pytest.fixture(scope="module")
def cameras() -> dict[str, Any]:
    """The services of the stack of cameras."""
    found: dict[str, Any] = config("docker-compose.cameras.yml")["services"]
    return found


def test_compose_reads_the_stack_of_cameras_and_finds_all_services(cameras: dict[str, Any]) -> None:
    assert set(cameras) == CAMERAS_SERVICES
    assert cameras["kafka"]["container_name"] == "broker", "as its users know it"
    assert cameras["kafka-init"]["image"] == cameras["kafka"]["image"]
    assert cameras["kafka-init"]["command"][-1] == "150"


def test_the_ports_of_the_stack_of_cameras_are_open_to_this_machine_only(cameras: dict[str, Any]) -> None:
    ports = [port for service in cameras.values() for port in service.get("ports", [])]
    assert {port["host_ip"] for port in ports} == {"127.0.0.1"}


@pytest.mark.parametrize("name", sorted(CAMERAS_SERVICES - {"kafka-init"}))
def test_a_service_of_the_stack_of_cameras_restarts_and_has_bounded_memory_and_logs(
    cameras: dict[str, Any], name: str
) -> None:
    test_a_service_restarts_and_has_bounded_memory_and_logs(cameras, name)


@pytest.mark.parametrize("name", ["cameras", "consumer"])
def test_our_containers_of_cameras_are_told_one_story(cameras: dict[str, Any], name: str) -> None:
    service = cameras[name]
    told = service["environment"]
    assert set(told) <= {field.upper() for field in Settings.model_fields} | {"VELOX_ENV_FILE"}
    assert told["BUCKET_URL"] == "file:///frames"
    targets = {volume["target"]: volume for volume in service["volumes"]}
    assert targets["/frames"]["source"] == "frames", "what one writes, the other reads"
    assert set(service["depends_on"]) == {"kafka", "kafka-init"}
    # The image's own check asks for readiness at this port.
    assert told.get("CAMERAS_PORT", told.get("METRICS_PORT")) == "8000"


def test_compose_reads_the_env_file_as_velox_does(tmp_path: Path) -> None:
    assert as_compose_reads(ROOT / ".env", tmp_path) == read(ROOT / ".env")


@pytest.mark.parametrize("ends", ["\n", "\r\n"], ids=["unix", "windows"])
def test_what_velox_reads_in_an_env_file_compose_reads_alike(tmp_path: Path, ends: str) -> None:
    differs = re.compile(r"\t#|=[^']*\$")  # as the page of the settings says
    lines = [line for line in READ if not differs.search(line)]
    assert any("$" in line for line in lines)
    name = re.compile("name", re.IGNORECASE)
    numbered = [name.sub(f"NAME_{number}", line, count=1) for number, line in enumerate(lines)]
    written = tmp_path / "some.env"
    written.write_bytes(("\ufeff" + ends.join(numbered)).encode())
    assert as_compose_reads(written, tmp_path) == read(written)


def test_the_dockerfile_has_no_findings() -> None:
    assert output_of(*tools.hadolint(), "--failure-threshold", "style", "Dockerfile") == ""


def test_the_dockerfile_installs_the_locked_uv_and_pulls_no_frontend() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    locked = re.search(r"^uv==(\S+)", (ROOT / "requirements-dev.txt").read_text(), re.MULTILINE)
    assert locked
    assert f"ARG UV_VERSION={locked[1]}\n" in dockerfile
    assert "# syntax=" not in dockerfile


def test_the_last_stage_of_the_dockerfile_is_the_one_that_trains() -> None:
    stages = re.split(r"^FROM ", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    assert 'CMD ["./start.sh"]' in stages[-1]
    assert "runtime AS" not in stages[-1]


def test_the_light_lock_has_openvino_and_no_torch_and_differs_in_nothing_else() -> None:
    def pins(name: str) -> set[str]:
        return set(re.findall(r"^\S+==\S+", (ROOT / name).read_text(), re.MULTILINE))

    light = pins("requirements-runtime.txt")
    assert any(pin.startswith("openvino==") for pin in light)
    assert not any(pin.startswith(("torch", "nvidia", "onnx")) for pin in light)
    assert light <= pins("requirements.txt") <= pins("requirements-dev.txt")


@pytest.mark.parametrize(
    ("lock", "extras"),
    [
        (
            "requirements.txt",
            {
                *("torch", "openvino", "onnxruntime", "imagenet", "text", "transformers"),
                *("objects", "cameras", "gateway", "dashboard", "otlp"),
            },
        ),
        ("requirements-runtime.txt", {"openvino", "text", "objects", "cameras", "gateway", "dashboard", "otlp"}),
    ],
)
def test_a_lock_has_what_its_image_needs_for_the_pipelines(lock: str, extras: set[str]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *(need for extra in extras for need in project["optional-dependencies"][extra])]
    locked = set(re.findall(r"^([a-z0-9-]+)==", (ROOT / lock).read_text(), re.MULTILINE))
    assert {re.split(r"[\[>=]", need)[0].lower() for need in wanted} <= locked
    if lock == "requirements.txt":  # an image from another index is asked for the same
        named = set(re.findall(r"--extra (\w+)", (ROOT / "Dockerfile").read_text()))
        assert named == extras


def test_both_images_hold_the_pipelines() -> None:
    stages = re.split(r"^FROM ", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    ours = {stage.split(" AS ")[1].split()[0] for stage in stages if "\nCOPY pipelines pipelines\n" in stage}
    assert ours == {"runtime", "velox"}
    assert "!pipelines" in (ROOT / ".dockerignore").read_text().splitlines()


def test_promtool_accepts_the_configuration_and_the_rules_behave() -> None:
    for name in ("prometheus.yml", "prometheus.api.yml", "prometheus.cameras.yml"):
        output_of(*tools.promtool(), "check", "config", "--lint-fatal", name)
    for name in ("rules", "gateway_rules", "cameras_rules"):
        output_of(*tools.promtool(), "test", "rules", f"deploy/prometheus/{name}_test.yml")


def test_promtool_parses_the_query_of_every_panel(tmp_path: Path) -> None:
    dashboards = (ROOT / "deploy/grafana/dashboards").glob("*.json")
    panels = [panel for file in dashboards for panel in json.loads(file.read_text())["panels"]]
    queries = [target["expr"].replace("$__rate_interval", "1m") for panel in panels for target in panel["targets"]]
    rules = [{"record": f"panel:{number}", "expr": query} for number, query in enumerate(queries)]
    file = tmp_path / "panels.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    assert f"{len(queries)} rules found" in output_of(*tools.promtool(), "check", "rules", str(file))
