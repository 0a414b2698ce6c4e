"""The settings of each reader, put together from their sections."""

from typing import Final, Self

from pydantic import model_validator

from velox.core.envelope import Codec
from velox.settings.buckets import BucketSettings
from velox.settings.kafka import GroupSettings, KafkaSettings, SecuritySettings
from velox.settings.literals import TOPIC_CHARACTERS
from velox.settings.model import ModelSettings, ProcessSettings
from velox.settings.operations import OperationsSettings
from velox.settings.producer import ProducerSettings, ShapeSettings
from velox.settings.sinks import DeadLetterSettings, DetectionSettings, SinkSettings
from velox.settings.training import TrainingSettings

_MIXED_UP: Final = {
    ("RESULTS_TOPIC", "KAFKA_TOPIC"): "results would be read as records for ever",
    ("DEAD_LETTER_TOPIC", "KAFKA_TOPIC"): "dead letters would be read as records for ever",
    ("RESULTS_TOPIC", "DEAD_LETTER_TOPIC"): "results would lie among dead letters",
}
"""Which topics must not be one, and why."""


class InferenceSettings(
    ShapeSettings, TrainingSettings, ModelSettings, ProcessSettings, DetectionSettings, OperationsSettings
):
    """What an inference process gets, and the model's class in it: no address and no secret is among it."""


class Settings(
    KafkaSettings,
    SecuritySettings,
    GroupSettings,
    ProducerSettings,
    BucketSettings,
    InferenceSettings,
    DeadLetterSettings,
    SinkSettings,
):
    """All that a Velox process can be told."""

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if self.max_message_bytes > self.queue_bytes:
            msg = f"QUEUE_BYTES={self.queue_bytes} holds no record of MAX_MESSAGE_BYTES={self.max_message_bytes}"
            raise ValueError(msg)
        if self.delivery == "exactly_once" and "kafka" not in self.sinks:
            msg = f"DELIVERY=exactly_once is about the results topic: add kafka to SINKS={','.join(self.sinks)}"
            raise ValueError(msg)
        if self.is_text and "disk" in self.sinks:
            msg = f"SINKS={','.join(self.sinks)}: disk keeps images, and JSON_PAYLOAD=text says that there are none"
            raise ValueError(f"{msg}; leave disk out, or set JSON_PAYLOAD=base64 if they are")
        return self

    @model_validator(mode="after")
    def _payloads_can_be_found(self) -> Self:
        if self.codec is Codec.KEY and not self.bucket_url:
            msg = "CODEC=key: where are the objects? Set BUCKET_URL, as in file:///data/photos"
            raise ValueError(msg)
        if self.bucket_url and self.max_object_bytes > self.queue_bytes:
            msg = f"QUEUE_BYTES={self.queue_bytes} holds no object of MAX_OBJECT_BYTES={self.max_object_bytes}"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _topics_are_three(self) -> Self:
        names = self.topics
        if self.results_topic == "auto" and "kafka" not in self.sinks:
            del names["RESULTS_TOPIC"]
        for setting, name in names.items():
            if len(name) > TOPIC_CHARACTERS:
                remedy = f"shorten KAFKA_TOPIC, or name another topic with {setting}"
                msg = f"{setting}={name} has {len(name)} characters, and Kafka takes {TOPIC_CHARACTERS}; {remedy}"
                raise ValueError(msg)
        for (one, other), consequence in _MIXED_UP.items():
            if names.get(one) == names[other]:
                msg = f"{one}={names[other]} is {other} too: {consequence}; name another topic"
                raise ValueError(msg)
        return self

    @property
    def topics(self) -> dict[str, str]:
        """Name the topics of records, dead letters and results, each under the setting that decides on it."""
        dead_letters, results = self.dead_letter_topic, self.results_topic
        return {
            "KAFKA_TOPIC": self.kafka_topic,
            "DEAD_LETTER_TOPIC": f"{self.kafka_topic}.dlq" if dead_letters == "auto" else dead_letters,
            "RESULTS_TOPIC": f"{self.kafka_topic}.results" if results == "auto" else results,
        }


SECTIONS = (
    KafkaSettings,
    SecuritySettings,
    GroupSettings,
    BucketSettings,
    ProducerSettings,
    ShapeSettings,
    TrainingSettings,
    ModelSettings,
    ProcessSettings,
    DeadLetterSettings,
    DetectionSettings,
    SinkSettings,
    OperationsSettings,
)
"""In the order of the documents."""
