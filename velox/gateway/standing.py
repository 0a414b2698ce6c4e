"""Whether the gateway can accept anything: opens the store, makes the topics, and asks both how they are."""

import logging
import threading
import time
from collections.abc import Callable
from math import inf
from typing import Final

from velox.core.deadline import Deadline
from velox.core.retries import backoff_s
from velox.core.seldom import Seldom
from velox.errors import SystemUnavailableError
from velox.gateway.access import asks_for_keys
from velox.gateway.models import Catalogue, Models, topics
from velox.gateway.pressure import Pressure
from velox.kafka.asking import Asker
from velox.kafka.topics import ensure_topic
from velox.metrics.gateway import GatewayMetrics
from velox.requests.store import RequestStore
from velox.settings.readers import ApiSettings

log = logging.getLogger(__name__)

_EVERY_S: Final = 1.0
_ANSWER_S: Final = 2.0
_TELL_EVERY_S: Final = 15.0
_EXPIRE_EVERY_S: Final = 30.0
_EXPIRE_MOST: Final = 1000
_STARTING: Final = "starting"


class Standing:
    """A thread that looks after the store and Kafka; what it finds may be asked from anywhere."""

    def __init__(
        self, settings: ApiSettings, store: RequestStore, asker: Asker, models: Catalogue, pressure: Pressure
    ) -> None:
        """Look at nothing yet."""
        self._settings = settings
        self._store = store
        self._asker = asker
        self._models = models
        self._pressure = pressure
        self._stopping = threading.Event()
        self._seldom = Seldom(_TELL_EVERY_S)
        self._expiring = Deadline(0)
        self._made: set[str] = set()
        """Topics that are there."""
        self._causes: dict[str, str | None] = {"store": _STARTING, "Kafka": _STARTING}
        self._thread = threading.Thread(target=self._run, name="standing", daemon=True)
        self.failure: Exception | None = None
        """What no waiting mends; the process has to end."""

    @property
    def is_kafka_connected(self) -> bool:
        """Say whether Kafka has answered lately."""
        return self._causes["Kafka"] is None

    @property
    def cause(self) -> str | None:
        """Say why nothing can be accepted now; None when it can."""
        causes = [f"{what}: {cause}" for what, cause in self._causes.items() if cause is not None]
        return "; ".join(causes) or None

    @property
    def is_alive(self) -> bool:
        """Say whether the thread runs."""
        return self._thread.is_alive()

    def start(self, metrics: GatewayMetrics, when_failed: Callable[[], None]) -> None:
        """Begin; ``when_failed`` is called on this thread when there is a ``failure``."""
        self._metrics = metrics
        self._when_failed = when_failed
        self._thread.start()

    def close(self) -> None:
        """Look no more. Safe also before ``start``."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(2 * _ANSWER_S)

    def _run(self) -> None:
        try:
            self._open()
            log.info("Ready: %s", ", ".join(self._models))
            while not self._stopping.wait(_EVERY_S):
                self._look()
        except Exception as error:  # noqa: BLE001 - it ends the process, by whoever waits for it
            self.failure = error
            self._when_failed()

    def _open(self) -> None:
        waits_s = backoff_s(cap_s=5)
        while not self._stopping.is_set():
            try:
                self._store.open()
                break
            except SystemUnavailableError as error:
                self._note("store", str(error))
                self._stopping.wait(next(waits_s))
        self._note("store", None)
        self._tell_of_keys()
        self._make_topics()
        if not self._stopping.is_set():
            self._look()

    def _tell_of_keys(self) -> None:
        """Say what to do when nobody can ask."""
        try:
            if asks_for_keys(self._settings) and not self._store.keys.are_there():
                log.warning(
                    "There is no API key in %s, so that nobody can ask: `velox key create NAME` makes one",
                    self._store.address,
                )
        except SystemUnavailableError as error:
            self._note("store", str(error))

    def _make_topics(self) -> None:
        """Have Kafka make the topics of models that were not there before."""
        for topic, partitions in {model.topic: model.partitions for model in self._models.values()}.items():
            if topic not in self._made:
                self._causes["Kafka"] = f"waiting for it to have the topic {topic}"
                like = self._settings.model_copy(update={"kafka_partitions": partitions})
                ensure_topic(like, topic, wait_s=inf, is_stopping=self._stopping.is_set)
                self._made.add(topic)

    def _look(self) -> None:
        if isinstance(self._models, Models):
            self._models.refresh()
            self._make_topics()
        try:
            self._expire()
            pending = self._store.pending()
        except SystemUnavailableError as error:
            self._note("store", str(error))
        else:
            self._note("store", None)
            self._pressure.counted(pending)
            for model in self._models:
                self._metrics.serves(model)
                self._metrics.pending.labels(model).set(pending.get(model, 0))
        try:
            for topic in topics(self._models)[:1]:
                self._asker.check(topic, _ANSWER_S)
        except SystemUnavailableError as error:
            self._note("Kafka", str(error))
        else:
            self._note("Kafka", None)
        self._metrics.ready.set(self.cause is None)

    def _expire(self) -> None:
        """Remove what has had its time, now and then; at once again while there is more of it."""
        if self._expiring.has_passed():
            removed = self._store.expire(time.time(), most=_EXPIRE_MOST)
            self._expiring = Deadline(0 if removed == _EXPIRE_MOST else _EXPIRE_EVERY_S)

    def _note(self, what: str, cause: str | None) -> None:
        before, self._causes[what] = self._causes[what], cause
        if cause is not None and (before in {None, _STARTING} or self._seldom.is_due(what)):
            log.warning("The %s is not there: %s; trying again", what, cause)
        elif cause is None and before not in {None, _STARTING} and what == "store":
            log.info("The %s is there", what)
