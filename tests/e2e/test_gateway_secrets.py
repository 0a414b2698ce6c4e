"""Secrets of the API go through success and failure; then all that its processes say is searched for them."""

import base64
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.gateway import GatewayProgram, finish
from tests.e2e.pipeline import PATIENCE_S, CommandProgram, wait_until
from tests.servers.connect_proxy import ConnectProxy
from tests.servers.kafka import KafkaServer
from tests.servers.postgres import PostgresServer
from tests.servers.receiver import Receiver

PASSWORD = "s3cret-of-postgres"  # noqa: S105 - what is searched for
SIGNING = base64.b64encode(b"s3cret-of-webhooks-24-bytes").decode()
PROXY_PASSWORD = "s3cret-of-a-proxy"  # noqa: S105 - what is searched for
WRONG_KEY = f"vx_{'0' * 12}_{'s3cret-that-is-none'.ljust(43, '-')}"


def velox(gateway: GatewayProgram, *command: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "velox", *command],
        cwd=gateway.folder, env=gateway.env, capture_output=True, text=True, check=False, timeout=PATIENCE_S,
    )  # fmt: skip
    return done.stdout + done.stderr


@pytest.mark.timeout(240)
def test_no_process_of_the_api_shows_a_secret_of_its_own_or_of_its_clients(kafka: KafkaServer, tmp_path: Path) -> None:
    with PostgresServer() as database, Receiver() as receiver, ConnectProxy() as proxy:
        url = database.url().replace("@", f":{PASSWORD}@", 1)
        told = {"REQUESTS_URL": url, "WEBHOOK_SECRET": f"whsec_{SIGNING}", "WEBHOOK_ALLOW": "127.0.0.0/8"}
        told["WEBHOOK_PROXY"] = proxy.url.replace("//", f"//velox:{PROXY_PASSWORD}@")
        gateway = GatewayProgram(tmp_path, kafka.bootstrap, AUTH="on", LOG_LEVEL="DEBUG", **told)
        webhooks = CommandProgram("webhooks", folder=tmp_path, env={**gateway.env, "METRICS_PORT": "0"})
        try:
            gateway.wait_until_ready()
            (key,) = re.findall(r"vx_\S+", velox(gateway, "key", "create", "shop"))
            headers = {"Authorization": f"Bearer {key}"}
            asked = {"model": "sentiment", "text": "fine", "id": "r-1", "webhook_url": receiver.url("/results")}
            assert gateway.http.post("/v1/requests", json=asked, headers=headers).status_code == 202
            refused = gateway.http.post("/v1/requests", json=asked, headers={"X-API-Key": WRONG_KEY})
            assert refused.status_code == 401
            finish(url, ["r-1"])
            wait_until(lambda: receiver.got, what=lambda: webhooks.output)
            database.kill()
            away = gateway.http.post("/v1/requests", json=asked | {"id": "r-2"}, headers=headers)
            assert away.status_code == 503
            wait_until(lambda: gateway.status("/readyz") == 503, what="not ready")
            pages = [gateway.http.get(path).text for path in ("/metrics", "/readyz", "/health", "/openapi.json")]
            pages += [webhooks.probe(path)[1] for path in ("/metrics", "/readyz")]
            said = [velox(gateway, "settings"), velox(gateway, "key", "list"), velox(gateway, "webhooks", "log", "r-1")]
        finally:
            gateway.end()
            webhooks.end()
        shown = "\n".join([*pages, *said, refused.text, away.text, gateway.output, webhooks.output])
        assert "DEBUG" in gateway.output and "DEBUG" in webhooks.output
        assert "REQUESTS_URL" in shown
        assert proxy.asked
        for secret in (PASSWORD, PROXY_PASSWORD, SIGNING, key, key.rpartition("_")[2], WRONG_KEY, "s3cret"):
            assert secret not in shown
