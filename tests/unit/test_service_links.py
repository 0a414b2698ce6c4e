"""What Kubernetes sets for each Service of a namespace is not taken for settings of ours."""

import os
from pathlib import Path

import pytest

from velox import settings
from velox.errors import SettingsError
from velox.settings import Settings


def links(service: str, *, address: str = "10.0.0.1", port: int = 8000, name: str = "http") -> dict[str, str]:
    """What the kubelet sets for a Service with one port (pkg/kubelet/envvars/envvars.go)."""
    prefix = service.upper().replace("-", "_")
    by_protocol: dict[str, str] = {}
    for protocol in ("tcp", "udp", "sctp"):
        of_port = f"{prefix}_PORT_{port}_{protocol.upper()}"
        by_protocol |= {
            of_port: f"{protocol}://{address}:{port}",
            f"{of_port}_PROTO": protocol,
            f"{of_port}_PORT": str(port),
            f"{of_port}_ADDR": address,
        }
    return {
        f"{prefix}_SERVICE_HOST": address,
        f"{prefix}_SERVICE_PORT": str(port),
        f"{prefix}_SERVICE_PORT_{name.upper().replace('-', '_')}": str(port),
        f"{prefix}_PORT": f"tcp://{address}:{port}",
        **by_protocol,
    }


@pytest.fixture(autouse=True)
def _nothing_is_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    known = {name.upper() for name in Settings.model_fields}
    for name in list(os.environ):
        if name in known or name.startswith(("VELOX_", "COLORS_")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def give(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


def refusal() -> str:
    with pytest.raises(SettingsError) as caught:
        settings.load()
    return str(caught.value)


@pytest.mark.parametrize("service", ["velox", "velox-consumer", "velox-service", "velox-port", "velox-1-2", "colors"])
@pytest.mark.parametrize("address", ["10.0.0.1", "[fd00::1]"])
def test_a_service_under_our_own_name_stops_nothing(
    monkeypatch: pytest.MonkeyPatch, service: str, address: str
) -> None:
    before, origins = settings.load(), settings.origins()
    give(monkeypatch, links(service, address=address, name="metrics-and-health"))
    assert settings.load() == before
    assert settings.origins() == origins


def test_services_that_others_have_stop_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    before = settings.load()
    for service in ("kafka", "mongo", "kubernetes", "prometheus"):
        give(monkeypatch, links(service))
    assert settings.load() == before


@pytest.mark.parametrize("address", ["10.0.0.1", "[fd00::1]"])
def test_a_setting_that_a_service_overwrites_is_explained(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    give(monkeypatch, links("metrics", address=address))
    assert refusal() == (
        f"METRICS_PORT=tcp://{address}:8000: set by Kubernetes for a Service named metrics; "
        "set enableServiceLinks: false in the pod's spec, or METRICS_PORT yourself"
    )
    monkeypatch.setenv("METRICS_PORT", "8000")
    assert settings.load().metrics_port == 8000


@pytest.mark.parametrize(
    ("name", "value", "hint"),
    [
        ("VELOX_BATCH_SIZE", "9", "did you mean BATCH_SIZE?"),
        ("VELOX_METRICS_PORT", "9000", "did you mean METRICS_PORT?"),
        ("VELOX_PORT", "9000", "`velox settings` lists all names"),
        ("VELOX_SERVICE", "tcp://10.0.0.1:8000", "did you mean DEVICE?"),
    ],
)
def test_a_name_of_ours_that_is_wrong_is_still_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, hint: str
) -> None:
    give(monkeypatch, links("velox"))
    monkeypatch.setenv(name, value)
    assert refusal() == f"{name}: unknown setting; {hint}"


def test_a_color_called_port_is_a_color(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLORS_PORT", "(50, 0, 80)")
    assert settings.load().colors["port"] == (50, 0, 80)
