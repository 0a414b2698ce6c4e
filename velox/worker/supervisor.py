"""Starts a consumer for each model, starts those again that end, and follows the changes of ``models.toml``."""

import logging
import sys
import time
from collections.abc import Collection
from time import monotonic
from typing import Final, TextIO

from velox import logs
from velox.core.deadline import Deadline
from velox.errors import SettingsError
from velox.model_reports import Reporter
from velox.settings import FleetSettings
from velox.settings.models import ModelEntry
from velox.signals import StopRequest
from velox.worker.catalogue import Catalogue, Wanted
from velox.worker.member import Member, Ports
from velox.worker.place import Place

log = logging.getLogger(__name__)

_TICK_S: Final = 0.5
_REPORT_EVERY_S: Final = 3.0
_READY_MARGIN_S: Final = 60.0
_EXIT_MARGIN_S: Final = 15.0


def run(settings: FleetSettings, names: Collection[str] | None) -> int:
    """Serve these models, or all of the file, until a signal comes; then drain them.

    Returns:
        0 when every member ended well, else 1.

    Raises:
        SettingsError: ``models.toml`` cannot be read, which is only logged once this runs; or GROUP_INSTANCE_ID is set.
    """
    if settings.group_instance_id != "none":
        msg = (
            f"GROUP_INSTANCE_ID={settings.group_instance_id}: several models cannot share it, nor can a model and its "
            "successor; leave it out"
        )
        raise SettingsError(msg)
    logs.configure(level=settings.log_level, form=settings.log_format, pipeline="models")
    fleet = Fleet(settings, Catalogue(settings.models_path, names), sys.stdout)
    with StopRequest() as stop:
        log.info("Models of %s: %s", settings.models_path, ", ".join(fleet.wanted) or "none yet")
        try:
            while not stop.is_made():
                fleet.step()
                time.sleep(_TICK_S)
            return 0 if fleet.drain(stop) else 1
        finally:
            fleet.close()


class Fleet:
    """The models' places. Used by one thread, the main one."""

    def __init__(self, settings: FleetSettings, catalogue: Catalogue, output: TextIO) -> None:
        """Read what is wanted.

        Raises:
            SettingsError: the file cannot be read.
        """
        self._settings = settings
        self._catalogue = catalogue
        self._output = output
        self._ports = Ports(settings.metrics_port)
        self._places: dict[str, Place] = {}
        self._reporter = Reporter(settings.models_path, settings.metrics_port)
        self._reported_at = float("-inf")
        self._problem = ""
        self.wanted: dict[str, Wanted] = catalogue.look()

    def step(self) -> None:
        """Look into the file, and after every model."""
        self._look()
        for name in self.wanted.keys() - self._places.keys():
            self._places[name] = self._place(name)
        for name, place in [*self._places.items()]:
            place.step(self.wanted.get(name))
            if place.is_empty and name not in self.wanted:
                log.info("Model %s is unloaded", name)
                del self._places[name]
        if monotonic() - self._reported_at > _REPORT_EVERY_S:
            self._reported_at = monotonic()
            self._reporter.write([place.report() for place in self._places.values()])

    def drain(self, stop: StopRequest) -> bool:
        """Have all members finish; say whether all did. A second signal cuts it short."""
        deadline = Deadline(self._settings.drain_s + _EXIT_MARGIN_S)
        places = [*self._places.values()]
        log.info("Draining %d models", len(places))
        while True:
            for place in places:
                place.step(None)
            if all(place.is_empty for place in places):
                return not any(place.ended_badly for place in places)
            if deadline.has_passed() or stop.is_urgent():
                log.error("Stopped before every model was drained")
                return False
            time.sleep(_TICK_S / 5)

    def close(self) -> None:
        """End what still runs, at once."""
        for place in self._places.values():
            place.close()
        self._reporter.remove()

    def _look(self) -> None:
        try:
            self.wanted = self._catalogue.look()
            self._problem = ""
        except SettingsError as problem:
            if str(problem) != self._problem:
                self._problem = str(problem)
                log.error("The models stay as they are: %s", problem)  # noqa: TRY400 - the message says it all

    def _place(self, name: str) -> Place:
        settings = self._settings
        ready_within_s = settings.inference_start_timeout_s + _READY_MARGIN_S
        return Place(name, self._start, ready_within_s=ready_within_s, drain_s=settings.drain_s)

    def _start(self, entry: ModelEntry) -> Member:
        port = self._ports.free({port for place in self._places.values() for port in place.ports})
        log.info("Model %s: starting, with %s", entry.name, entry.env_file)
        prefix = "" if self._settings.log_format == "json" else f"[{entry.name}] "
        return Member(entry, port, self._output, prefix=prefix)
