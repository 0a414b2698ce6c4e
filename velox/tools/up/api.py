"""The API from one command: a broker, the gateway, its models and webhooks, on this machine alone."""

import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, TextIO

from velox import logs
from velox.children import Child
from velox.core.deadline import Deadline
from velox.errors import ModelError, StoreUnavailableError, VeloxError
from velox.kafka.embedded import EmbeddedBroker
from velox.metrics.gateway import GatewayMetrics
from velox.model_reports import read_reports
from velox.requests.store import RequestStore
from velox.settings import Settings, handed_on
from velox.settings.models import read_models
from velox.signals import StopRequest
from velox.tools.up.environment import as_environment, broker_changes
from velox.tools.up.output import LOG_PATH, open_log
from velox.tools.up.scraping import Scraper, by
from velox.tools.up.training import train_if_missing

log = logging.getLogger(__name__)

_TICK_S: Final = 0.25
_TELL_EVERY_S: Final = 5.0
_READY_WITHIN_S: Final = 60.0
_EXIT_MARGIN_S: Final = 20.0


def run(settings: Settings, *, for_s: float | None = None) -> int:
    """Serve the models of MODELS_PATH until a signal comes, or for so long once the API is ready; then drain.

    Returns:
        0 when every process ended well and every request has its answer, else 1.

    Raises:
        VeloxError: the API cannot run; the message says which part, and what it said.
    """
    logs.configure(level=settings.log_level, form=settings.log_format)
    loaded = {entry.name: entry.load() for entry in read_models(settings.models_path).values() if not entry.same_as}
    topics = {topic for each in loaded.values() for topic in each.topics.values()}
    with StopRequest() as stop, open_log() as log_file, EmbeddedBroker(sorted(topics)) as broker:
        for name, each in loaded.items():
            _prepare(name, each, read_models(settings.models_path)[name].env_file, stop)
        if stop.is_made():
            return 1
        changed = broker_changes(settings, bootstrap=broker.start()) | {"metrics_port": 0}
        log.info("Embedded broker on %s; processes log to %s", changed["kafka_bootstrap_server"], LOG_PATH)
        served = _Served(settings, as_environment(changed), log_file)
        try:
            return 0 if served.go(stop, for_s) else 1
        finally:
            served.close()


def _prepare(name: str, settings: Settings, env_file: Path, stop: StopRequest) -> None:
    """Write a model's files where they are missing; what cannot be had costs only this model."""
    try:
        train_if_missing(settings, stop, handed_on({"VELOX_ENV_FILE": str(env_file)}))
    except ModelError as error:
        log.warning("Model %s will not answer: %s", name, error)


class _Served:
    """The processes, in the direction of flow. Used by the main thread."""

    def __init__(self, settings: Settings, environment: dict[str, str], log_file: TextIO) -> None:
        self._settings = settings
        self._address = f"{settings.gateway_host}:{settings.gateway_port}"
        self._gateway = Child("gateway", environment, log_file, _trouble)
        self._models = Child("consume --models all", environment, log_file, _trouble)
        self._webhooks = Child("webhooks", environment, log_file, _trouble)
        self._scraper = Scraper(settings.gateway_port, settings.gateway_host)
        self._store = RequestStore(settings.requests_url.get_secret_value())
        self._accepted = 0
        self._told = ""
        self._tell_at = 0.0

    def go(self, stop: StopRequest, for_s: float | None) -> bool:
        """Start, serve, drain; say whether all ended well and all is answered."""
        self._store.open()
        left_over = sum(self._store.pending().values())
        if left_over:
            log.warning("%d requests of earlier runs have no answer, and their records are gone: ask again", left_over)
        for child in (self._gateway, self._models, self._webhooks):
            child.start()
        self._wait_until_ready(stop)
        deadline = Deadline(for_s) if for_s is not None else None
        while not stop.is_made() and not (deadline and deadline.has_passed()):
            self._step()
        return self._drain(stop, left_over)

    def close(self) -> None:
        """End whatever still runs, at once."""
        for child in (self._gateway, self._models, self._webhooks):
            child.close()
        self._store.close()

    def _wait_until_ready(self, stop: StopRequest) -> None:
        deadline = Deadline(_READY_WITHIN_S)
        while not stop.is_made() and (why := self._scraper.unready_because()) is not None:
            if deadline.has_passed():
                msg = f"the gateway was not ready within {_READY_WITHIN_S:.0f} s ({why}); see {LOG_PATH}"
                raise VeloxError(msg)
            self._step()
        if not stop.is_made():
            log.info("The API is on http://%s; its documentation on http://%s/docs. Try:", self._address, self._address)
            log.info(
                "curl -X POST http://%s/predict -H 'Content-Type: application/json' -d '%s'",
                self._address,
                '{"text": "I love this product!"}',
            )

    def _step(self) -> None:
        time.sleep(_TICK_S)
        for child in (self._gateway, self._models, self._webhooks):
            if child.exit_code is not None:
                raise child.ended("while the API was served")
        self._tell()

    def _tell(self) -> None:
        """Say now and then what was asked and answered, when that has changed."""
        page = self._scraper.samples()
        if page is not None:
            outcomes = by("outcome", page.get(GatewayMetrics.requests.name, {}))
            self._accepted = int(outcomes.get("accepted", 0))
        states = {name: reports[0].state for name, reports in read_reports(self._settings.models_path).items()}
        now = f"{self._accepted} requests accepted; models: {_listed(states)}"
        if states and now != self._told and time.monotonic() >= self._tell_at:
            self._told, self._tell_at = now, time.monotonic() + _TELL_EVERY_S
            log.info("%s", now)

    def _drain(self, stop: StopRequest, left_over: int) -> bool:
        """Stop accepting, have all answered, then stop who answers and who delivers."""
        self._tell()
        ended = self._stop([self._gateway], stop)
        pending = self._wait_for_answers(stop, left_over)
        ended = self._stop([self._models, self._webhooks], stop) and ended
        log.info("Accepted %d = answered %d + pending %d", self._accepted, self._accepted - pending, pending)
        return ended and not pending

    def _wait_for_answers(self, stop: StopRequest, left_over: int) -> int:
        """Wait as long as there is progress; answer how many are missing."""
        pending, deadline = self._pending(left_over), Deadline(self._settings.drain_s)
        while pending and not deadline.has_passed() and not stop.is_urgent():
            time.sleep(_TICK_S)
            now = self._pending(left_over)
            if now < pending:
                deadline = Deadline(self._settings.drain_s)
            pending = now
        return pending

    def _pending(self, left_over: int) -> int:
        try:
            return max(0, sum(self._store.pending().values()) - left_over)
        except StoreUnavailableError as error:
            log.warning("%s", error)
            return 1

    def _stop(self, children: Sequence[Child], stop: StopRequest) -> bool:
        """Ask them to finish, once: a second time would mean at once."""
        for child in children:
            child.terminate()
        deadline = Deadline(self._settings.drain_s + _EXIT_MARGIN_S)
        while any(child.exit_code is None for child in children):
            if deadline.has_passed() or stop.is_urgent():
                break
            time.sleep(_TICK_S)
        for child in children:
            if child.exit_code is None:
                log.error("`velox %s` did not end in time", child.name)
            elif child.exit_code:
                log.error("`velox %s` ended with exit code %s; see %s", child.name, child.exit_code, LOG_PATH)
        return not any(child.exit_code != 0 for child in children)


def _listed(states: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {state}" for name, state in states.items())


def _trouble(name: str, message: str) -> None:
    log.warning("[%s] %s", name, message)
