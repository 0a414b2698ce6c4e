"""The web application: all routes over the parts."""

from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any, Final

from fastapi import FastAPI
from starlette.types import ASGIApp

from velox import __version__, spans
from velox.gateway import batches, deliveries, inference, operations, predict, problems, secrets, v1
from velox.gateway.access import Access, describe
from velox.gateway.keychain import Keychain
from velox.gateway.models import Catalogue
from velox.gateway.parts import Gateway
from velox.gateway.pressure import Pressure
from velox.gateway.reading import Reading
from velox.gateway.schemas import Detail
from velox.gateway.standing import Standing
from velox.gateway.submitting import Submitting
from velox.gateway.tracing import Tracing
from velox.gateway.waiting import Waiting
from velox.gateway.watching import Watching
from velox.kafka.asking import Asker
from velox.metrics.gateway import GatewayMetrics
from velox.requests.store import RequestStore
from velox.settings.readers import ApiSettings

_STORE_THREADS: Final = 6
"""One enters, one looks, one refuses, and some are left for lists and deletions."""

_REFUSALS: Final[dict[int | str, dict[str, Any]]] = {
    401: {"model": Detail, "description": "No API key that is good"},
    403: {"model": Detail, "description": "The API key lacks the scope"},
    429: {"model": Detail, "description": "Too often, or too many requests are pending"},
}

_DESCRIPTION: Final = """\
Ask models for predictions and get the answers when they are there: by asking again, by waiting, as a stream of events,
or by a webhook. What was accepted is in Kafka, and is answered though processes die in between.
"""


def connect(settings: ApiSettings, store: RequestStore, asker: Asker, models: Catalogue) -> Gateway:
    """Make the parts and connect them; nothing runs yet."""
    metrics = GatewayMetrics()
    pressure = Pressure(settings.max_pending, most_bytes=settings.producer_max_lag_bytes)
    executor: Executor = ThreadPoolExecutor(_STORE_THREADS, thread_name_prefix="store")
    return Gateway(
        settings=settings,
        store=store,
        executor=executor,
        models=models,
        submitting=Submitting(store, asker, pressure, metrics, executor=executor, result_ttl_s=settings.result_ttl_s),
        waiting=Waiting(store, metrics, executor=executor, interval_s=settings.look_interval_ms / 1000),
        standing=Standing(settings, store, asker, models, pressure),
        metrics=metrics,
        spans=spans.connect(settings, "gateway"),
    )


def build(gateway: Gateway) -> ASGIApp:
    """Make the application."""
    app = FastAPI(
        title="Velox gateway",
        version=__version__,
        description=_DESCRIPTION,
        max_body_size=gateway.settings.max_body_bytes,
    )
    app.state.gateway = gateway
    for each in (predict, inference):
        app.include_router(each.router, responses=_REFUSALS)
    for each in (v1, batches, deliveries, secrets):
        app.include_router(each.router, responses=v1.problems(401, 403, 429))
    app.include_router(operations.router)
    problems.handle(app)
    describe(app)
    keychain = Keychain(gateway.store.keys.find, executor=gateway.executor)
    reading = Reading(app, gateway.settings.max_body_bytes)
    return Tracing(Watching(Access(reading, gateway.settings, keychain), gateway.metrics), gateway.spans)
