"""Everything that the gateway's OpenAPI description allows, and much that it does not, asked of a real gateway.

Schemathesis draws the requests. Among others it looks for answers with a 5xx, statuses, headers and bodies that are not
described, requests that pass without a key, and invalid ones that are accepted.
"""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.gateway import GatewayProgram
from tests.e2e.pipeline import PATIENCE_S
from tests.servers.kafka import KafkaServer

HOOKS = """
import schemathesis

@schemathesis.serializer("application/x-ndjson")
def lines(_context, value):
    return (value if isinstance(value, str) else str(value)).encode("utf-8", "surrogatepass")
"""
SETTINGS = """
# No schema can say which models there are, or which ids are taken.
[checks.positive_data_acceptance]
enabled = false

# What is deleted before it has ended is cancelled, and can be looked at.
[checks.use_after_free]
enabled = false

# Each line is judged, and answered, by itself.
[[operations]]
include-path = "/v1/batches"
checks.negative_data_rejection.enabled = false
"""
EXAMPLES = 10
"""Drawn for each of the operations, beside those at the limits of what is allowed."""


def velox(gateway: GatewayProgram, *command: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "velox", *command],
        cwd=gateway.folder, env=gateway.env, capture_output=True, text=True, check=True, timeout=PATIENCE_S,
    )  # fmt: skip
    return done.stdout


@pytest.mark.timeout(240)
def test_the_gateway_does_what_its_description_says_whatever_it_is_asked(kafka: KafkaServer, tmp_path: Path) -> None:
    (tmp_path / "hooks.py").write_text(HOOKS)
    (tmp_path / "schemathesis.toml").write_text(SETTINGS)
    gateway = GatewayProgram(tmp_path, kafka.bootstrap, AUTH="on", WAIT_MAX_S=0.2)
    try:
        gateway.wait_until_ready()
        made = velox(gateway, "key", "create", "fuzz", "--scopes", "submit,read,admin")
        (key,) = re.findall(r"\S{30,}", made)
        command = [f"{gateway.url}/openapi.json", "--header", f"Authorization: Bearer {key}", "--no-color"]
        counts = ["--max-examples", str(EXAMPLES), "--generation-deterministic", "--request-timeout", "30"]
        done = subprocess.run(
            [sys.executable, "-m", "schemathesis.cli", "run", *command, *counts],
            cwd=tmp_path, env={**gateway.env, "SCHEMATHESIS_HOOKS": "hooks", "PYTHONPATH": str(tmp_path)},
            capture_output=True, text=True, check=False, timeout=200,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
        assert "Tested: 23" in done.stdout, "all operations were asked"
        assert "Traceback" not in gateway.output
    finally:
        gateway.end()
