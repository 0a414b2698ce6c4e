"""Which models the gateway serves: what they are called, what they read, and on which topic their requests go."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from velox.core.envelope import Codec

Kind = Literal["text", "image"]
SENTIMENT: Final = "sentiment"
"""The model behind ``/predict``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedModel:
    """A model that requests may name."""

    name: str
    topic: str
    """Of its requests; the key is the request's id."""
    kind: Kind
    codec: Codec
    """How a record's value is laid out: ``json`` (text and request_id, as of the topic's other users) or ``framed``."""


Catalogue = Mapping[str, ServedModel]
"""By their names."""


def served() -> Catalogue:
    """Name the models of the two public APIs."""
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
