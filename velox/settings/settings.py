"""All settings, and their sections."""

from typing import Self

from pydantic import model_validator

from velox.settings.buckets import BucketSettings
from velox.settings.cameras import CameraSettings, FreshnessSettings
from velox.settings.dashboard import DashboardSettings
from velox.settings.gateway import CatalogueSettings, GatewaySettings, RequestSettings, WebhookSettings
from velox.settings.kafka import GroupSettings, KafkaSettings, SecuritySettings
from velox.settings.keys import KeysSettings
from velox.settings.model import ModelSettings, ProcessSettings
from velox.settings.operations import OperationsSettings
from velox.settings.producer import ProducerSettings, ShapeSettings
from velox.settings.readers import (
    ApiSettings,
    DeliverySettings,
    DownloadSettings,
    FetcherSettings,
    FinishingSettings,
    FleetSettings,
    ImageBucketSettings,
    LetterSettings,
    LookingSettings,
    ProductionSettings,
    ReadingSettings,
    RoutingSettings,
    UploadSettings,
    WriterSettings,
)
from velox.settings.sinks import DeadLetterSettings, DetectionSettings, SinkSettings
from velox.settings.tracing import TracingSettings
from velox.settings.training import TrainingSettings
from velox.settings.versions import VersionSettings


class Settings(
    FetcherSettings,
    ProductionSettings,
    ReadingSettings,
    DownloadSettings,
    UploadSettings,
    RoutingSettings,
    LetterSettings,
    FleetSettings,
    WriterSettings,
    ImageBucketSettings,
    SinkSettings,
    ApiSettings,
    DeliverySettings,
    FinishingSettings,
    LookingSettings,
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
        if self.result_id == "model" and "requests" in self.sinks:
            msg = f"SINKS={','.join(self.sinks)}: requests answers by the record's id; set RESULT_ID=record"
            raise ValueError(msg)
        if self.is_text and "disk" in self.sinks:
            msg = f"SINKS={','.join(self.sinks)}: disk keeps images, and JSON_PAYLOAD=text says that there are none"
            raise ValueError(f"{msg}; leave disk out, or set JSON_PAYLOAD=base64 if they are")
        if self.bucket_url and self.max_object_bytes > self.queue_bytes:
            msg = f"QUEUE_BYTES={self.queue_bytes} holds no object of MAX_OBJECT_BYTES={self.max_object_bytes}"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _several_results_a_record_are_taken(self) -> Self:
        """Each deployment gives one: what keeps one a record, or the payload with it, cannot be used."""
        if self.predictor == "local":
            return self
        given = f"PREDICTOR={self.predictor}"
        if self.delivery == "exactly_once":
            msg = f"DELIVERY=exactly_once is about one result a record, and {given} gives several: set at_least_once"
            raise ValueError(msg)
        if "requests" in self.sinks:
            msg = f"SINKS={','.join(self.sinks)}: requests has one answer each, and {given} gives several"
            raise ValueError(f"{msg}; leave requests out")
        if "disk" in self.sinks and self.is_apart:
            msg = f"SINKS={','.join(self.sinks)}: with {given} and CODEC=key the consumer never has the images"
            raise ValueError(f"{msg}, which are in the bucket already; leave disk out")
        if self.has_versions:
            msg = f"MODEL_VERSIONS={','.join(self.model_versions)}: with {given} each is a deployment of config.yaml"
            raise ValueError(f"{msg}; leave MODEL_VERSIONS out")
        return self


SECTIONS = (
    KafkaSettings,
    SecuritySettings,
    GroupSettings,
    BucketSettings,
    ProducerSettings,
    KeysSettings,
    CameraSettings,
    ShapeSettings,
    TrainingSettings,
    ModelSettings,
    ProcessSettings,
    FreshnessSettings,
    VersionSettings,
    DeadLetterSettings,
    DetectionSettings,
    SinkSettings,
    RequestSettings,
    CatalogueSettings,
    GatewaySettings,
    WebhookSettings,
    DashboardSettings,
    OperationsSettings,
    TracingSettings,
)
"""In the order of the documents."""
