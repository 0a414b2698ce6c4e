"""What is produced, and what drawn images look like."""

from typing import ClassVar

from pydantic import Field, field_validator

from velox.settings.group import Group
from velox.settings.literals import Bgr, Names


class ProducerSettings(Group):
    """What is produced, and how fast."""

    title: ClassVar = "Producer"

    source: str = Field(
        "shapes",
        description="What is produced: `shapes`, `folder:PATH`, `video:PATH`, `reviews`, `lines:FILE`, `keys` or "
        "`cameras`.",
    )
    source_loop: bool = Field(
        False, description="Start `folder`, `video`, `lines` and `keys` sources again at their end."
    )
    producer_interval: float = Field(0.05, ge=0, le=3600, description="Seconds between records; 0 = no pause.")
    producer_max_lag_bytes: int = Field(
        0, ge=0, description="Wait while the consumer group is this far behind in one partition; 0 = never wait."
    )


class ShapeSettings(Group):
    """What is drawn: by the producer, and to train on."""

    title: ClassVar = "Shapes"

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

    @field_validator("colors")
    @classmethod
    def _names_are_plain(cls, colors: dict[str, Bgr]) -> dict[str, Bgr]:
        for name in colors:
            if not name.isalnum():
                msg = f"colour {name!r}: a name is letters and digits, since a label is color_shape"
                raise ValueError(msg)
        return colors

    @property
    def labels(self) -> tuple[str, ...]:
        """All ``color_shape`` labels, in the order of the classes of a model trained with these settings."""
        return tuple(f"{color}_{shape}" for color in self.colors for shape in self.shapes)
