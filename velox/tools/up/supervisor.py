"""The whole pipeline from one command: broker, training, producer, consumer, and the account at the end."""

import logging
import time
from pathlib import Path
from typing import Final

from velox import logs
from velox.cameras.config import camera_topics
from velox.children import Child
from velox.core.cameras import CAMERAS, CONTROL_TOPIC, THUMBS_TOPIC
from velox.core.deadline import Deadline
from velox.core.subscription import Subscription, expand
from velox.errors import SettingsError, VeloxError
from velox.kafka.embedded import EmbeddedBroker
from velox.settings import Settings
from velox.signals import StopRequest
from velox.sources import check_codec
from velox.tools.up import view
from velox.tools.up.environment import as_environment, changes
from velox.tools.up.output import LOG_PATH, open_log
from velox.tools.up.page import Page
from velox.tools.up.picture import Recorded
from velox.tools.up.pipeline import Pipeline
from velox.tools.up.training import train_if_missing

log = logging.getLogger(__name__)

_TICK_S: Final = 0.25
"""How often the view is drawn and the processes are looked after."""
_READY_MARGIN_S: Final = 60.0
_EXIT_MARGIN_S: Final = 10.0


class _Urgent(Exception):  # noqa: N818 - not an error: somebody asked for it
    """A second signal: stop at once."""


def run(
    settings: Settings,
    *,
    for_s: float | None = None,
    topics: str | None = None,
    record: Path | None = None,
    dashboard: bool = True,
) -> int:
    """Run until a signal comes, the source ends, or ``for_s`` seconds after the first record is done; then drain.

    Args:
        settings: the user's; those that an embedded broker asks for are changed.
        for_s: None = until the source ends.
        topics: names of the topics that the broker begins with, where KAFKA_TOPIC is a pattern.
        record: an SVG file: the view as it was at last while the pipeline ran; None = none is written.
        dashboard: serve the page too, where what that needs is installed.

    Returns:
        0 when every process ended well and the counts add up, else 1.

    Raises:
        VeloxError: the pipeline cannot run; the message says which part, and what it said.
    """
    check_codec(settings, settings.source)
    has_cameras = settings.source == CAMERAS
    records = camera_topics(settings) if has_cameras and not topics else _records(settings.subscription, topics)
    logs.configure(level=settings.log_level, form=settings.log_format)
    all_topics = [*records, *(name for setting, name in settings.topics.items() if setting != "KAFKA_TOPIC")]
    all_topics += (CONTROL_TOPIC, THUMBS_TOPIC) if has_cameras else ()
    if has_cameras and settings.bucket_folder:  # the consumer waits for it, and the cameras for the consumer
        Path(settings.bucket_folder).mkdir(parents=True, exist_ok=True)
    with StopRequest() as stop, open_log() as log_file, EmbeddedBroker(all_topics) as broker:
        train_if_missing(settings, stop)
        if stop.is_made():
            return 1
        changed = changes(settings, bootstrap=broker.start())
        settings = settings.model_copy(update=changed)
        environment = as_environment(changed)
        pipeline = Pipeline(settings, records, environment, log_file)
        log.info("Embedded broker on %s; processes log to %s", settings.kafka_bootstrap_server, LOG_PATH)
        page = Page(settings, environment, log_file) if dashboard else None
        try:
            if page:
                page.start()
            with _choose(settings, record) as shown:
                ended_well = _Run(settings, pipeline, shown, stop).go(for_s)
            return 0 if _summarise(pipeline, settings) and ended_well else 1
        except _Urgent:
            log.warning("Stopped at once: nothing was drained, nothing was counted")
            return 1
        finally:
            pipeline.close()
            if page:
                page.close()


def _choose(settings: Settings, record: Path | None) -> view.View:
    places = _places(settings)
    chosen = view.choose(settings, places)
    return Recorded(chosen, record, places) if record else chosen


def _records(subscription: Subscription, topics: str | None) -> tuple[str, ...]:
    """Name the topics of the records: those that are to be there match the pattern."""
    if subscription.names:
        if topics:
            msg = f"--topics {topics}: KAFKA_TOPIC={subscription} names its topics itself; leave --topics out"
            raise SettingsError(msg)
        return subscription.names
    if not topics:
        remedy = "say which it begins with, as in --topics 'camera_{1..20}'"
        msg = f"KAFKA_TOPIC={subscription} is a pattern, and the embedded broker has no topics yet: {remedy}"
        raise SettingsError(msg)
    try:
        names = expand(topics)
    except ValueError as error:
        msg = f"--topics {topics}: {error}"
        raise SettingsError(msg) from None
    if other := next((name for name in names if not subscription.takes(name)), None):
        msg = f"--topics {topics}: {other} does not match KAFKA_TOPIC={subscription}, and would never be read"
        raise SettingsError(msg)
    return names


class _Run:
    """One run through the phases, in the direction of flow."""

    def __init__(self, settings: Settings, pipeline: Pipeline, shown: view.View, stop: StopRequest) -> None:
        self._drain_s = settings.drain_s
        self._ready_within_s = settings.inference_start_timeout_s + _READY_MARGIN_S
        self._pipeline = pipeline
        self._view = shown
        self._stop = stop

    def go(self, for_s: float | None) -> bool:
        """Start, run, drain; say whether both processes ended as they should."""
        pipeline = self._pipeline
        pipeline.consumer.start()
        self._wait_until_ready()
        if not self._stop.is_made():
            pipeline.producer.start()
            self._produce(for_s)
        # Every step is taken, whatever came of the one before.
        return all([self._stop_producer(), self._catch_up(), self._stop_consumer()])

    def _wait_until_ready(self) -> None:
        deadline = Deadline(self._ready_within_s)
        while not self._pipeline.is_ready and not self._stop.is_made():
            if deadline.has_passed():
                why = self._pipeline.unready_because()
                msg = f"the consumer was not ready within {self._ready_within_s:.0f} s ({why}); see {LOG_PATH}"
                raise VeloxError(msg)
            self._step()

    def _produce(self, for_s: float | None) -> None:
        """Let it run; the time counts from the first record that is done."""
        self._pipeline.state = "running"
        deadline: Deadline | None = None
        while not self._stop.is_made() and self._pipeline.producer.exit_code is None:
            if deadline and deadline.has_passed():
                return
            now = self._step()
            if (now.predicted or now.dead_lettered) and for_s is not None and deadline is None:
                deadline = Deadline(for_s)

    def _stop_producer(self) -> bool:
        self._pipeline.state = "stopping the producer"
        producer = self._pipeline.producer
        if not producer.is_started:
            return True
        producer.terminate()
        return self._ends_well(producer, revive=True)

    def _catch_up(self) -> bool:
        """Wait until all is read, as long as there is progress; a consumer that was started again gets time to load."""
        self._pipeline.state = "reading the rest"
        last = self._step()
        is_loading = self._pipeline.unready_because() is not None
        deadline = Deadline(self._ready_within_s if is_loading else self._drain_s)
        while last.unread:
            now = self._step()
            if now.restarts > last.restarts:
                deadline = Deadline(self._ready_within_s)
            elif now.unread < last.unread:
                deadline = Deadline(self._drain_s)
            elif deadline.has_passed():
                log.error("%d records unread, and no progress: is a sink down? See %s", now.unread, LOG_PATH)
                return False
            last = now
        return True

    def _stop_consumer(self) -> bool:
        self._pipeline.state = "stopping the consumer"
        consumer = self._pipeline.consumer
        consumer.terminate()
        return self._ends_well(consumer, revive=False)

    def _ends_well(self, child: Child, *, revive: bool) -> bool:
        deadline = Deadline(self._drain_s + _EXIT_MARGIN_S)
        while child.exit_code is None:
            if deadline.has_passed():
                log.error("`velox %s` did not end within %.0f s", child.name, self._drain_s + _EXIT_MARGIN_S)
                return False
            self._step(revive=revive)
        if child.exit_code:
            log.error("`velox %s` ended with exit code %s", child.name, child.exit_code)
        return child.exit_code == 0

    def _step(self, *, revive: bool = True) -> view.Snapshot:
        if self._stop.is_urgent():
            raise _Urgent
        time.sleep(_TICK_S)
        snapshot = self._pipeline.look(revive=revive)
        self._view.show(snapshot)
        return snapshot


def _summarise(pipeline: Pipeline, settings: Settings) -> bool:
    """Say what came of it, and whether the counts add up."""
    balance = pipeline.balance()
    p50, p95 = ("–" if s is None else f"{s * 1000:.0f} ms" for s in (pipeline.latency_s(0.5), pipeline.latency_s(0.95)))
    log.info("Produced %d = %s", balance.produced, balance.parts)
    images = "" if balance.images is None else f", {balance.images} images"
    log.info("%d detections%s in %s", balance.detections, images, _places(settings))
    log.info("Latency p50 %s, p95 %s from producing to stored; consumer restarts %d", p50, p95, pipeline.restarts)
    problems = balance.problems()
    for problem in problems:
        log.error("The counts do not add up: %s", problem)
    return not problems


def _places(settings: Settings) -> str:
    places = {
        "sqlite": f"{settings.sqlite_path} (table predictions)",
        "disk": f"{settings.storage_place}/",
        "mongo": f"{settings.db_name}.{settings.mongo_collection}",
    }
    return ", ".join(places.get(name, name) for name in settings.sinks)
