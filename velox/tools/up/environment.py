"""What the pipeline's processes are told: the user's settings, save for what an embedded broker asks for."""

import os
import socket
from typing import Any, Final

from velox.settings import MIB, Settings, origins
from velox.settings.environment import ENV_FILE

MAX_LAG_BYTES: Final = 3 * MIB
"""Well below what a partition of the embedded broker keeps, so that no unread record is ever dropped."""
MAX_RECORD_BYTES: Final = MIB


def changes(settings: Settings, *, bootstrap: str) -> dict[str, Any]:
    """Answer the settings that differ from the user's, by field.

    SINKS, STORE and METRICS_PORT are taken from the environment and the pipeline file only: ``.env`` holds those of the
    Compose pipeline, whose MongoDB is not there.
    """
    told = origins()
    sinks = ("sqlite",) if settings.is_text else ("sqlite", "disk")
    ours: dict[str, Any] = {"sinks": sinks, "store": "all", "metrics_port": 0}
    changed = {name: value for name, value in ours.items() if told[name] in {ENV_FILE, "default"}}
    if not changed.get("metrics_port", settings.metrics_port):
        changed["metrics_port"] = free_port()
    return changed | broker_changes(settings, bootstrap=bootstrap)


def broker_changes(settings: Settings, *, bootstrap: str) -> dict[str, Any]:
    """Answer the settings that an embedded broker asks for, by field."""
    return {
        "kafka_bootstrap_server": bootstrap,
        "kafka_security_protocol": "PLAINTEXT",  # the embedded broker knows no other
        "auto_offset_reset": "earliest",
        "delivery": "at_least_once",  # the embedded broker has no transactions
        "commit_interval_s": min(settings.commit_interval_s, 0.25),  # flow control goes by what is committed
        "session_timeout_ms": min(settings.session_timeout_ms, 6000),
        "fetch_wait_ms": min(settings.fetch_wait_ms, 10),
        "max_message_bytes": min(settings.max_message_bytes, MAX_RECORD_BYTES),
        "claim_over_bytes": min(settings.claim_over_bytes, MAX_RECORD_BYTES),
        "producer_max_lag_bytes": min(settings.producer_max_lag_bytes or MAX_LAG_BYTES, MAX_LAG_BYTES),
        "log_format": "human",
    }


def as_environment(changed: dict[str, Any]) -> dict[str, str]:
    """Write changed settings as variables, over the present environment."""
    return os.environ | {name.upper(): _written(value) for name, value in changed.items()}


def _written(value: Any) -> str:  # noqa: ANN401 - of a setting, of whatever type
    if isinstance(value, tuple):
        return ",".join(value)
    return str(value.get_secret_value() if hasattr(value, "get_secret_value") else value)


def free_port() -> int:
    """Find a port nobody listens on; somebody else may take it before the consumer does, who then says so."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
