"""How to reach Kafka, which topic, and how the consumer group reads it."""

from typing import ClassVar, Final, Literal, Self

from pydantic import Field, SecretStr, ValidatorFunctionWrapHandler, field_validator, model_validator

from velox.core.envelope import Codec
from velox.core.json_values import JsonForm
from velox.core.subscription import Subscription, subscription
from velox.errors import SettingsError
from velox.settings.environment import is_test
from velox.settings.group import Group
from velox.settings.literals import Addresses, Topics

_SHORTEST_SESSION_MS: Final = 6000
_SHORTEST_SESSION_IN_TESTS_MS: Final = 1000
"""Their brokers allow it, so that a test that kills a member need not wait 6 s until its partitions are free."""


class KafkaSettings(Group):
    """Where the records are, and how they are written."""

    title: ClassVar = "Kafka"

    kafka_bootstrap_server: Addresses = Field("localhost:9092", description="Kafka brokers, `host:port,…`.")
    kafka_topic: Topics = Field(
        "image_data",
        description="Topic of the records: a name, several (`a,b`, `camera_{1..20}`), or a pattern (`^camera_\\d+$`).",
    )
    kafka_partitions: int = Field(6, ge=1, le=10_000, description="Partitions of a topic that Velox creates.")
    max_message_bytes: int = Field(
        10_485_760, ge=1024, le=100_000_000, description="Largest record; governs client, topic and fetch limits."
    )
    compression_type: Literal["none", "gzip", "snappy", "lz4", "zstd"] = Field(
        "lz4", description="Compression of what is produced."
    )
    codec: Codec = Field(
        Codec.FRAMED,
        description="Layout of a value: `framed` (length, JSON, payload), `raw` (payload only), `json` (an object; one "
        "of its fields is the payload) or `key` (of an object in the bucket of `BUCKET_URL`, which is the payload).",
    )
    json_field: str = Field(
        "text", min_length=1, max_length=1000, description="With CODEC=`json`, the field that is the payload."
    )
    json_payload: Literal["text", "base64"] = Field(
        "text", description="How the payload is written there: `text`, which the model gets as UTF-8, or `base64`."
    )
    json_id_field: str = Field(
        "",
        max_length=1000,
        description="With CODEC=`json`, the field that is the record's id, where it has no header `velox-id`; empty = "
        "none.",
    )

    @property
    def json_form(self) -> JsonForm:
        """Say how a value is laid out with CODEC=json."""
        return JsonForm(self.json_field, self.json_payload, self.json_id_field)

    @property
    def is_text(self) -> bool:
        """Say whether payloads are known to be text: with other codecs only the model knows."""
        return self.codec is Codec.JSON and self.json_payload == "text"

    @property
    def is_apart(self) -> bool:
        """Say whether records hold only pointers, and payloads are objects in a bucket."""
        return self.codec is Codec.KEY

    def refuse_pointers(self, who: str) -> None:
        """Stop what makes payloads, where records are to be pointers to them.

        Raises:
            SettingsError: that is so; ``who`` is named in it.
        """
        if self.is_apart:
            msg = f"CODEC=key: {who} makes payloads, and records are to be keys of objects; publish keys with any Kafka"
            raise SettingsError(f"{msg} client, or set CODEC=raw")

    @property
    def subscription(self) -> Subscription:
        """The topics that ``kafka_topic`` means."""
        return subscription(self.kafka_topic)


class SecuritySettings(Group):
    """How to prove who we are, and check who they are."""

    title: ClassVar = "Kafka security"

    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="How to speak to Kafka: SASL = with user and password, SSL = encrypted."
    )
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "SCRAM-SHA-512", description="How the password is proved."
    )
    kafka_sasl_username: str = Field("", description="User.")
    kafka_sasl_password: SecretStr = Field(SecretStr(""), description="Password.")
    kafka_ssl_ca_location: str = Field(
        "", description="File of the certificates that brokers' are verified with; empty = the system's."
    )
    kafka_ssl_certificate_location: str = Field("", description="Our own certificate, for brokers that ask for one.")
    kafka_ssl_key_location: str = Field("", description="The key of our own certificate.")
    kafka_ssl_key_password: SecretStr = Field(SecretStr(""), description="What that key is encrypted with, if it is.")

    @model_validator(mode="after")
    def _security_is_complete(self) -> Self:
        protocol = self.kafka_security_protocol
        if protocol.startswith("SASL") and not (self.kafka_sasl_username and self.kafka_sasl_password):
            msg = f"KAFKA_SECURITY_PROTOCOL={protocol} needs KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD"
            raise ValueError(msg)
        if bool(self.kafka_ssl_certificate_location) != bool(self.kafka_ssl_key_location):
            msg = "KAFKA_SSL_CERTIFICATE_LOCATION and KAFKA_SSL_KEY_LOCATION go together: give both or none"
            raise ValueError(msg)
        return self


class ClientSettings(KafkaSettings, SecuritySettings):
    """What a client of Kafka gets: where the brokers are, and how to prove who we are."""


class GroupSettings(Group):
    """How consumers share the partitions, and what they commit."""

    title: ClassVar = "Consumer group"

    kafka_consumer_group: str = Field("gpu_cluster_h100", min_length=1, description="Consumer group.")
    auto_offset_reset: Literal["earliest", "latest", "error"] = Field(
        "earliest", description="Where a group without a committed offset starts."
    )
    session_timeout_ms: int = Field(
        6000,
        ge=_SHORTEST_SESSION_MS,
        le=300_000,
        description="Silence after which Kafka gives a consumer's partitions to others.",
    )
    max_poll_interval_ms: int = Field(
        300_000, ge=6000, le=3_600_000, description="A consumer whose poll loop stands still for longer is replaced."
    )
    group_protocol: Literal["cooperative-sticky", "range", "consumer"] = Field(
        "cooperative-sticky",
        description="How the group shares partitions: `cooperative-sticky` or `range` (classic protocol), or "
        "`consumer` (KIP-848: Kafka 4.0 or later, and the broker's time-outs instead of SESSION_TIMEOUT_MS).",
    )
    group_instance_id: str = Field(
        "none",
        pattern=r"^[A-Za-z0-9._-]{1,249}$",
        description="Unique name of this member: it keeps its partitions over a restart; `none` = it has none.",
    )
    revoke_wait_s: float = Field(
        5.0, ge=0, le=60, description="A rebalance waits this long for the records in flight of partitions given up."
    )
    fetch_wait_ms: int = Field(500, ge=1, le=10_000, description="A broker holds an empty fetch this long at most.")
    delivery: Literal["at_least_once", "exactly_once"] = Field(
        "at_least_once", description="`exactly_once` commits offsets and the results topic in one Kafka transaction."
    )
    damaged_batches: Literal["wait", "skip"] = Field(
        "wait",
        description="A batch in Kafka that cannot be read stops its partition: `wait` for somebody to restore it, or "
        "`skip` it, which loses and counts its records.",
    )
    commit_interval_s: float = Field(1.0, gt=0, le=60, description="Time between offset commits.")

    @field_validator("session_timeout_ms", mode="wrap")
    @classmethod
    def _may_be_shorter_in_tests(cls, value: object, bounded: ValidatorFunctionWrapHandler) -> int:
        short = range(_SHORTEST_SESSION_IN_TESTS_MS, _SHORTEST_SESSION_MS)
        if is_test() and isinstance(value, str) and value.isdecimal() and int(value) in short:
            return int(value)
        validated: int = bounded(value)
        return validated

    @model_validator(mode="after")
    def _times_fit_together(self) -> Self:
        if self.max_poll_interval_ms < self.session_timeout_ms:
            msg = (
                f"MAX_POLL_INTERVAL_MS={self.max_poll_interval_ms} is less than "
                f"SESSION_TIMEOUT_MS={self.session_timeout_ms}"
            )
            raise ValueError(msg)
        return self
