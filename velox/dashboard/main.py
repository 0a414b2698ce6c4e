"""The dashboard's life: take the port, serve until told to stop."""

import logging
from contextlib import closing
from functools import partial
from typing import Final

import uvicorn

from velox import __version__, logs
from velox.buckets import bucket
from velox.buckets.bucket import Bucket
from velox.dashboard.app import build
from velox.dashboard.feed import Feed, addresses
from velox.dashboard.letters import LettersOnTopic
from velox.dashboard.media import GetObject, Media
from velox.dashboard.parts import Parts
from velox.dashboard.queries import results
from velox.errors import BucketUnavailableError
from velox.kafka.lag import Observer
from velox.records import Pointer
from velox.settings import Settings
from velox.signals import StopRequest
from velox.tools.top.watch import Watch
from velox.web.connections import Connection
from velox.web.listening import address, listen

log = logging.getLogger(__name__)

_GRACE_S: Final = 1
"""Browsers that wait for news are let go; they ask again."""
_CONNECTIONS: Final = 500


def run(settings: Settings) -> int:
    """Serve until a signal comes.

    Raises:
        VeloxError: a setting is refused, or what it needs is not installed.
    """
    logs.configure(level=settings.log_level, form=settings.log_format, pipeline=settings.pipeline or "dashboard")
    logging.getLogger("uvicorn").setLevel(logging.WARNING)  # what it says of starting and stopping, we say
    parts = connect(settings)
    config = uvicorn.Config(
        build(parts),
        http=Connection,
        log_config=None,
        access_log=False,
        server_header=False,
        limit_concurrency=_CONNECTIONS,
        timeout_graceful_shutdown=_GRACE_S,
    )
    with (
        StopRequest(),
        closing(listen(settings.dashboard_host, settings.dashboard_port, settings="DASHBOARD")) as listening,
    ):
        log.info("Velox %s: dashboard on http://%s", __version__, address(listening))
        try:
            uvicorn.Server(config).run([listening])
        finally:
            parts.media.close()
            if parts.results is not None:
                parts.results.close()
    return 0


def connect(settings: Settings) -> Parts:
    """Make the parts and connect them; nothing is asked yet.

    Raises:
        SettingsError: what reads the store or the bucket is not installed.
    """
    found = results(settings)
    watch = Watch(addresses(settings.dashboard_consumers, settings.metrics_port))
    store = bucket(settings)
    folder = settings.storage_path if "disk" in settings.sinks and not settings.storage_url else None
    return Parts(
        settings=settings,
        results=found,
        feed=Feed(watch, found),
        media=Media(settings, partial(Observer, settings), folder=folder, get_object=_getter(store)),
        letters=LettersOnTopic(settings),
    )


def _getter(store: Bucket | None) -> GetObject | None:
    if store is None:
        return None

    def get(pointer: Pointer, most_bytes: int) -> bytes:
        try:
            return store.get(pointer, most_bytes=most_bytes)
        except BucketUnavailableError:  # not opened yet, or away since: one more try
            store.open()
            return store.get(pointer, most_bytes=most_bytes)

    return get
