"""The names that settings have in two other systems whose users the API serves, and what they are called here."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from velox.settings.environment import replace_variables, variables

Command = Literal["gateway", "webhooks", "consume", "consume --models"]

_GATEWAY: Final = {
    "GW_SERVICE_NAME": "PIPELINE",
    "GW_HOST": "GATEWAY_HOST",
    "GW_PORT": "GATEWAY_PORT",
    "GW_LOG_LEVEL": "LOG_LEVEL",
    "GW_MAX_REQUESTS_PER_MINUTE": "RATE_LIMIT",
    "GW_KAFKA_BOOTSTRAP_SERVERS": "KAFKA_BOOTSTRAP_SERVER",
}
_WORKER: Final = {
    "MLW_KAFKA_BOOTSTRAP_SERVERS": "KAFKA_BOOTSTRAP_SERVER",
    "MLW_KAFKA_CONSUMER_GROUP": "KAFKA_CONSUMER_GROUP",
    "MLW_MODEL_DEVICE": "DEVICE",
    "MLW_MODEL_BATCH_SIZE": "BATCH_SIZE",
    "MLW_METRICS_PORT": "METRICS_PORT",
    "MLW_LOG_LEVEL": "LOG_LEVEL",
}
_EVERYWHERE: Final = {"KAFKA_BOOTSTRAP_SERVERS": "KAFKA_BOOTSTRAP_SERVER"}
NAMES: Final[Mapping[Command, Mapping[str, str]]] = {
    "gateway": _GATEWAY | _EVERYWHERE,
    "webhooks": {"GW_LOG_LEVEL": "LOG_LEVEL"} | _EVERYWHERE,
    # One consumer by itself is also that of other pipelines, whose users have never given these names a meaning: only
    # those with a prefix count there.
    "consume": _WORKER,
    "consume --models": _WORKER | {"NUM_WORKERS": "INFERENCE_PROCESSES"} | _EVERYWHERE,
}
"""By command: the old name, and ours."""
_FORMS: Final = {"GW_MAX_REQUESTS_PER_MINUTE": "{}/minute"}
"""How a value is written here, where that differs."""
OURS: Final[Mapping[str, str]] = {old: name for names in NAMES.values() for old, name in names.items()}

_TOPICS: Final = "each model has a topic of its own, which its pipeline file names"
_LOST: Final[Mapping[str, str]] = {
    "GW_VERSION": "the version is that of Velox",
    "GW_KAFKA_PRODUCER_RETRIES": "a record is sent again until ACCEPT_TIMEOUT_S is over",
    "MLW_MODEL_MAX_LENGTH": "a text is read as far as its model reads, 512 tokens at most",
    "KAFKA_REQUEST_TOPIC": _TOPICS,
    "KAFKA_RESPONSE_TOPIC": f"results are in the store; {_TOPICS}",
}
WITHOUT_EFFECT: Final[Mapping[Command, Mapping[str, str]]] = {
    "gateway": {name: why for name, why in _LOST.items() if not name.startswith("MLW_")},
    "webhooks": {},
    "consume": {name: why for name, why in _LOST.items() if name.startswith("MLW_")},
    "consume --models": {name: why for name, why in _LOST.items() if not name.startswith("GW_")},
}
"""By command: the old names that are accepted and mean nothing here, and why."""

MODEL_NAME: Final = "MLW_MODEL_NAME"
TEXT_CLASSIFIER: Final = "velox.models.text_classifier:TextClassifier"
_FOLDER: Final = "MODEL_PATH"
"""Our name of another thing: in the third system, the folder of all models."""


@dataclass(frozen=True, slots=True)
class Told:
    """What became of an old name, for the log."""

    text: str
    counts: bool
    """Its value is used."""


def adopt(command: Command) -> list[Told]:
    """Put our names in the place of the old ones, in the environment of this process and of those it starts.

    A name of ours that is set there too wins. The second time, there is nothing left to do.
    """
    given = variables()
    told: list[Told] = []
    new: dict[str, str] = {}
    gone = set()
    for old, name in NAMES[command].items():
        if not given.get(old):
            continue
        gone.add(old)
        if given.get(name) or name in new:
            told.append(Told(f"{old} is ignored: {name} is set, too", counts=False))
        else:
            new[name] = _FORMS.get(old, "{}").format(given[old])
            told.append(Told(f"{old} is called {name} here", counts=True))
    for old, why in WITHOUT_EFFECT[command].items():
        if given.get(old):
            gone.add(old)
            told.append(Told(f"{old} has no effect: {why}", counts=False))
    if command in {"gateway", "consume --models"} and (path := _models_file(given)):
        gone.add(_FOLDER)
        new["MODELS_PATH"] = path
        told.append(Told(f"{_FOLDER}={given[_FOLDER]} is the folder of all models: MODELS_PATH={path}", counts=True))
    replace_variables(gone, new)
    return told


def _models_file(given: Mapping[str, str]) -> str | None:
    """Find ``models.toml`` in the folder of all models; where MODEL_PATH is the place of one, it is what it is here."""
    file = Path(given.get(_FOLDER, "")) / "models.toml"
    return str(file) if given.get(_FOLDER) and not given.get("MODELS_PATH") and file.is_file() else None


def adopt_model_name() -> list[Told]:
    """Have a consumer of texts run the network that ``MLW_MODEL_NAME`` names.

    For the process of one model only, and where payloads are texts: among several models there are others.
    """
    given = variables()
    if not (name := given.get(MODEL_NAME)):
        return []
    if ours := [each for each in ("MODEL", "MODEL_PATH") if given.get(each)]:
        replace_variables({MODEL_NAME}, {})
        return [Told(f"{MODEL_NAME} is ignored: {' and '.join(ours)} is set, too", counts=False)]
    replace_variables({MODEL_NAME}, {"MODEL": TEXT_CLASSIFIER, "MODEL_PATH": name})
    return [Told(f"{MODEL_NAME} is called MODEL_PATH here, with MODEL={TEXT_CLASSIFIER}", counts=True)]
