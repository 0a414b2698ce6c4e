"""What each part of Velox is handed: sections of the settings put together, and no more than it reads.

Whoever has the whole settings passes them as they are, since they are of all these classes. Bases stand in one order
throughout, which Python asks for: producer, shapes, model and inference, Kafka, sinks, operations, the API.
"""

from typing import Self

from pydantic import model_validator

from velox.core.envelope import Codec
from velox.settings.buckets import BucketSettings
from velox.settings.cameras import CameraSettings, FreshnessSettings
from velox.settings.dashboard import DashboardSettings
from velox.settings.gateway import (
    CatalogueSettings,
    DestinationSettings,
    GatewaySettings,
    RequestSettings,
    WebhookSettings,
)
from velox.settings.kafka import ClientSettings, GroupSettings, KafkaSettings
from velox.settings.keys import KeysSettings
from velox.settings.model import ModelSettings, ProcessSettings
from velox.settings.operations import OperationsSettings
from velox.settings.producer import ProducerSettings, ShapeSettings
from velox.settings.sinks import DetectionSettings, DiskSettings, StoreSettings
from velox.settings.topics import TopicSettings
from velox.settings.tracing import TracingSettings
from velox.settings.training import TrainingSettings
from velox.settings.versions import VersionSettings


class MemberSettings(ClientSettings, GroupSettings):
    """What a member of the consumer group gets, and whoever asks how far the group is."""


class StreamSettings(TopicSettings, MemberSettings):
    """What deals with a pipeline's topics and with the group that reads them."""


class FetcherSettings(ProcessSettings, FreshnessSettings, StreamSettings):
    """What the fetcher gets."""


class ObjectSettings(BucketSettings, KafkaSettings):
    """What decides whether payloads are objects, and where these are."""

    @model_validator(mode="after")
    def _payloads_can_be_found(self) -> Self:
        if self.is_apart and not self.bucket_url:
            msg = "CODEC=key: where are the objects? Set BUCKET_URL, as in file:///data/photos"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _claims_can_be_read(self) -> Self:
        if not self.claim_over_bytes:
            return self
        given = f"CLAIM_OVER_BYTES={self.claim_over_bytes}"
        place = f"{self.bucket_name}/{self.claims_prefix}"
        problems = {
            "where to? Set BUCKET_URL, as in file:///data/photos": not self.bucket_url,
            f"only with CODEC=framed can a record say where its payload is, and it is {self.codec}": self.codec
            is not Codec.FRAMED,
            f"larger ones do not fit into a record of MAX_MESSAGE_BYTES={self.max_message_bytes}": self.claim_over_bytes
            > self.max_message_bytes,
            f"consumers may not read them; add {place} to BUCKETS_ALLOWED": bool(self.places_allowed)
            and not any(f"{place}/".startswith(f"{allowed.rstrip('/')}/") for allowed in self.places_allowed),
        }
        if problem := next((problem for problem, is_so in problems.items() if is_so), None):
            msg = f"{given}: {problem}"
            raise ValueError(msg)
        return self

    @property
    def has_claims(self) -> bool:
        """Say whether the producer puts large payloads into the bucket."""
        return self.claim_over_bytes > 0

    @property
    def payload_limit(self) -> tuple[str, int]:
        """Name the setting that limits what is produced, and say how many bytes that are."""
        if self.has_claims:
            return "MAX_OBJECT_BYTES", self.max_object_bytes
        return "MAX_MESSAGE_BYTES", self.max_message_bytes

    @property
    def has_objects(self) -> bool:
        """Say whether payloads may be objects: all of them, or those of framed values that are larger than others."""
        return self.is_apart or (self.codec is Codec.FRAMED and bool(self.bucket_url))


class ReadingSettings(ShapeSettings, CameraSettings, ObjectSettings, TopicSettings, OperationsSettings):
    """What a process gets that reads cameras."""


class DownloadSettings(FreshnessSettings, BucketSettings):
    """What reads objects for records."""


class UploadSettings(KeysSettings, ObjectSettings, OperationsSettings):
    """What ``velox upload`` gets."""


class InferenceSettings(
    ShapeSettings,
    TrainingSettings,
    ModelSettings,
    ProcessSettings,
    FreshnessSettings,
    DetectionSettings,
    OperationsSettings,
):
    """What an inference process gets, and the model's class in it: no address and no secret is among it."""


class RoutingSettings(VersionSettings, InferenceSettings):
    """What decides which version of a model predicts."""


class WriterSettings(ProcessSettings, DetectionSettings, DiskSettings):
    """What the writer gets; each sink has settings of its own."""


class ImageBucketSettings(BucketSettings, DiskSettings):
    """What the sink ``disk`` gets where it stores into a bucket."""


class FinishingSettings(ModelSettings, StoreSettings, OperationsSettings, RequestSettings):
    """What the sink ``requests`` gets."""


class SourceSettings(ProducerSettings, KeysSettings, ShapeSettings, ModelSettings, ObjectSettings):
    """What a source gets: what it makes, and how large a payload, an image or a text may be."""


class ProductionSettings(SourceSettings, StreamSettings, OperationsSettings):
    """What the producer gets, and what measures with payloads like those it makes."""


class ApiSettings(
    ProducerSettings,
    ModelSettings,
    TopicSettings,
    OperationsSettings,
    RequestSettings,
    CatalogueSettings,
    GatewaySettings,
    DestinationSettings,
    TracingSettings,
):
    """What a gateway gets: of a producer's settings how far behind workers may be, of a model's how large an image."""


class DeliverySettings(OperationsSettings, RequestSettings, WebhookSettings, TracingSettings):
    """What a webhook worker gets."""


class LetterSettings(StreamSettings, OperationsSettings):
    """What ``velox dlq`` gets."""


class LookingSettings(OperationsSettings, DashboardSettings):
    """What the dashboard's own part gets; what it looks at has settings of its own."""


class FleetSettings(ProcessSettings, GroupSettings, OperationsSettings, CatalogueSettings):
    """What the supervisor of several models gets; each model's consumer reads its own."""
