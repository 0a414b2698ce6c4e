"""Which models the gateway serves: what they are called, what they read, and on which topic their requests go."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

from velox.core.envelope import Codec
from velox.core.seldom import Seldom
from velox.errors import SettingsError
from velox.model_reports import State, read_reports
from velox.settings.kafka import KafkaSettings
from velox.settings.models import ModelEntry, read_models

log = logging.getLogger(__name__)

Kind = Literal["text", "image"]
SENTIMENT: Final = "sentiment"
"""The model behind ``/predict``."""
_SELDOM_S: Final = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedModel:
    """A model that requests may name."""

    name: str
    topic: str
    """Of its requests; the key is the request's id."""
    kind: Kind
    codec: Codec
    """How a record's value is laid out: ``json`` (text and request_id, as of the topic's other users) or ``framed``."""
    partitions: int = 3
    """Of its topic, where that is not there yet: as its worker would create it."""
    versions: tuple[str, ...] = ()
    """Those that a request may ask for; none where any may be asked for, and there is only one."""
    state: State | None = None
    """How it is where it runs; None when nobody reports it, as of a consumer on another machine."""
    cause: str = ""
    """Why it is not ready, as far as that is reported."""

    @property
    def is_failing(self) -> bool:
        """Say whether it cannot be loaded, so that nobody would answer before somebody mends it."""
        return self.state == "failing"


Catalogue = Mapping[str, ServedModel]
"""By their names."""


def served() -> Catalogue:
    """Name the models of the two public APIs, for a gateway without a ``models.toml``."""
    models = [
        ServedModel(name=name, topic="ml.prediction.requests", kind="text", codec=Codec.JSON)
        for name in (SENTIMENT, "text_processing")
    ]
    images = ("image_classification", "image_classification.requests")
    models.append(ServedModel(name=images[0], topic=images[1], kind="image", codec=Codec.FRAMED))
    return {model.name: model for model in models}


def topics(models: Catalogue) -> Sequence[str]:
    """Name the topics of all models, each once."""
    return sorted({model.topic for model in models.values()})


class Models(Mapping[str, ServedModel]):
    """The models of MODELS_PATH, as they are now. One thread refreshes it; any may read."""

    def __init__(self, path: Path) -> None:
        """Read the file; where there is none, serve the two public APIs' models.

        Raises:
            SettingsError: it says what it may not.
        """
        self._path = path
        self._seldom = Seldom(_SELDOM_S)
        self._known: dict[str, tuple[str, ServedModel]] = {}
        """By name: the fingerprint of what was read, and what it says."""
        self._served: Catalogue = served()
        if path.exists():
            self._served = self._read(read_models(path))
        else:
            log.info("MODELS_PATH=%s is not there: serving %s", path, ", ".join(self._served))

    def __getitem__(self, name: str) -> ServedModel:
        """Find a model by its name."""
        return self._served[name]

    def __iter__(self) -> Iterator[str]:
        """Name them, in the order of the file."""
        return iter(self._served)

    def __len__(self) -> int:
        """Count them."""
        return len(self._served)

    def refresh(self) -> None:
        """Read again what has changed, and how the models are; what cannot be read stays as it was."""
        if not self._path.exists():
            return
        try:
            self._served = self._read(read_models(self._path))
        except SettingsError as problem:
            self._tell(problem)

    def _read(self, entries: Mapping[str, ModelEntry]) -> Catalogue:
        reports = read_reports(self._path)
        found: dict[str, ServedModel] = {}
        for name, entry in entries.items():
            if (model := self._model(entry)) is None:
                continue
            report = next(iter(reports.get(entry.same_as or name, [])), None)
            found[name] = replace(model, state=report.state, cause=report.cause) if report else model
        return found

    def _model(self, entry: ModelEntry) -> ServedModel | None:
        """Read what a model's consumer is told; None when that never was what a gateway can serve."""
        fingerprint, known = self._known.get(entry.name, ("", None))
        try:
            if entry.fingerprint != fingerprint:
                loaded = entry.load()
                known = replace(described(entry.name, loaded), versions=entry.versions.askable or loaded.askable)
                self._known[entry.name] = (entry.fingerprint, known)
        except SettingsError as problem:
            self._tell(problem)
        return known

    def _tell(self, problem: SettingsError) -> None:
        if self._seldom.is_due(str(problem)):
            log.error("%s", problem)


def described(name: str, settings: KafkaSettings) -> ServedModel:
    """Say what a gateway has to know of the model with these settings.

    Raises:
        SettingsError: its records are written in a way that a gateway does not write.
    """
    if not (settings.subscription.is_one and settings.subscription.names):
        msg = f"model {name}: KAFKA_TOPIC={settings.kafka_topic}: the API writes to one topic a model; name one"
        raise SettingsError(msg)
    form = settings.json_form
    is_json = settings.is_text and (form.field, form.id_field) == ("text", "request_id")
    if not (is_json or settings.codec is Codec.FRAMED):
        msg = (
            f"model {name}: the API writes texts with CODEC=json, JSON_FIELD=text, JSON_PAYLOAD=text and "
            "JSON_ID_FIELD=request_id, and images with CODEC=framed; set one of the two"
        )
        raise SettingsError(msg)
    kind: Kind = "text" if is_json else "image"
    return ServedModel(
        name=name,
        topic=settings.kafka_topic,
        kind=kind,
        codec=settings.codec,
        partitions=settings.kafka_partitions,
    )
