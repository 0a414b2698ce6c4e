"""The life of a webhook worker: open the store, deliver until told to stop, drain."""

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from time import monotonic
from typing import Final

from velox import __version__, failpoints, logs
from velox.core.addresses import Allowed
from velox.core.deadline import Deadline
from velox.core.proxies import Proxy
from velox.core.retries import backoff_s
from velox.core.signing_keys import signing_keys
from velox.errors import StoreUnavailableError
from velox.metrics.webhooks import WebhookMetrics
from velox.probes import ProbeServer
from velox.requests.store import RequestStore
from velox.settings.readers import DeliverySettings
from velox.signals import StopRequest
from velox.spans import connect
from velox.webhooks.claims import Claims, Terms
from velox.webhooks.delivery import Delivery
from velox.webhooks.pinning import Pinned
from velox.webhooks.signing import Signer
from velox.webhooks.tracing import traced
from velox.webhooks.tunnel import Tunnel

log = logging.getLogger(__name__)

_LOOK_S: Final = 0.2
"""How often the request to stop is looked at."""
_STUCK_S: Final = 90.0
"""A loop that has not turned for so long never will: every call of the store is over long before."""


def run(settings: DeliverySettings) -> int:
    """Deliver until a signal comes.

    Returns:
        0 when every attempt that was begun is noted, 1 when some were broken off; those are made again.

    Raises:
        SettingsError: the store's address is none, or its tables are of another version.
    """
    logs.configure(level=settings.log_level, form=settings.log_format)
    failpoints.arm()
    metrics = WebhookMetrics()
    store = RequestStore(settings.requests_url.get_secret_value())
    log.info("Velox %s: webhooks, %d at the same time", __version__, settings.webhook_concurrency)
    with StopRequest() as stop, closing(store), closing(ProbeServer(settings.metrics_port, metrics.registry)) as probes:
        return asyncio.run(_serve(settings, store, metrics, probes, stop))


def lease_s(settings: DeliverySettings) -> float:
    """How long a delivery is a worker's own: twice what an attempt can take, so that there is time to note it."""
    return 2 * settings.webhook_timeout_s + 2


async def _serve(
    settings: DeliverySettings, store: RequestStore, metrics: WebhookMetrics, probes: ProbeServer, stop: StopRequest
) -> int:
    concurrency = settings.webhook_concurrency
    # On these, names are asked for: the loop's own are too few for resolvers that hang.
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(concurrency, thread_name_prefix="names"))
    proxy = Proxy.parse(settings.webhook_proxy.get_secret_value())
    delivery = Delivery(
        Pinned(Allowed.of(settings.webhook_allow), dial=Tunnel(proxy) if proxy else None),
        Signer(signing_keys(settings.webhook_secret.get_secret_value())),
        timeout_s=settings.webhook_timeout_s,
        connections=concurrency,
    )
    terms = Terms(ladder_s=settings.webhook_ladder_s, concurrency=concurrency, lease_s=lease_s(settings))
    spans = connect(settings, "webhooks")
    claims = Claims(store, traced(delivery.deliver, spans) if spans else delivery.deliver, terms, metrics)
    probes.serve(
        live=lambda: None if stop.is_made() else _stuck(claims),
        ready=lambda: "draining" if stop.is_made() else claims.cause,
    )
    stopping = asyncio.Event()
    watching = asyncio.create_task(_watch(stop, stopping))
    try:
        await _open(store, claims, stopping)
        await claims.run(stopping)
        log.info("Stopping")
        started = monotonic()
        left = await claims.drain(Deadline(settings.drain_s), stop.is_urgent)
        log.info("Drained in %.1f s, %d attempts left to be made again", monotonic() - started, left)
    finally:
        watching.cancel()
        await delivery.close()
        if spans:
            spans.close()
    return 1 if left else 0


async def _open(store: RequestStore, claims: Claims, stopping: asyncio.Event) -> None:
    """Open the store, however long that takes; alive all the while, and not ready."""
    for wait_s in backoff_s(cap_s=5.0):
        if stopping.is_set():
            return
        try:
            await asyncio.to_thread(store.open)
        except StoreUnavailableError as error:
            claims.note_down(error)
            await asyncio.sleep(wait_s)
        else:
            return


async def _watch(stop: StopRequest, stopping: asyncio.Event) -> None:
    while not stop.is_made():
        await asyncio.sleep(_LOOK_S)
    stopping.set()


def _stuck(claims: Claims) -> str | None:
    stood_s = monotonic() - claims.turned_at
    return f"has not turned for {stood_s:.0f} s" if stood_s > _STUCK_S else None
