"""Every setting: typed, bounded, documented. The only reader of the environment and of ``.env``."""

import ast
import difflib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from dotenv import dotenv_values
from pydantic import BeforeValidator, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from velox.core.envelope import Codec
from velox.errors import SettingsError

MIB = 1024 * 1024
COLOR_PREFIX = "COLORS_"
_FOREIGN_PREFIXES = ("COMPOSE_", "DOCKER_", "GF_")
"""Names that Compose and its images read from the same ``.env``."""


def _literal(value: object) -> object:
    """Read a Python or JSON literal; text that is none stays text."""
    if not isinstance(value, str):
        return value
    try:
        return ast.literal_eval(value.strip())
    except (ValueError, SyntaxError):
        return value


def _names(value: object) -> object:
    """Read a list literal or comma-separated names."""
    literal = _literal(value)
    if isinstance(literal, str):
        return tuple(part.strip() for part in literal.split(",") if part.strip())
    return literal


def _auto(value: object) -> object:
    return 0 if isinstance(value, str) and value.strip().lower() == "auto" else value


Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_names)]
Channel = Annotated[int, Field(ge=0, le=255)]
Bgr = Annotated[tuple[Channel, Channel, Channel], BeforeValidator(_literal)]


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
    revoke_wait_s: float = Field(
        5.0, ge=0, le=60, description="A rebalance waits this long for the records in flight of partitions given up."
    )
    fetch_wait_ms: int = Field(500, ge=1, le=10_000, description="A broker holds an empty fetch this long at most.")
    commit_interval_s: float = Field(1.0, gt=0, le=60, description="Time between offset commits.")

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
    preprocessing: Literal["fast", "exact"] = Field(
        "fast", description="`fast` decodes at reduced scale; `exact` decodes whole and resizes with antialiasing."
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="Where the model runs; `auto` = CUDA if present."
    )
    inference_processes: Annotated[int, BeforeValidator(_auto)] = Field(
        0, ge=0, le=1024, description="Inference processes; `auto` (0) = one per GPU, else one per core."
    )
    batch_size: int = Field(8, ge=1, le=4096, description="Records predicted together at most.")
    batch_timeout_ms: float = Field(10.0, ge=0, le=60_000, description="A partial batch waits this long at most.")
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

    target_labels: Names = Field(("red_circle",), description="Labels or patterns (`blue_*`) that are detections.")
    confidence_threshold: float = Field(0.90, ge=0, le=1, description="A detection has at least this confidence.")
    sinks: Names = Field(
        ("mongo", "disk"),
        min_length=1,
        description="Where results go: any of `mongo`, `disk`, `sqlite`, or your own `package.module:ClassName`.",
    )
    store: Literal["detections", "all"] = Field("detections", description="What the database sinks take.")
    sink_timeout_s: float = Field(10.0, ge=0.1, le=600, description="A write to a sink that takes longer has failed.")
    mongo_uri: SecretStr = Field(SecretStr("mongodb://mongo:27017/"), description="MongoDB connection string.")
    db_name: str = Field("lab_discovery_db", pattern=r'^[^/\\. "$*<>:|?\x00]{1,63}$', description="MongoDB database.")
    mongo_collection: str = Field(
        "shapes_found", pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,119}$", description="MongoDB collection."
    )
    sqlite_path: Path = Field(Path("velox.db"), description="File of the SQLite sink.")
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
            if not re.fullmatch(r"mongo|disk|sqlite|[\w.]+:\w+", name):
                msg = f"{name!r} is no sink: mongo, disk, sqlite, or a class as package.module:ClassName"
                raise ValueError(msg)
        return sinks

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if self.max_message_bytes > self.queue_bytes:
            msg = f"QUEUE_BYTES={self.queue_bytes} holds no record of MAX_MESSAGE_BYTES={self.max_message_bytes}"
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
        """Add the colours, whose names are open, to what pydantic reads; the environment wins over ``.env``."""
        return init_settings, _Colors(settings_cls), env_settings, dotenv_settings

    @property
    def labels(self) -> tuple[str, ...]:
        """All ``color_shape`` labels, in the order of the classes of a model trained with these settings."""
        return tuple(f"{color}_{shape}" for color in self.colors for shape in self.shapes)


class _Colors(PydanticBaseSettingsSource):
    """Gathers ``COLORS_NAME`` variables over the default colours."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Answer no single field: this source gives its one field whole."""
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        """Merge the default colours with those given; an empty value removes a colour."""
        given = {name: value for name, value in _given().items() if name.startswith(COLOR_PREFIX)}
        if not given or "colors" in self.current_state:  # pydantic would merge these with the constructor's
            return {}
        colors = dict(Settings.model_fields["colors"].default)
        for name, value in given.items():
            color = name.removeprefix(COLOR_PREFIX).lower()
            if value.strip():
                colors[color] = value
            else:
                colors.pop(color, None)
        return {"colors": colors}


def _env_file() -> Mapping[str, str]:
    return {name.upper(): value or "" for name, value in dotenv_values(".env").items()}


def _given() -> dict[str, str]:
    return {**_env_file(), **{name.upper(): value for name, value in os.environ.items()}}


def load() -> Settings:
    """Read the settings from the environment, then ``.env`` in the working folder, then the defaults.

    Raises:
        SettingsError: a name is unknown or a value is invalid; one line that names the variables.
    """
    _refuse_unknown_names()
    try:
        return Settings()
    except ValidationError as error:
        problems = "; ".join(_describe(problem) for problem in error.errors())
        raise SettingsError(problems) from None


def origins() -> dict[str, str]:
    """Tell for each field where its value comes from: ``environment``, ``.env`` or ``default``."""
    env_file = _given_in(_env_file())
    environment = _given_in(os.environ)

    def origin(field: str) -> str:
        prefix = COLOR_PREFIX if field == "colors" else None
        for place, names in (("environment", environment), (".env", env_file)):
            if field.upper() in names or (prefix and any(name.startswith(prefix) for name in names)):
                return place
        return "default"

    return {field: origin(field) for field in Settings.model_fields}


def _given_in(variables: Mapping[str, str]) -> set[str]:
    """Name the variables that say something: an empty one does so only of a colour."""
    return {name.upper() for name, value in variables.items() if value or name.upper().startswith(COLOR_PREFIX)}


def _refuse_unknown_names() -> None:
    """Stop on a name that only Velox can have meant: any in ``.env``, and any with the prefix ``VELOX_``."""
    known = {field.upper() for field in Settings.model_fields} - {"COLORS"}
    suspects = [name for name in os.environ if name.startswith("VELOX_")]
    suspects += [name for name in _env_file() if not name.startswith(_FOREIGN_PREFIXES)]
    for name in suspects:
        if name in known or name.startswith(COLOR_PREFIX):
            continue
        close = difflib.get_close_matches(name.removeprefix("VELOX_"), known, n=1)
        hint = f"did you mean {close[0]}?" if close else "`velox settings` lists all names"
        msg = f"{name}: unknown setting; {hint}"
        raise SettingsError(msg)


def _describe(problem: Any) -> str:  # noqa: ANN401 - pydantic's ErrorDetails, a dict
    location = [str(part) for part in problem["loc"]]
    text = str(problem["msg"]).removeprefix("Value error, ")
    if not location:
        return text
    name = COLOR_PREFIX + location[1].upper() if location[0] == "colors" and len(location) > 1 else location[0].upper()
    value = "" if name == "MONGO_URI" else f"={_given().get(name, problem['input'])}"
    return f"{name}{value}: {text}"
