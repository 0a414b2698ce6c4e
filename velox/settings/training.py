"""How a model is trained."""

from typing import ClassVar, Literal

from pydantic import Field

from velox.settings.group import Group


class TrainingSettings(Group):
    """How ``train.py`` trains."""

    title: ClassVar = "Training"

    samples_per_class: int = Field(300, ge=4, le=1_000_000, description="Training images per label.")
    epochs: int = Field(3, ge=1, le=1000, description="Passes over the training images.")
    training_seed: int = Field(7, ge=0, description="Seed of weights, images and order in training.")
    pretrained: Literal["auto", "none"] = Field(
        "auto",
        description="Weights that training starts from: `auto` = ImageNet's, where there are some for MODEL_ARCH and "
        "they can be had within seconds; `none` = random ones.",
    )
    model_arch: Literal["mobilenet_v2", "squeezenet1_1", "tiny_cnn"] = Field(
        "mobilenet_v2", description="What `train.py` trains, and what weights without a model card are."
    )
