"""The settings themselves: one frozen class."""

import re
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from velox.core.envelope import Codec
from velox.settings.environment import Colors
from velox.settings.literals import AutoCount, AutoNumber, Bgr, Names
from velox.settings.secrets import SecretFiles

MIB = 1024 * 1024


class Settings(BaseSettings):
    """What a Velox process can be told. Each field is the environment variable of the same name in capitals."""

    model_config = SettingsConfigDict(
        frozen=True, env_file=".env", env_file_encoding="utf-8", env_ignore_empty=True, extra="ignore"
    )

    kafka_bootstrap_server: str = Field("localhost:9092", min_length=1, description="Kafka brokers, `host:port,…`.")
    kafka_topic: str = Field("image_data", pattern=r"^[A-Za-z0-9._-]{1,245}$", description="Topic of the records.")
    kafka_consumer_group: str = Field("gpu_cluster_h100", min_length=1, description="Consumer group.")
    kafka_partitions: int = Field(6, ge=1, le=10_000, description="Partitions of a topic that Velox creates.")
    max_message_bytes: int = Field(
        10_485_760, ge=1024, le=100_000_000, description="Largest record; governs client, topic and fetch limits."
    )
    compression_type: Literal["none", "gzip", "snappy", "lz4", "zstd"] = Field(
        "lz4", description="Compression of what is produced."
    )
    codec: Codec = Field(
        Codec.FRAMED, description="Layout of a value: `framed` (length, JSON, payload) or `raw` (payload only)."
    )
    auto_offset_reset: Literal["earliest", "latest", "error"] = Field(
        "earliest", description="Where a group without a committed offset starts."
    )
    session_timeout_ms: int = Field(
        6000, ge=6000, le=300_000, description="Silence after which Kafka gives a consumer's partitions to others."
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
    commit_interval_s: float = Field(1.0, gt=0, le=60, description="Time between offset commits.")

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

    source: str = Field("shapes", description="What is produced: `shapes`, `folder:PATH` or `video:PATH`.")
    source_loop: bool = Field(False, description="Start `folder` and `video` sources again at their end.")
    producer_interval: float = Field(0.05, ge=0, le=3600, description="Seconds between records; 0 = no pause.")
    producer_max_lag_bytes: int = Field(
        0, ge=0, description="Wait while the consumer group is this far behind in one partition; 0 = never wait."
    )
    img_height: int = Field(512, ge=32, le=8192, description="Height of a drawn image in pixels.")
    img_width: int = Field(512, ge=32, le=8192, description="Width of a drawn image in pixels.")
    shapes: Names = Field(("circle", "square"), min_length=1, description="Shapes that are drawn and told apart.")
    colors: dict[str, Bgr] = Field(
        {"red": (0, 0, 255), "green": (0, 255, 0)},
        min_length=1,
        description="Colours as BGR, one variable each: `COLORS_BLUE=(255, 0, 0)`; an empty value removes one.",
    )
    center: int = Field(256, ge=1, description="Middle of the shapes drawn for training, in pixels of a 512 px image.")
    shape_size: int = Field(150, ge=4, description="Half-size of a shape in pixels of a 512 px image.")

    samples_per_class: int = Field(300, ge=4, le=1_000_000, description="Training images per label.")
    epochs: int = Field(3, ge=1, le=1000, description="Passes over the training images.")
    training_seed: int = Field(7, ge=0, description="Seed of weights, images and order in training.")
    model_arch: Literal["mobilenet_v2", "squeezenet1_1", "tiny_cnn"] = Field(
        "mobilenet_v2", description="What `train.py` trains, and what weights without a model card are."
    )

    model: str = Field(
        "velox.models.image_classifier:ImageClassifier",
        pattern=r"^[\w.]+:\w+$",
        description="Class that predicts, `package.module:ClassName`; see the Model contract.",
    )
    model_path: Path = Field(Path("model.pth"), description="Weights: a torch state dict.")
    classes_path: Path = Field(Path("classes.json"), description='Labels: a JSON object from `"0"`, `"1"`, … to names.')
    backend: Literal["auto", "torch", "openvino", "onnxruntime"] = Field(
        "auto",
        description="What runs the model; `auto` = `torch` on CUDA, on a CPU the first that is installed of "
        "`openvino`, `onnxruntime`, `torch`.",
    )
    precision: Literal["auto", "fp32", "bf16", "int8"] = Field(
        "auto",
        description="Numbers that the model computes with; `auto` = on a CPU the fastest there that passes "
        "`MIN_AGREEMENT`, on CUDA half precision.",
    )
    min_agreement: float = Field(
        0.995,
        ge=0,
        le=1,
        description="`PRECISION=auto` takes what gives the same label as `fp32`, and the same side of "
        "`CONFIDENCE_THRESHOLD`, for at least this share of the images it was measured on.",
    )
    preprocessing: Literal["fast", "exact"] = Field(
        "fast", description="`fast` decodes at reduced scale; `exact` decodes whole and resizes with antialiasing."
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="Where the model runs; `auto` = CUDA if present."
    )
    inference_processes: AutoCount = Field(
        0, ge=0, le=1024, description="Inference processes; `auto` (0) = one per GPU, else one per core."
    )
    decode_threads: AutoCount = Field(
        0,
        ge=0,
        le=1024,
        description="Threads that decode in each inference process, ahead of its batches; 1 = none but its own. "
        "`auto` (0) = the cores shared out beside GPUs; 1 on a CPU, and for a model of your own.",
    )
    batch_size: int = Field(8, ge=1, le=4096, description="Records predicted together at most.")
    batch_timeout_ms: AutoNumber = Field(
        None,
        ge=0,
        le=60_000,
        description="A partial batch waits this long at most; `auto` chooses its size (up to BATCH_SIZE) and wait from "
        "what batches cost and how fast records come.",
    )
    latency_target_ms: float = Field(
        80.0,
        gt=0,
        le=60_000,
        description="What 99 of 100 records should take, produced to stored; with BATCH_TIMEOUT_MS=`auto`, batches "
        "wait only as far as it allows.",
    )
    queue_size: int = Field(200, ge=1, le=1_000_000, description="Records in flight at most, per consumer.")
    queue_bytes: int = Field(256 * MIB, ge=1024, description="Bytes in flight at most, per consumer.")
    max_image_pixels: int = Field(50_000_000, ge=1, description="Images with more pixels are dead-lettered, unread.")
    max_image_side: int = Field(16_384, ge=1, description="Images wider or higher are dead-lettered, unread.")
    inference_start_timeout_s: float = Field(120.0, gt=0, description="Time an inference process may take to load.")
    inference_timeout_s: float = Field(30.0, gt=0, description="An inference process without an answer is killed.")
    inference_restarts: int = Field(
        5,
        ge=0,
        le=1000,
        description="Deaths in a row of one inference process, nothing predicted, before the consumer gives up.",
    )

    dead_letter_ratio: float = Field(
        0.5, ge=0, le=1, description="Consuming stops at this share of bad records in the window; 0 = never."
    )
    dead_letter_window: int = Field(
        1000, ge=10, le=1_000_000, description="The last records, of all partitions, that `DEAD_LETTER_RATIO` is of."
    )
    dead_letter_run: int = Field(
        200,
        ge=0,
        le=1_000_000,
        description="Consuming stops at so many bad records in a row in a partition; 0 = never.",
    )

    target_labels: Names = Field(("red_circle",), description="Labels or patterns (`blue_*`) that are detections.")
    confidence_threshold: float = Field(0.90, ge=0, le=1, description="A detection has at least this confidence.")
    sinks: Names = Field(
        ("mongo", "disk"),
        min_length=1,
        description="Where results go: any of `mongo`, `disk`, `sqlite`, `kafka`, or your `package.module:ClassName`.",
    )
    store: Literal["detections", "all"] = Field("detections", description="What the database sinks take.")
    sink_timeout_s: float = Field(10.0, ge=0.1, le=600, description="A write to a sink that takes longer has failed.")
    mongo_uri: SecretStr = Field(SecretStr("mongodb://mongo:27017/"), description="MongoDB connection string.")
    db_name: str = Field("lab_discovery_db", pattern=r'^[^/\\. "$*<>:|?\x00]{1,63}$', description="MongoDB database.")
    mongo_collection: str = Field(
        "shapes_found", pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,119}$", description="MongoDB collection."
    )
    sqlite_path: Path = Field(Path("velox.db"), description="File of the SQLite sink.")
    results_topic: str = Field(
        "auto",
        pattern=r"^[A-Za-z0-9._-]{1,249}$",
        description="Topic of the sink `kafka`; `auto` = `<KAFKA_TOPIC>.results`.",
    )
    storage_path: Path = Field(Path("./discoveries"), description="Folder of the detections' images.")
    max_stored_files: int = Field(0, ge=0, description="Images kept, oldest deleted first; 0 = keep all.")

    metrics_port: int = Field(
        8000, ge=0, le=65_535, description="Port of `/metrics`, `/livez`, `/readyz`; 0 = any free."
    )
    drain_s: float = Field(20.0, gt=0, le=3600, description="Time a stopping process has to finish its work.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Least severe level logged.")
    log_format: Literal["human", "json"] = Field("human", description="Form of a log line.")

    @field_validator("colors")
    @classmethod
    def _names_are_plain(cls, colors: dict[str, Bgr]) -> dict[str, Bgr]:
        for name in colors:
            if not name.isalnum():
                msg = f"colour {name!r}: a name is letters and digits, since a label is color_shape"
                raise ValueError(msg)
        return colors

    @field_validator("sinks")
    @classmethod
    def _sinks_exist(cls, sinks: tuple[str, ...]) -> tuple[str, ...]:
        for name in sinks:
            if not re.fullmatch(r"mongo|disk|sqlite|kafka|[\w.]+:\w+", name):
                msg = f"{name!r} is no sink: mongo, disk, sqlite, kafka, or a class as package.module:ClassName"
                raise ValueError(msg)
        return sinks

    @field_validator("model_path")
    @classmethod
    def _leaves_room_beside_it(cls, path: Path) -> Path:
        if path.suffix in {".json", ".onnx"}:
            msg = "names the weights; the model card (.json) and the export (.onnx) lie beside them, named after them"
            raise ValueError(msg)
        return path

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if self.max_message_bytes > self.queue_bytes:
            msg = f"QUEUE_BYTES={self.queue_bytes} holds no record of MAX_MESSAGE_BYTES={self.max_message_bytes}"
            raise ValueError(msg)
        if self.max_poll_interval_ms < self.session_timeout_ms:
            msg = (
                f"MAX_POLL_INTERVAL_MS={self.max_poll_interval_ms} is less than "
                f"SESSION_TIMEOUT_MS={self.session_timeout_ms}"
            )
            raise ValueError(msg)
        if self.delivery == "exactly_once" and "kafka" not in self.sinks:
            msg = f"DELIVERY=exactly_once is about the results topic: add kafka to SINKS={','.join(self.sinks)}"
            raise ValueError(msg)
        if self.results_topic == self.kafka_topic:
            msg = f"RESULTS_TOPIC={self.results_topic} is KAFKA_TOPIC too: results would be read as records for ever"
            raise ValueError(msg)
        if self.backend in {"openvino", "onnxruntime"} and self.device == "cuda":
            msg = f"BACKEND={self.backend} runs on CPUs, not with DEVICE=cuda"
            raise ValueError(msg)
        return self

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

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Add colours, whose names are open, and secrets from files; the environment wins over ``.env``."""
        return init_settings, Colors(settings_cls), SecretFiles(settings_cls), env_settings, dotenv_settings

    @property
    def is_model_ours(self) -> bool:
        """Say whether MODEL is the one that Velox trains, not a class of the user's own."""
        return bool(self.model == type(self).model_fields["model"].default)

    @property
    def labels(self) -> tuple[str, ...]:
        """All ``color_shape`` labels, in the order of the classes of a model trained with these settings."""
        return tuple(f"{color}_{shape}" for color in self.colors for shape in self.shapes)
