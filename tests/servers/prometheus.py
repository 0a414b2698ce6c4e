"""A real Prometheus as a local process, which scrapes consumers of this machine once a second."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from tests import tools
from tests.servers.process import HOST, LocalServer
from tests.servers.web import get_json, is_ok

INTERVAL = "1s"


class PrometheusServer(LocalServer):
    """Scrapes the ports as `prometheus.yml` does in Compose: under the job `consumer`, or those that are named."""

    name = "prometheus"

    def __init__(
        self, *, scrapes: Sequence[int] | Mapping[str, Sequence[int]], rules: Path, alertmanager_port: int | None = None
    ) -> None:
        super().__init__()
        self._scrapes = scrapes if isinstance(scrapes, Mapping) else {"consumer": scrapes}
        self._rules = rules
        self._alertmanager_port = alertmanager_port

    def command(self) -> list[str]:
        config = self.folder / "prometheus.yml"
        config.write_text(yaml.safe_dump(self._config()))
        return [
            tools.prometheus(),
            f"--config.file={config}",
            f"--storage.tsdb.path={self.folder / 'data'}",
            f"--web.listen-address={HOST}:{self.port}",
        ]

    def is_ready(self) -> bool:
        return is_ok(self.port, "/-/ready")

    def query(self, expression: str, *, at: float | None = None) -> list[dict[str, Any]]:
        """The series that an instant query answers; an `AssertionError` with the reason when it cannot be parsed."""
        moment = {} if at is None else {"time": f"{at:.3f}"}
        result: list[dict[str, Any]] = self._get("/api/v1/query", query=expression, **moment)["result"]
        return result

    def label_values(self, metric: str, label: str) -> list[str]:
        """The values of a label over all series of a metric."""
        values: list[str] = self._get(f"/api/v1/label/{label}/values", **{"match[]": metric})
        return values

    def rules(self) -> list[dict[str, Any]]:
        """Every rule, with its health."""
        return [rule for group in self._get("/api/v1/rules")["groups"] for rule in group["rules"]]

    def _get(self, path: str, **parameters: str) -> Any:  # noqa: ANN401 - the caller knows the shape
        return get_json(self.port, path, **parameters)["data"]

    def _config(self) -> dict[str, Any]:
        def at(ports: Sequence[int]) -> list[dict[str, Any]]:
            return [{"targets": [f"{HOST}:{port}" for port in ports]}]

        config: dict[str, Any] = {
            "global": {"scrape_interval": INTERVAL, "scrape_timeout": INTERVAL, "evaluation_interval": INTERVAL},
            "rule_files": [str(self._rules)],
            "scrape_configs": [{"job_name": job, "static_configs": at(ports)} for job, ports in self._scrapes.items()],
        }
        if self._alertmanager_port is not None:
            config["alerting"] = {"alertmanagers": [{"static_configs": at([self._alertmanager_port])}]}
        return config
