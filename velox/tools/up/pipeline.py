"""Producer and consumer as processes around an embedded broker: started, watched, counted."""

import logging
from collections.abc import Sequence
from pathlib import Path
from time import monotonic
from typing import Final, TextIO

from velox.children import Child
from velox.kafka.dead_letters import dead_letter_topic
from velox.kafka.lag import Observer
from velox.kafka.letter_topic import letter_headers
from velox.settings import Settings
from velox.tools.up.results import StoredResults
from velox.tools.up.scraping import Scraper, quantile
from velox.tools.up.tally import Balance, Lives, lost, unread
from velox.tools.up.view import Snapshot
from velox.tools.up.window import Window

log = logging.getLogger(__name__)

MAX_RESTARTS: Final = 5
_RECENT: Final = 5
_READ_S: Final = 20.0


class Pipeline:
    """What ``velox up`` runs. One thread, the main one, uses it; ``look`` is to be called several times a second."""

    def __init__(
        self, settings: Settings, topics: Sequence[str], environment: dict[str, str], log_file: TextIO
    ) -> None:
        """Plan it all by the settings its processes get, and the topics that its records are in."""
        self.state = "starting the consumer"
        self.is_ready = False
        self.first_detection_s: float | None = None
        self.restarts = 0
        self.producer = Child("produce", environment, log_file, _trouble)
        self.consumer = Child("consume", environment, log_file, _trouble)
        self._settings = settings
        self._topics = topics
        self._observer = Observer(settings)
        self._scraper = Scraper(settings.metrics_port)
        self._stored = StoredResults(settings.sqlite_path) if "sqlite" in settings.sinks else None
        self._lives = Lives()
        self._window = Window()
        self._reported_lost = 0
        self._started_at = monotonic()

    def look(self, *, revive: bool = True) -> Snapshot:
        """Take stock: what is where, is anything lost, is the consumer alive; start it again if it is not.

        Raises:
            VeloxError: the consumer cannot be kept alive.
        """
        if revive and self.consumer.exit_code is not None:
            self._revive()
        scrape = self._scraper.scrape()
        if scrape:
            self._lives.saw(scrape)
        self.is_ready = self.is_ready or self.unready_because() is None
        extents = self._observer.extents(*self._topics)
        committed = self._observer.committed(list(extents))
        self._report(lost(extents, committed))
        total = self._lives.total
        produced = sum(extent.high for extent in extents.values())
        self._window.saw(produced=produced, predicted=total.predicted, latency=total.end_to_end)
        latency = self._window.latency()
        recent = self._stored.detections(most=_RECENT) if self._stored and total.detections else []
        if recent and self.first_detection_s is None:
            self.first_detection_s = monotonic() - self._started_at
            label, confidence, path = recent[-1]
            where = f" {path}" if path else ""
            log.info("First detection after %.1f s: %s (%.2f)%s", self.first_detection_s, label, confidence, where)
        return Snapshot(
            state=self.state,
            running_s=monotonic() - self._started_at,
            produced=produced,
            predicted=total.predicted,
            dead_lettered=total.dead_lettered,
            detections=total.detections,
            unread=unread(extents, committed),
            restarts=self.restarts,
            rates=self._window.rates(),
            latency_s=(quantile(0.5, latency), quantile(0.95, latency)),
            recent=recent,
            texts=self._stored.texts(most=_RECENT) if self._stored and self._settings.store_text else (),
        )

    def unready_because(self) -> str | None:
        """Say what the consumer waits for, None when it is ready."""
        return self._scraper.unready_because()

    def latency_s(self, q: float) -> float | None:
        """Estimate a quantile of the whole run's latencies, from the producer's timestamp until stored."""
        return quantile(q, self._lives.total.end_to_end)

    def balance(self) -> Balance:
        """Draw up the final account, once all processes have ended.

        Raises:
            BrokerUnavailableError: the broker does not answer any more.
        """
        extents = self._observer.extents(*self._topics)
        committed = self._observer.committed(list(extents))
        total = self._lives.total
        everything_is_stored = self._stored is not None and self._settings.store == "all"
        detections = self._stored.detections() if self._stored else None
        return Balance(
            produced=sum(extent.high for extent in extents.values()),
            predicted=self._stored.count() if self._stored and everything_is_stored else total.predicted,
            dead_letters=self._dead_letters(),
            dropped=total.dropped,
            unread=unread(extents, committed),
            lost=lost(extents, committed),
            detections=total.detections if detections is None else len(detections),
            images=self._images([d.file_path for d in detections]) if detections is not None else None,
        )

    def close(self) -> None:
        """End whatever still runs, at once."""
        self.producer.close()
        self.consumer.close()
        self._observer.close()

    def _revive(self) -> None:
        code = self.consumer.exit_code
        self._lives.ended()
        self.consumer.close()
        if not self.is_ready or self.restarts == MAX_RESTARTS:
            why = "before it was ready" if not self.is_ready else f"after {MAX_RESTARTS} restarts"
            raise self.consumer.ended(why)
        self.restarts += 1
        log.warning("The consumer ended with exit code %s: start %d of %d again", code, self.restarts, MAX_RESTARTS)
        self.consumer.start()

    def _report(self, lost_records: int) -> None:
        if lost_records > self._reported_lost:
            self._reported_lost = lost_records
            log.error("LOST %d records: the embedded broker dropped them before they were read", lost_records)

    def _dead_letters(self) -> int:
        """Count the records on the dead-letter topic; one that a killed consumer wrote twice counts once."""
        topic = dead_letter_topic(self._settings)
        dropped = sum(extent.low for extent in self._observer.extents(topic).values())
        ids = {dict(letter_headers(m)).get("velox-dlq-id") for m in self._observer.read_all(topic, within_s=_READ_S)}
        return dropped + len(ids - {None})  # what `velox dlq` adds has no id

    def _images(self, paths: list[str]) -> int | None:
        settings = self._settings
        if "disk" not in settings.sinks or settings.max_stored_files or settings.storage_url:
            return None
        return sum(Path(path).exists() for path in paths)


def _trouble(name: str, message: str) -> None:
    log.warning("%s: %s", name, message)
