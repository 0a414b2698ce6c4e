"""Where spans go."""

import re
from typing import ClassVar, Final

from pydantic import Field, field_validator

from velox.settings.group import Group

_URL: Final = re.compile(r"https?://[^\s/]+(?:/\S*)?")


class TracingSettings(Group):
    """Spans of what becomes of requests, by the names that OpenTelemetry gives these variables."""

    title: ClassVar = "Tracing"

    otel_exporter_otlp_endpoint: str = Field(
        "",
        description="Collector that spans go to, by OTLP over HTTP: `http://collector:4318`; empty = there are none.",
    )
    otel_service_name: str = Field(
        "", description="Whose the spans are; empty = `velox-gateway`, `velox-consumer` or `velox-webhooks`."
    )

    @field_validator("otel_exporter_otlp_endpoint")
    @classmethod
    def _is_a_url(cls, url: str) -> str:
        if url and not _URL.fullmatch(url):
            msg = f"{url!r} is no address of a collector: write http://HOST:4318"
            raise ValueError(msg)
        return url
