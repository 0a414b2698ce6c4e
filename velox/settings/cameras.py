"""Cameras: which there are, what becomes of their frames, and how old a frame may be."""

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from velox.settings.group import MIB, Group


class CameraSettings(Group):
    """What reads cameras and publishes their frames."""

    title: ClassVar = "Cameras"

    cameras_file: Path = Field(
        Path("cameras.yaml"), description="File of the cameras; `velox cameras init` writes a first one."
    )
    cameras_per_process: int = Field(
        0, ge=0, le=1000, description="Cameras that one process reads; 0 = so many that there is a process a core."
    )
    cameras_port: int = Field(
        8020,
        ge=0,
        le=65_000,
        description="Port of `/metrics`, `/livez`, `/readyz` of the first process of cameras; the next has the next; 0 "
        "= any free.",
    )
    camera_message: Literal["json", "path"] = Field(
        "json", description="A frame's record: `json`, its path with what is known of it, or `path` alone."
    )
    camera_queue: int = Field(
        50, ge=1, le=10_000, description="Frames of a camera with policy `all` that may wait; then the oldest goes."
    )
    camera_thumbs_s: float = Field(
        1.0, ge=0, le=60, description="Seconds between two small pictures of a camera on `camera_thumbs`; 0 = none."
    )
    frame_quality: int = Field(85, ge=10, le=100, description="Quality of a frame's JPEG.")
    frame_max_age_s: float = Field(
        600.0, ge=0, le=365 * 86_400, description="Frames in the bucket are deleted when they are older; 0 = never."
    )
    frame_max_bytes: int = Field(
        1024 * MIB, ge=0, description="The oldest frames are deleted when all together take more; 0 = never."
    )


class FreshnessSettings(Group):
    """What decides whether a record is still worth a prediction."""

    title: ClassVar = "Freshness"

    freshness: Literal["all", "latest"] = Field(
        "all",
        description="`all`: each record is predicted. `latest`: of a topic's records that wait, only the newest; the "
        "others are dropped and counted, as is one whose object is gone.",
    )
    stale_after_ms: int = Field(
        0, ge=0, le=86_400_000, description="With FRESHNESS=`latest`, an older record is dropped; 0 = never."
    )

    @property
    def is_newest_only(self) -> bool:
        """Say whether records may be dropped for newer ones."""
        return self.freshness == "latest"
