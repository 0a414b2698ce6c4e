"""What whoever runs a process wants to have a say in."""

from typing import ClassVar, Literal

from pydantic import Field

from velox.settings.group import Group


class OperationsSettings(Group):
    """Health, ending and the log."""

    title: ClassVar = "Operations"

    metrics_port: int = Field(
        8000, ge=0, le=65_535, description="Port of `/metrics`, `/livez`, `/readyz`; 0 = any free."
    )
    drain_s: float = Field(20.0, gt=0, le=3600, description="Time a stopping process has to finish its work.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Least severe level logged.")
    log_format: Literal["human", "json"] = Field("human", description="Form of a log line.")
    pipeline: str = Field(
        "", max_length=100, description="Name in a consumer's JSON log lines; empty = `KAFKA_CONSUMER_GROUP`."
    )
