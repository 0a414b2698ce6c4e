"""The settings of each reader, put together from their sections."""

from typing import Final, Self

from pydantic import model_validator

from velox.core.envelope import Codec
from velox.core.subscription import TOPIC_CHARACTERS
from velox.settings.buckets import BucketSettings
from velox.settings.gateway import CatalogueSettings, GatewaySettings, RequestSettings, WebhookSettings
from velox.settings.kafka import ClientSettings, GroupSettings, KafkaSettings, SecuritySettings
from velox.settings.model import ModelSettings, ProcessSettings
from velox.settings.operations import OperationsSettings
from velox.settings.producer import ProducerSettings, ShapeSettings
from velox.settings.sinks import DeadLetterSettings, DetectionSettings, SinkSettings
from velox.settings.training import TrainingSettings

_SUFFIXES: Final = {"DEAD_LETTER_TOPIC": ".dlq", "RESULTS_TOPIC": ".results"}
"""What makes the names of other topics from that of the records."""
_READ_AGAIN: Final = {"DEAD_LETTER_TOPIC": "dead letters", "RESULTS_TOPIC": "results"}
"""What they hold, and must not be read."""


class InferenceSettings(
    ShapeSettings, TrainingSettings, ModelSettings, ProcessSettings, DetectionSettings, OperationsSettings
):
    """What an inference process gets, and the model's class in it: no address and no secret is among it."""


class Settings(
    ClientSettings,
    GroupSettings,
    ProducerSettings,
    BucketSettings,
    InferenceSettings,
    DeadLetterSettings,
    SinkSettings,
    RequestSettings,
    CatalogueSettings,
    GatewaySettings,
    WebhookSettings,
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
    def _other_topics_are_named(self) -> Self:
        """Several topics have no name that others could be made from."""
        if self.subscription.is_one:
            return self
        what = "several topics" if self.subscription.names else "a pattern"
        for setting, of in (("DEAD_LETTER_TOPIC", "dead letters"), ("RESULTS_TOPIC", "results")):
            is_needed = setting == "DEAD_LETTER_TOPIC" or "kafka" in self.sinks
            if is_needed and getattr(self, setting.lower()) == "auto":
                msg = f"KAFKA_TOPIC={self.kafka_topic} is {what}: name the topic of their {of} with {setting}"
                raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _topics_are_three(self) -> Self:
        names = self.topics
        if self.results_topic == "auto" and "kafka" not in self.sinks:
            names.pop("RESULTS_TOPIC", None)
        records = names.pop("KAFKA_TOPIC")
        for setting, name in names.items():
            if len(name) > TOPIC_CHARACTERS:
                remedy = f"shorten KAFKA_TOPIC, or name another topic with {setting}"
                msg = f"{setting}={name} has {len(name)} characters, and Kafka takes {TOPIC_CHARACTERS}; {remedy}"
                raise ValueError(msg)
            if self.subscription.takes(name):
                is_it = "is KAFKA_TOPIC too" if self.subscription.is_one else f"is among KAFKA_TOPIC={records} too"
                remedy = (
                    "name another topic" if self.subscription.names else "name another topic, or narrow the pattern"
                )
                msg = f"{setting}={name} {is_it}: {_READ_AGAIN[setting]} would be read as records for ever; {remedy}"
                raise ValueError(msg)
        if names.get("RESULTS_TOPIC") == names["DEAD_LETTER_TOPIC"]:
            msg = (
                f"RESULTS_TOPIC={names['RESULTS_TOPIC']} is DEAD_LETTER_TOPIC too: results would lie among dead letters"
            )
            raise ValueError(f"{msg}; name another topic")
        return self

    @property
    def topics(self) -> dict[str, str]:
        """Name the topics of records, dead letters and results, each under the setting that decides on it.

        That of the records is as it is written: it may be several. Of several, results have a topic only if one is
        named.
        """
        named = {"DEAD_LETTER_TOPIC": self.dead_letter_topic, "RESULTS_TOPIC": self.results_topic}
        topics = {"KAFKA_TOPIC": self.kafka_topic}
        for setting, name in named.items():
            if name != "auto":
                topics[setting] = name
            elif self.subscription.is_one:
                topics[setting] = self.kafka_topic + _SUFFIXES[setting]
        return topics


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
    RequestSettings,
    CatalogueSettings,
    GatewaySettings,
    WebhookSettings,
    OperationsSettings,
)
"""In the order of the documents."""
