"""The gateway's life: listen, accept until told to stop, drain."""

import logging
import socket
from contextlib import closing
from typing import Final

import uvicorn

from velox import __version__, failpoints, logs
from velox.core.deadline import Deadline
from velox.gateway.access import asks_for_keys
from velox.gateway.app import build, connect
from velox.gateway.models import Models
from velox.gateway.parts import Gateway
from velox.kafka.asking import Asker
from velox.requests.store import RequestStore
from velox.settings.readers import ApiSettings
from velox.signals import StopRequest
from velox.web.connections import Connection
from velox.web.listening import BACKLOG, address, listen

log = logging.getLogger(__name__)

_KEEP_ALIVE_S: Final = 65
"""Longer than load balancers keep a connection, so that none sends into one that has just been closed."""


class _Server(uvicorn.Server):
    """Lets waiting clients go first when it is told to stop."""

    def __init__(self, config: uvicorn.Config, gateway: Gateway) -> None:
        super().__init__(config)
        self._gateway = gateway
        self.deadline = Deadline(0)
        """Of the drain; passed while there is none."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.deadline = Deadline(self._gateway.settings.drain_s)
        self._gateway.waiting.stop()
        await super().shutdown(sockets)


def run(settings: ApiSettings) -> int:
    """Serve until a signal comes.

    Returns:
        0 when Kafka has answered for every record, 1 when some are left without an answer.

    Raises:
        VeloxError: it cannot go on: a setting, Kafka or the store refuses.
    """
    logs.configure(level=settings.log_level, form=settings.log_format, pipeline=settings.pipeline or "gateway")
    logging.getLogger("uvicorn").setLevel(logging.WARNING)  # what it says of starting and stopping, we say
    failpoints.arm()
    # First: a port that is taken ends the start before there is anything to end with it.
    with StopRequest(), closing(listen(settings.gateway_host, settings.gateway_port, settings="GATEWAY")) as listening:
        store = RequestStore(settings.requests_url.get_secret_value())
        asker = Asker(settings, accept_timeout_s=settings.accept_timeout_s)
        gateway = connect(settings, store, asker, Models(settings.models_path))
        server = _Server(_config(settings, gateway), gateway)
        _tell(settings, listening)
        try:
            gateway.standing.start(gateway.metrics, lambda: setattr(server, "should_exit", True))
            server.run([listening])
        finally:
            unanswered = _close(gateway, asker, server.deadline)
    if gateway.standing.failure is not None:
        raise gateway.standing.failure
    log.info("Stopped: %s", f"{unanswered} records without an answer from Kafka" if unanswered else "all is answered")
    return 1 if unanswered else 0


def _config(settings: ApiSettings, gateway: Gateway) -> uvicorn.Config:
    return uvicorn.Config(
        build(gateway),
        http=Connection,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        backlog=BACKLOG,
        limit_concurrency=settings.gateway_connections,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=max(1, round(settings.drain_s)),
    )


def _tell(settings: ApiSettings, listening: socket.socket) -> None:
    log.info(
        "Velox %s: gateway on http://%s (/predict, /inference, /v1; /docs), requests to %s",
        __version__,
        address(listening),
        settings.kafka_bootstrap_server,
    )
    who = "whoever has an API key" if asks_for_keys(settings) else f"everybody who reaches {settings.gateway_host}"
    log.info("It answers %s (AUTH=%s)", who, settings.auth)


def _close(gateway: Gateway, asker: Asker, deadline: Deadline) -> int:
    gateway.standing.close()
    unanswered = asker.close(deadline)
    gateway.executor.shutdown(wait=True, cancel_futures=True)
    gateway.store.close()
    if gateway.spans:
        gateway.spans.close()
    return unanswered
