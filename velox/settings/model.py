"""Which model predicts, and how its inference processes are fed."""

from pathlib import Path
from typing import ClassVar, Final, Literal, Self

from pydantic import Field, field_validator, model_validator

from velox.settings.group import MIB, Group
from velox.settings.literals import AutoCount, AutoNumber

IMAGENET: Final = "velox.models.imagenet:ImageNetClassifier"
"""MODEL of a pipeline that classifies photographs."""
TRANSFORMER: Final = "velox.models.text_classifier:TextClassifier"
"""MODEL of a pipeline that classifies texts with a network."""


class ModelSettings(Group):
    """What predicts, and what runs it."""

    title: ClassVar = "Model"

    model: str = Field(
        "velox.models.image_classifier:ImageClassifier",
        pattern=r"^[\w.]+:\w+$",
        description="Class that predicts, `package.module:ClassName`; see the Model contract.",
    )
    model_path: Path = Field(
        Path("model.pth"),
        description="Weights: a torch state dict; of a `TextClassifier` a folder, or the name of one on the hub.",
    )
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
    image_orientation: Literal["exif", "stored"] = Field(
        "exif",
        description="`exif` turns images as their EXIF data says, as viewers do; `stored` leaves them as they lie.",
    )
    max_image_pixels: int = Field(50_000_000, ge=1, description="Images with more pixels are dead-lettered, unread.")
    max_image_side: int = Field(16_384, ge=1, description="Images wider or higher are dead-lettered, unread.")
    max_text_characters: int = Field(
        5000, ge=1, le=1_000_000, description="Longer texts are dead-lettered, unread by the model."
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="Where the model runs; `auto` = CUDA if present."
    )

    @field_validator("model_path")
    @classmethod
    def _leaves_room_beside_it(cls, path: Path) -> Path:
        if path.suffix in {".json", ".onnx"}:
            msg = "names the weights; the model card (.json) and the export (.onnx) lie beside them, named after them"
            raise ValueError(msg)
        return path

    @model_validator(mode="after")
    def _backend_runs_there(self) -> Self:
        if self.backend in {"openvino", "onnxruntime"} and self.device == "cuda":
            msg = f"BACKEND={self.backend} runs on CPUs, not with DEVICE=cuda"
            raise ValueError(msg)
        return self

    @property
    def is_model_ours(self) -> bool:
        """Say whether ``train.py`` writes MODEL's files, and not the user, who has a class of their own."""
        return self.is_imagenet or bool(self.model == type(self).model_fields["model"].default)

    @property
    def is_transformer(self) -> bool:
        """Say whether MODEL is the one for texts whose MODEL_PATH is a folder, written by the package transformers."""
        return self.model == TRANSFORMER

    @property
    def is_imagenet(self) -> bool:
        """Say whether MODEL is the one for photographs, whose weights and labels are taken as they are published."""
        return self.model == IMAGENET


class ProcessSettings(Group):
    """How many processes predict, how much each is given, and how long it may take."""

    title: ClassVar = "Inference"

    predictor: Literal["local", "serve"] = Field(
        "local",
        description="What predicts: `local` = inference processes of the consumer's own; `serve` = the deployments of "
        "`config.yaml` on Ray, which read the objects themselves and each give a result for every record.",
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
    inference_start_timeout_s: float = Field(120.0, gt=0, description="Time an inference process may take to load.")
    inference_timeout_s: float = Field(30.0, gt=0, description="An inference process without an answer is killed.")
    inference_restarts: int = Field(
        5,
        ge=0,
        le=1000,
        description="Deaths in a row of one inference process, nothing predicted, before the consumer gives up.",
    )
