"""Joins the Ray that is there, or starts one on this machine."""

import logging
import socket
from typing import Any, Final

import ray

from velox.errors import SettingsError, VeloxError
from velox.settings.environment import variables

log = logging.getLogger(__name__)

ADDRESS: Final = "RAY_ADDRESS"
LOCAL: Final = "local"
"""As RAY_ADDRESS: a Ray of our own, whatever there is."""
_TRIES: Final = 3
_STORE_BYTES: Final = 128 * 1024 * 1024
"""Of Ray's own shared memory: lists of frames travel beside it."""
OPTIMISED: Final = {
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",  # halves what a call costs: one thread, and gRPC between deployments
    "RAY_SERVE_ENABLE_DIRECT_INGRESS": "0",  # which that would turn on, with a port for each replica
    "RAY_SERVE_LOG_TO_STDERR": "0",
    "RAY_SERVE_FORCE_STOP_UNHEALTHY_REPLICAS": "1",  # what hangs would be given time to finish
    "RAY_SERVE_RUN_ROUTER_IN_SEPARATE_LOOP": "1",  # consumers wait for answers on threads
}


def join_or_start() -> bool:
    """Join the Ray of RAY_ADDRESS, or one that runs on this machine, else start one; say whether it was started.

    Raises:
        SettingsError: there is none at RAY_ADDRESS.
        VeloxError: it does not start, not even at the third try.
    """
    address = variables().get(ADDRESS)
    if address != LOCAL:
        try:
            _init(address="auto")
        except ConnectionError as error:
            if address:
                msg = f"{ADDRESS}={address}: no Ray there: {error}; correct it, or leave it out to start one here"
                raise SettingsError(msg) from error
        else:
            log.info("Joined Ray, %s", _resources())
            return False
    for left in reversed(range(_TRIES)):
        try:
            _init(address=LOCAL, include_dashboard=False, object_store_memory=_STORE_BYTES)
        except Exception as error:
            # On a busy machine its parts do not find each other in the 15 s that it allows.
            ray.shutdown()
            if not left:
                msg = f"Ray does not start: {error}; is the machine busy? `ray start --head` shows more"
                raise VeloxError(msg) from error
            log.warning("Ray did not start: %s; trying again", error)
        else:
            break
    log.info("Started Ray on %s, %s", socket.gethostname(), _resources())
    return True


def _init(**options: Any) -> None:  # noqa: ANN401 - whatever ray.init takes
    ray.init(runtime_env={"env_vars": OPTIMISED}, log_to_driver=True, configure_logging=False, **options)


def _resources() -> str:
    there = ray.cluster_resources()
    return f"{there.get('CPU', 0):g} CPUs, {there.get('GPU', 0):g} GPUs"
