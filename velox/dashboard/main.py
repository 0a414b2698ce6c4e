"""The dashboard's life: take the port, serve until told to stop."""

import logging
from contextlib import closing
from functools import partial
from typing import Final

import uvicorn

from velox import __version__, logs
from velox.buckets import bucket
from velox.buckets.bucket import Bucket
from velox.cameras.main import processes
from velox.dashboard.app import build
from velox.dashboard.feed import Feed, addresses
from velox.dashboard.letters import LettersOnTopic
from velox.dashboard.media import GetObject, Media
from velox.dashboard.parts import Parts
from velox.dashboard.queries import results
from velox.dashboard.wall import CamerasOnTopic, Wall, follow
from velox.errors import BucketUnavailableError, SettingsError
from velox.kafka.lag import Observer
from velox.records import Pointer
from velox.settings import Settings
from velox.signals import StopRequest
from velox.tools.top.watch import Watch
from velox.tools.up.scraping import Scraper
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
    store = bucket(settings)
    folder = settings.storage_path if "disk" in settings.sinks and not settings.storage_url else None
    asked = addresses(settings.dashboard_consumers, settings.metrics_port)
    media = Media(settings, partial(Observer, settings), folder=folder, get_object=_getter(store))
    return Parts(
        settings=settings,
        results=found,
        feed=Feed(Watch(asked), found),
        media=media,
        letters=LettersOnTopic(settings),
        wall=Wall(follow(settings), _reading(settings), [Scraper(at.port, at.host) for at in asked], results=found),
        cameras=CamerasOnTopic(settings, media.newest),
    )


def _reading(settings: Settings) -> list[Scraper]:
    """Say where the processes that read cameras serve their metrics, on this machine."""
    try:
        count = processes(settings) if settings.cameras_file.exists() else 1
    except SettingsError as error:
        log.warning("%s: the wall asks one process alone", error)
        count = 1
    return [Scraper(settings.cameras_port + number) for number in range(count)]


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
