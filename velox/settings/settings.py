"""The settings of each reader, put together from their sections."""

from typing import Self

from pydantic import model_validator

from velox.settings.kafka import GroupSettings, KafkaSettings, SecuritySettings
from velox.settings.model import ModelSettings, ProcessSettings
from velox.settings.operations import OperationsSettings
from velox.settings.producer import ProducerSettings, ShapeSettings
from velox.settings.sinks import DeadLetterSettings, DetectionSettings, SinkSettings
from velox.settings.training import TrainingSettings


class InferenceSettings(
    ShapeSettings, TrainingSettings, ModelSettings, ProcessSettings, DetectionSettings, OperationsSettings
):
    """What an inference process gets, and the model's class in it: no address and no secret is among it."""


class Settings(
    KafkaSettings,
    SecuritySettings,
    GroupSettings,
    ProducerSettings,
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
        if self.results_topic == self.kafka_topic:
            msg = f"RESULTS_TOPIC={self.results_topic} is KAFKA_TOPIC too: results would be read as records for ever"
            raise ValueError(msg)
        return self


SECTIONS = (
    KafkaSettings,
    SecuritySettings,
    GroupSettings,
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
