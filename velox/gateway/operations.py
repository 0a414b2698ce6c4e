"""How the gateway is, for whoever runs it: /health, /livez, /readyz, /metrics."""

from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.responses import JSONResponse

from velox import __version__
from velox.gateway.parts import Here
from velox.gateway.schemas import Health
from velox.gateway.watching import exposition

router = APIRouter(tags=["operations"])


@router.get("/health", response_model=Health)
async def health(gateway: Here) -> dict[str, Any]:
    """Say whether requests can be taken; always 200."""
    return {
        "service": "velox-gateway",
        "status": "healthy" if gateway.standing.cause is None else "degraded",
        "version": __version__,
        "kafka_connected": gateway.standing.is_kafka_connected,
    }


@router.get("/livez", response_class=JSONResponse, responses={503: {"description": "A restart would mend it"}})
async def livez(gateway: Here) -> Response:
    """Say whether a restart would mend nothing."""
    return _claim(
        "live", None if gateway.standing.is_alive else "the thread that looks after store and Kafka has ended"
    )


@router.get("/readyz", response_class=JSONResponse, responses={503: {"description": "Store or Kafka do not answer"}})
async def readyz(gateway: Here) -> Response:
    """Say whether requests can be taken, and if not, why."""
    return _claim("ready", gateway.standing.cause)


@router.get("/metrics", response_class=Response)
async def metrics(gateway: Here, request: Request) -> Response:
    """Answer the metrics, for Prometheus."""
    return exposition(gateway.metrics, request)


def _claim(what: str, cause: str | None) -> Response:
    if cause is None:
        return JSONResponse({what: True})
    return JSONResponse({what: False, "cause": cause}, 503)
